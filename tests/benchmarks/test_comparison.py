"""Configs compared through the program: what is measured is each config; figures by hand. No time is asserted."""

import hpcm_spectral  # noqa: F401, I001  first: it makes torchvision importable

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hpcm_spectral.benchmarks.comparison import Comparison, Measured, Spread

NARROW = ["model=custom", "model._target_=compressai.models.ScaleHyperprior", "+model.N=8", "+model.M=8"]
NO_WIDTHS = ["~model.N", "~model.M"]
QUICK = ["repeats=1", "memory=false", "data.crop_size=64", "data.batch_size=2", "picture=[96,80]"]


@pytest.fixture
def measure(
    run_program: Callable[..., int], image_folders: tuple[Path, Path], tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Runs the program with a narrow codec and returns the figures that it wrote."""

    def run(*arguments: str) -> dict[str, Any]:
        train, val = image_folders
        data = ["data=folder", f"data.train_dir={train}", f"data.val_dir={val}"]
        output = tmp_path / "bench"
        assert run_program("benchmark", *NARROW, *QUICK, *data, *arguments, f"output={output}") == 0
        with Image.open(output / "benchmark.png") as picture:
            assert picture.width == 1400
        return json.loads((output / "benchmark.json").read_text())

    return run


def test_sets_are_composed_on_top_of_the_command(
    measure: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    stages = "[[phase1=off],[data.batch_size=3,'phase1=off'],[phase1=dct_truncation,schedule=constant]]"
    figures = measure("benchmark=step", "phase2=off", f"compare={stages}")
    configs = figures["configs"]
    assert [own["name"] for own in configs] == [
        "phase1=off",
        "data.batch_size=3 phase1=off",
        "phase1=dct_truncation schedule=constant",
    ]
    subjects = [own["subject"] for own in configs]
    assert subjects[:2] == ["2x3x64x64, baseline", "3x3x64x64, baseline"]
    assert subjects[2].startswith("2x3x64x64, phase1_intra at epoch")
    assert configs[1]["gflop"] == pytest.approx(1.5 * configs[0]["gflop"])
    assert configs[2]["overrides"] == ["phase1=dct_truncation", "schedule=constant"]
    rate = configs[0]["gflop"] / configs[0]["seconds"][0]
    products = figures["matrix_gflop_per_second"][configs[0]["matrix_products"]]
    assert configs[0]["share_of_matrix_products"] == pytest.approx(rate / products)
    assert figures["session"]["machine"]["cores"]
    assert "torch" in figures["session"]["packages"]
    printed = capsys.readouterr()
    assert "data.batch_size=3 phase1=off" in printed.out
    assert ", one round\n" in printed.out
    assert "quartiles" not in printed.out
    assert "round 1 of 2, which warms up" in printed.err
    assert re.search(r"schedule=constant takes \d+\.\d{3} of the time of phase1=off\n", printed.err)


def test_sets_by_names_of_which_one_is_empty(measure: Callable[..., dict[str, Any]]) -> None:
    figures = measure("benchmark=encode", "+compare.plain=", "+compare.wide=model.N=16 model.M=24")
    assert [(own["name"], own["overrides"]) for own in figures["configs"]] == [
        ("plain", []),
        ("wide", ["model.N=16", "model.M=24"]),
    ]
    assert figures["configs"][1]["gflop"] > 2 * figures["configs"][0]["gflop"]


def test_without_sets_a_step_is_measured_with_each_stage_alone(measure: Callable[..., dict[str, Any]]) -> None:
    figures = measure("benchmark=step")
    subjects = {config["name"]: config["subject"] for config in figures["configs"]}
    assert list(subjects) == ["baseline", "phase1_intra", "phase2_inter"]
    assert all(name in subject for name, subject in subjects.items())


@pytest.mark.parametrize("kind", ["decode", "evaluate"])
def test_a_photograph_is_coded_in_either_precision(kind: str, measure: Callable[..., dict[str, Any]]) -> None:
    figures = measure(f"benchmark={kind}", "compare=[channels_last=false,transforms=bfloat16]")
    own, low = figures["configs"]
    assert own["subject"] == "a picture of 96x80"
    assert low["subject"] == "a picture of 96x80, transforms in bfloat16"
    assert own["images"] == 1
    assert own["gflop"] == low["gflop"] > 0
    # Operations of two precisions have no share of a product's rate in one of them.
    assert list(figures["matrix_gflop_per_second"]) == [own["matrix_products"]]
    assert low["matrix_products"] is low["share_of_matrix_products"] is None


def test_loading_is_of_whole_epochs_and_memory_of_a_fresh_process(measure: Callable[..., dict[str, Any]]) -> None:
    short = ["data.samples_per_epoch=7", "data.num_workers=0", "memory=true", "threads=2"]
    (own,) = measure("benchmark=loader", *short)["configs"]
    assert own["threads"] == 2
    assert own["images"] == 6
    assert own["subject"] == "3 batches of 2 crops of 64x64, 0 workers"
    assert own["gflop"] is None
    # The packages alone take more than 100 MiB; what this process holds besides is not counted.
    assert 100 < own["peak_mib"] < 2000


def test_figures_by_hand() -> None:
    first = Measured("a", [], "x", 2, 1, 9.0, (1.0, 2.0, 4.0), 100.0, 10**9, "m")
    second = Measured("b", ["k=1"], "y", 2, 1, 9.0, (2.0, 2.0, 6.0), 103.0, 4 * 10**9, "m")
    result = Comparison("T", [first, second], {"m": 4e9})
    assert result.ratio(second) == (1.5, 1.25, 1.75)
    assert Spread.of([3.0]) == (3.0, 3.0, 3.0)
    assert result.memory_ratio(second) == pytest.approx(1.03)
    assert (first.images_per_second, result.share(second)) == (1.0, 0.5)
    title, headings, *rows = result.table().splitlines()
    assert title == "T, medians of 3 rounds"
    figures = "2.0000 2.0000 to 4.0000 1.500 1.250 to 1.750 1.00 9.0000 103 1.030 4.0 2.0 50%"
    assert rows[1].split() == ["b", *figures.split()]
    assert rows[2:] == ["matrix products, m: 4.0 GFLOP/s", "a: x", "b: y"]
    names = re.split(" {2,}", headings)
    assert len(names) == len(set(names)) == 12
    assert result.sentences() == ["b takes 1.500 (1.250 to 1.750) of the time of a"]
    assert result.plain()["configs"][1]["peak_ratio"] == result.memory_ratio(second)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["benchmark=step", "phase1=off", "phase2=off"], "phase1 or phase2 must be on to be measured"),
        (["benchmark=step", "repeats=0"], "repeats must be at least 1, got 0"),
        (["benchmark=step", "threads=0"], "threads must be at least 1, got 0"),
        (["benchmark=step", "device=abacus"], "device must be cpu, or cuda where there is a GPU, got 'abacus'"),
        (["benchmark=step", "trainer.precision=64-true"], "trainer.precision must be one of 32-true, bf16-mixed"),
        (["benchmark=step", "trainer.accumulate_grad_batches=2"], "trainer.accumulate_grad_batches must be 1"),
        (
            ["benchmark=steps"],
            "benchmark must be one of dct, decode, encode, evaluate, folder, loader, step, got steps",
        ),
        (["benchmark=folder", "images=3"], "images must be at least batch_size (8), got 3."),
        (["benchmark=folder", "epochs=1"], "epochs must be at least 2, got 1."),
        (["kind=steps"], "kind must be dct, folder, step, encode, decode, evaluate, loader, got 'steps'"),
        (["batch=0"], "batch must be at least 1, got 0"),
        (["benchmark=step", "compare=[]"], "compare must hold sets of overrides that differ, got nothing"),
        (["benchmark=step", "compare=[seed=1,seed=1]"], "that differ, got seed=1 twice"),
        (["benchmark=step", "compare=3"], "compare must be a list or a group of settings, got 3"),
        (["benchmark=step", "compare=[[seed=1],[sed=2]]"], "but of sed=2: sed is not a setting; did you mean seed?"),
        (["benchmark=step", "+compare.a=model=hpcm_tin"], "but of a: model must be one of compressai, custom"),
        (["benchmark=step", "compare=[[repeats=3]]"], "compare must leave repeats alone"),
        (["benchmark=step", "compare=[[hydra.job.name=a]]"], "compare must leave hydra.job.name alone"),
        (["benchmark=step", "compare=[[hydra/launcher=basic]]"], "compare must leave hydra/launcher alone"),
        (["benchmark=step", "compare=[[],[transforms=bfloat16]]"], "but of transforms=bfloat16: transforms is not a"),
        (["benchmark=loader", "+transforms=bfloat16"], "transforms is not a setting"),
        (
            ["benchmark=encode", "transforms=bfloat16", "model._target_=outside.two_scales.TwoScales", *NO_WIDTHS],
            "transforms must be float32 for outside.two_scales.TwoScales, which names no networks outside its entropy",
        ),
        (
            ["benchmark=encode", "compare=[seed=1,trainer.precision=bf16-mixed]"],
            "bf16-mixed cannot be measured: trainer.precision must be 32-true, as files are coded in float32",
        ),
    ],
)
def test_wrong_settings_end_with_one_sentence(
    overrides: list[str],
    message: str,
    run_program: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    model = [*NARROW, "data.crop_size=64"] if any(word.startswith("benchmark=") for word in overrides[:1]) else []
    if overrides[0] in ("benchmark=steps", "benchmark=folder"):
        model = []
    assert run_program("benchmark", *model, *overrides) == 2
    printed = capsys.readouterr().err.strip().splitlines()
    assert message in printed[-1]
    assert not list(tmp_path.iterdir())


def test_an_earlier_benchmark_is_not_replaced(
    run_program: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "benchmark.json").write_text("{}")
    assert run_program("benchmark", "benchmark=step", f"output={tmp_path}") == 2
    assert "output must be a folder without a benchmark" in capsys.readouterr().err
