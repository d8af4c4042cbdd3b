"""The worked examples of CONTRIBUTING.md, as a reader would follow them."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)
FILES = {match[1]: block for kind, block in BLOCKS if kind and (match := re.match(r"# (\S+)\n", block))}
COMMANDS = [block.strip() for kind, block in BLOCKS if not kind]


def test_there_is_an_example_of_each() -> None:
    assert sorted(FILES) == ["conf/schedule/quadratic.yaml", "my_codecs.py", "my_schedules.py", "my_stages.py"]
    assert len(COMMANDS) == 3


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split("_target_=")[-1].split()[0])
def test_an_example_trains_and_is_exported(
    command: str,
    small_run: list[str],
    run_train: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    prefix, program, *arguments = shlex.split(command.replace("python ", "", 1))
    assert (prefix, program) == ("PYTHONPATH=.", "scripts/train.py")
    given = {argument.split("=")[0] for argument in arguments}
    small = [word for word in small_run if word.split("=")[0] not in given | {"schedule.num_epochs"}]
    assert run_train(*small, *arguments, "trainer.max_epochs=1", "hydra.run.dir=run") == 0
    config = (tmp_path / "run/config.yaml").read_text()
    assert re.search(r"_target_: my_\w+\.\w+", config)
    assert json.loads((tmp_path / "run/summary.json").read_text())["state"] == "finished"
    assert (tmp_path / "run/codec.json").exists()
