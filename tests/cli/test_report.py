"""scripts/report.py as the command line runs it."""

import base64
import csv
import re
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest
from compared_runs import ON, write_run

HOSTILE = "a<script>alert(1)<!--|_b_ $x$ & [c](d)"


@pytest.fixture
def run_report(run_program: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    monkeypatch.chdir(tmp_path)
    return partial(run_program, "report")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two configs with one run each, one of them named to break out of HTML and Markdown."""
    write_run(tmp_path / "runs" / "base", [10, 8, 6, 5], seconds=400)
    write_run(tmp_path / "runs" / HOSTILE, [9, 6, 4, 3], seconds=480, config={"phase1": ON}, tau=[0.1, 0.5])
    (tmp_path / "runs" / "foreign").mkdir()
    return tmp_path / "runs"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.anchors: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.anchors += [value or "" for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_files_say_the_same(run_report: Callable[..., int], runs: Path, tmp_path: Path) -> None:
    assert run_report(f"runs={runs}", "smoothing=1") == 0
    report = tmp_path / "report"
    page, markdown = Page(report / "report.html"), (report / "report.md").read_text(encoding="utf-8")
    found = {row["run"]: row for row in rows_of(report / "convergence.csv") if row["level"] == "run"}
    # Loss 5 lies half-way between 6 after epoch 2 and 4 after epoch 3; 4 epochs of 100 s against 2.5 of 120 s.
    assert [float(found[HOSTILE][key]) for key in ("epochs", "speed_up", "seconds")] == pytest.approx([2.5, 1.6, 300])
    assert float(found[HOSTILE]["time_speed_up"]) == pytest.approx(4 / 3)
    for said in ("2.50", "1.60", "1.33", "not smoothed", "they prove nothing", "no gain", "no run folder"):
        assert said in page.text
        assert said in markdown
    assert [row["phase1"] for row in rows_of(report / "runs.csv")] == ["SpectralTruncation", "off"]
    assert rows_of(report / "rate_distortion.csv") == []
    pictures = sorted(path.name for path in report.glob("*.png"))
    assert pictures == ["bpp.png", "loss.png", "psnr.png", "tau.png"]
    assert sorted(re.findall(r"\]\((\S+\.png)\)", markdown)) == pictures


def test_names_are_escaped(run_report: Callable[..., int], runs: Path, tmp_path: Path) -> None:
    assert run_report(f"runs={runs}") == 0
    page = Page(tmp_path / "report" / "report.html")
    assert "script" not in page.tags
    assert HOSTILE in page.text
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    # Every row of a table has as many cells as its heading: the name's bar makes no cell.
    tables = [block.splitlines() for block in markdown.split("\n\n") if block.startswith("| ")]
    assert all(len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1 for table in tables)
    assert r"a\<script\>alert(1)\<!--\|\_b\_ \$x\$ \& \[c\](d)" in markdown


def test_the_page_needs_nothing_else(run_report: Callable[..., int], runs: Path, tmp_path: Path) -> None:
    assert run_report(f"runs={runs}") == 0
    page = Page(tmp_path / "report" / "report.html")
    pictures = [address for address in page.addresses if address.startswith("data:image/png;base64,")]
    embedded = {base64.b64decode(address.partition(",")[2]) for address in pictures}
    assert embedded == {path.read_bytes() for path in (tmp_path / "report").glob("*.png")}
    inside = [address for address in page.addresses if address.startswith("#")]
    assert set(page.addresses) == {*pictures, *inside, "data:,"}
    assert {address[1:] for address in inside} <= set(page.anchors)
    assert not re.search(r"https?:|@import|url\(", (tmp_path / "report" / "report.html").read_text(encoding="utf-8"))


def test_an_earlier_report_is_replaced_only_if_asked(
    run_report: Callable[..., int], runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_report(f"runs={runs}") == 0
    before = (tmp_path / "report" / "report.html").read_bytes()
    assert run_report(f"runs={runs}/base") == 2
    assert "holds an earlier report" in capsys.readouterr().err
    assert (tmp_path / "report" / "report.html").read_bytes() == before
    assert run_report(f"runs={runs}/base", "overwrite=true") == 0
    # The replaced report's picture of tau would be a stranger beside the new one.
    assert not (tmp_path / "report" / "tau.png").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("overwrite", ["true", "false"])
def test_other_files_are_never_overwritten(
    run_report: Callable[..., int], runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], overwrite: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.html").write_text("<html>mine")
    assert run_report(f"runs={runs}", "output=mine", f"overwrite={overwrite}") == 2
    assert "holds other files" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["report.html"]


def test_paths_without_a_key_and_values_with_an_equals_sign(
    run_report: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "tau=0.1,seed=1", [5])
    write_run(tmp_path / "b", [4], config={"phase1": ON})
    assert run_report("tau=0.1,seed=1", "b", "baseline=phase1=SpectralTruncation") == 0
    assert "Baseline: b (as asked for" in Page(tmp_path / "report" / "report.html").text
    assert run_report("runs=tau=0.1,seed=1", "overwrite=true") == 0
    assert [row["run"] for row in rows_of(tmp_path / "report" / "runs.csv")] == ["tau=0.1,seed=1"]
    assert run_report("b", "runs=b", "overwrite=true") == 2
    assert "runs must be given once" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "runs is required"),
        (["runs=[]"], "at least one folder"),
        (["runs=nothing*"], "nothing* matches none"),
        (["runs=runs/foreign"], "it is no run folder and holds none"),
        (["runs=runs", "smoothing=2"], "smoothing must be an odd number"),
        (["runs=runs", "baseline=nix"], "got nix, which is none of"),
        (["runs=runs", "output="], "output must name a folder"),
        (["runs=runs", "output=runs/base/config.yaml"], "is a file"),
        (["runs=runs", "output=runs/base/config.yaml/x"], "cannot: File exists"),
        (["runs=runs", "colour=red"], "colour"),
    ],
)
def test_wrong_input_ends_with_one_sentence(
    run_report: Callable[..., int],
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    assert run_report(*arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "report").exists()


def test_a_full_disk_leaves_the_earlier_report(
    run_report: Callable[..., int],
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_report(f"runs={runs}") == 0
    before = {path: path.read_bytes() for path in (tmp_path / "report").iterdir()}
    usual = Path.write_bytes

    def write_bytes(self: Path, data: bytes) -> int:
        if self.name == "report.html":
            raise OSError(28, "No space left on device", str(self))
        return usual(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    assert run_report(f"runs={runs}/base", "overwrite=true") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "report").iterdir()} == before
    assert not list(tmp_path.glob(".*"))
