"""The worked examples of CONTRIBUTING.md, as a reader would follow them."""

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.models import load_codec, registry, save_codec

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)
FILES = {match[1]: block for kind, block in BLOCKS if kind and (match := re.match(r"# (\S+)\n", block))}
COMMANDS = [block.strip() for kind, block in BLOCKS if not kind]


def test_there_is_an_example_of_each() -> None:
    assert sorted(FILES) == [
        *("conf/schedule/quadratic.yaml", "my_codecs.py", "my_family.py", "my_schedules.py", "my_stages.py")
    ]
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


def test_a_codec_of_a_family_is_read_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("my_codecs.py", "my_family.py"):
        (tmp_path / name).write_text(FILES[name])
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "FAMILIES", list(registry.FAMILIES))
    import my_family  # noqa: F401  registers itself

    codec = registry.family_of("brighter").build("brighter", {"N": 8, "M": 12, "gain": 1.5})
    save_codec(codec, tmp_path, training={})
    loaded = load_codec(tmp_path)
    assert (loaded.name, loaded.network.gain) == ("brighter", 1.5)
    x = torch.rand(1, 3, 30, 40)
    assert loaded.decode(loaded.encode(x)).shape == x.shape
    description = tmp_path / "codec.json"
    description.write_text(description.read_text().replace('"N": 8', '"N": 9'))
    with pytest.raises(CheckpointError, match="must hold N, M and gain that fit its tensors"):
        load_codec(tmp_path)
