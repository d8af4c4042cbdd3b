"""Convergence, rate and distortion of constructed runs, against figures worked out by hand."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from compared_runs import ON, write_run
from PIL import Image

from hpcm_spectral.errors import ConfigError
from hpcm_spectral.reports.comparison import RunComparison, compare_runs, write_report
from hpcm_spectral.runs.sample_index import Sample, write_sample_index

CLOSE = pytest.approx
NONE = CLOSE(float("nan"), nan_ok=True)


def compared(folder: Path, window: int = 1, baseline: str | None = "base") -> RunComparison:
    return compare_runs([str(folder)], baseline=baseline, window=window)


def of(comparison: RunComparison, name: str) -> pd.Series:
    return comparison.convergence.set_index("run").loc[name]


def configs(comparison: RunComparison) -> pd.DataFrame:
    return comparison.convergence.query("level == 'config'").set_index("config")


@pytest.mark.parametrize(
    ("base", "other", "window", "epochs", "speed_up"),
    [
        # Loss 5 lies half-way between 6 after epoch 2 and 4 after epoch 3; the baseline has it after 4.
        pytest.param([10, 8, 6, 5], [9, 6, 4, 3], 1, 2.5, 4 / 2.5, id="monotone"),
        # Means of three: 10.5 10 8 7 6 6 and 9 9 6 6 3 3; unsmoothed, 6 would be met after epochs 4 and 2.
        pytest.param([12, 9, 9, 6, 6, 6], [12, 6, 9, 3, 6, 0], 3, 3.0, 5 / 3, id="noisy"),
        # The baseline dips below its final 5 on the way from 10 to 4: it first has it after 1 + 5/6 epochs.
        pytest.param([10, 4, 5], [8, 5.5, 4.5], 1, 2.5, (1 + 5 / 6) / 2.5, id="crossing"),
        pytest.param([10, 8, 6, 5], [10, 9, 5.5, 5.1], 1, None, None, id="not reaching"),
        pytest.param([10, 8, 6, 5], [5, 9, 9, 9], 1, 1.0, 4.0, id="at the first validation"),
        pytest.param([5], [4], 1, 1.0, 1.0, id="one point only"),
        pytest.param([5], [6], 3, None, None, id="one point only, not reaching"),
        pytest.param([5, 5, 5], [5, 5, 5], 3, 1.0, 1.0, id="flat"),
    ],
)
def test_speed_up(
    tmp_path: Path,
    base: Sequence[float],
    other: Sequence[float],
    window: int,
    epochs: float | None,
    speed_up: float | None,
) -> None:
    write_run(tmp_path / "base", base)
    write_run(tmp_path / "other", other, config={"phase1": ON})
    comparison = compared(tmp_path, window)
    found = of(comparison, "other")
    assert found.epochs == (NONE if epochs is None else CLOSE(epochs))
    assert found.speed_up == (NONE if speed_up is None else CLOSE(speed_up))
    assert of(comparison, "base").speed_up == CLOSE(1.0)


def test_validations_at_other_epochs(tmp_path: Path) -> None:
    write_run(tmp_path / "base", [10, 5], epochs=[10, 20])
    write_run(tmp_path / "other", [8, 4], epochs=[5, 9], config={"phase1": ON})
    assert of(compared(tmp_path), "other").epochs == CLOSE(8.0)  # 5 + 4 * (8 - 5) / (8 - 4)


def test_speed_up_in_seconds(tmp_path: Path) -> None:
    write_run(tmp_path / "base", [10, 8, 6, 5], seconds=400)
    write_run(tmp_path / "other", [9, 6, 4, 3], seconds=480, config={"phase1": ON})
    found = of(compared(tmp_path), "other")
    assert (found.seconds, found.time_speed_up) == (CLOSE(2.5 * 120), CLOSE(400 / 300))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"sessions": 2}, "resumed"),
        ({"processor": "faster"}, "other machine"),
        ({"seconds": 0.0}, "seconds unknown"),
    ],
)
def test_seconds_that_do_not_compare(tmp_path: Path, changed: dict, reason: str) -> None:
    write_run(tmp_path / "base", [10, 5], seconds=10)
    write_run(tmp_path / "other", [10, 4], config={"phase1": ON}, **({"seconds": 10} | changed))
    found = of(compared(tmp_path), "other")
    assert (found.seconds, found.time_speed_up, found.note) == (NONE, NONE, reason)
    assert found.speed_up == CLOSE(2 / (1 + 5 / 6))


def test_several_seeds(tmp_path: Path) -> None:
    # Mean of the baseline: 10 7 5, so its target is 5, after 3 epochs.
    write_run(tmp_path / "base-s1", [10, 6, 4], seed=1)
    write_run(tmp_path / "base-s2", [10, 8, 6], seed=2)
    write_run(tmp_path / "full-s1", [10, 5, 4], seed=1, config={"phase1": ON})
    write_run(tmp_path / "full-s2", [9, 7, 3], seed=2, config={"phase1": ON})
    comparison = compared(tmp_path, baseline=None)
    assert list(configs(comparison).index) == ["base", "full"]
    base, full = (configs(comparison).loc[label] for label in ("base", "full"))
    assert (full.target_loss, full.baseline_epochs) == (CLOSE(5), CLOSE(3))
    assert [of(comparison, f"base-s{seed}").epochs for seed in (1, 2)] == [CLOSE(2.5), NONE]
    assert (base.epochs_seeds_n, full.epochs_seeds_n) == (1, 2)
    assert (base.epochs, base.speed_up) == (CLOSE(3), CLOSE(1))
    # The mean curve of the others: 9.5 6 3.5.
    assert (full.epochs, full.speed_up) == (CLOSE(2.4), CLOSE(3 / 2.4))
    assert [of(comparison, f"full-s{seed}").speed_up for seed in (1, 2)] == [CLOSE(3 / 2), CLOSE(3 / 2.5)]
    # Of 1.5 and 1.2: mean 1.35, and a deviation of 0.3 / sqrt(2).
    spread = full[["speed_up_seeds_mean", "speed_up_seeds_deviation", "speed_up_seeds_n"]]
    assert spread.tolist() == [CLOSE(1.35), CLOSE(0.3 / 2**0.5), 2]


def test_a_lucky_seed_is_no_speed_up(tmp_path: Path) -> None:
    """Each seed is slower than the baseline's; the one that is lucky in both reaches the mean of the baseline's."""
    for seed, offset in ((1, 0), (2, 10)):
        write_run(tmp_path / f"base-s{seed}", [20 + offset, 12 + offset, 4 + offset], seed=seed, seconds=30)
        losses = [21 + offset, 13 + offset, 5 + offset]
        write_run(tmp_path / f"slow-s{seed}", losses, seed=seed, seconds=30, config={"phase1": ON})
    comparison = compared(tmp_path, baseline=None)
    slow = configs(comparison).loc["slow"]
    assert slow.target_loss == CLOSE(9)
    assert [of(comparison, f"slow-s{seed}").speed_up for seed in (1, 2)] == [CLOSE(3 / 2.5), NONE]
    assert (slow.epochs, slow.speed_up, slow.time_speed_up, slow.note) == (NONE, NONE, NONE, "not reached")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"loss": {"metric": "ms_ssim", "lmbda": 0.01}}, "other loss"),
        ({"data": {"_target_": "x.Folder", "train_dir": "there"}}, "other data"),
        ({"model": {"_target_": "hpcm_spectral.models.HPCM_Base"}}, "other model"),
    ],
)
def test_losses_that_do_not_compare(tmp_path: Path, config: dict, reason: str) -> None:
    write_run(tmp_path / "base", [10, 5])
    write_run(tmp_path / "other", [1, 1], config=config)
    row = of(compared(tmp_path), "other")
    assert (row.note, row.speed_up) == (reason, NONE)


def test_each_lambda_has_its_own_baseline(tmp_path: Path) -> None:
    for lmbda, last in ((0.01, 5), (0.02, 8)):
        write_run(tmp_path / f"base-{lmbda}", [10, last], lmbda=lmbda)
        write_run(tmp_path / f"full-{lmbda}", [10, last - 1], lmbda=lmbda, config={"phase1": ON})
    rows = configs(compared(tmp_path, baseline=None))
    assert rows["target_loss"][["full-0.01", "full-0.02"]].tolist() == [5, 8]


def test_the_baseline_is_the_plain_runs_else_the_first(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [10, 5], config={"phase1": ON})
    write_run(tmp_path / "b", [10, 5], config={"phase1": ON | {"mask": "hard"}})
    first = compared(tmp_path, baseline=None).baseline
    assert first is not None
    assert [group.label for group in first.groups] == ["a"]
    write_run(tmp_path / "c", [10, 5])
    plain = compared(tmp_path, baseline=None).baseline
    assert plain is not None
    assert [group.label for group in plain.groups] == ["c"]


@pytest.mark.parametrize("wanted", ["b", "PATH", "phase1.mask=hard", "phase1.mask='hard'"])
def test_choosing_the_baseline(tmp_path: Path, wanted: str) -> None:
    write_run(tmp_path / "a", [10, 5])
    write_run(tmp_path / "b", [10, 5], config={"phase1": ON | {"mask": "hard"}})
    found = compared(tmp_path, baseline=wanted.replace("PATH", str(tmp_path / "b"))).baseline
    assert found is not None
    assert [group.label for group in found.groups] == ["b"]


def test_a_baseline_that_is_none(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [10, 5], state="interrupted")
    with pytest.raises(ConfigError, match="which is none of a"):
        compared(tmp_path, baseline="b")
    with pytest.raises(ConfigError, match="finished run, got a, whose state is interrupted"):
        compared(tmp_path, baseline="a")
    assert compared(tmp_path, baseline=None).baseline is None


def write_curve(folder: Path, name: str, rates: Sequence[float], psnrs: Sequence[float], **config: object) -> None:
    for lmbda, bpp, psnr in zip((0.01, 0.02, 0.03, 0.04), rates, psnrs, strict=False):
        write_run(folder / f"{name}-{lmbda}", [5], lmbda=lmbda, bpp=bpp, psnr=psnr, ms_ssim=psnr - 15, config=config)


PSNRS = (30, 32, 34, 36)


@pytest.mark.parametrize(
    ("rates", "psnrs", "percent"),
    [
        pytest.param((0.22, 0.44, 0.88, 1.76), PSNRS, 10.0, id="a tenth more"),
        pytest.param((0.1, 0.2, 0.4, 0.8), PSNRS, -50.0, id="half"),
        # log10 of the rate rises by 1.2 log10(2) from point to point instead of log10(2): the difference grows from 0
        # to 0.6 log10(2), whose mean is 0.3 log10(2).
        pytest.param([0.2 * 2 ** (1.2 * k) for k in range(4)], PSNRS, 100 * (2**0.3 - 1), id="ever more"),
        # Symmetric about the middle: as much more above as less below.
        pytest.param([0.2 * 2 ** (1.2 * k - 0.3) for k in range(4)], PSNRS, 0.0, id="crossing"),
    ],
)
def test_bd_rate(tmp_path: Path, rates: Sequence[float], psnrs: Sequence[float], percent: float) -> None:
    write_curve(tmp_path, "base", (0.2, 0.4, 0.8, 1.6), PSNRS)
    write_curve(tmp_path, "full", rates, psnrs, phase1=ON)
    comparison = compared(tmp_path, baseline=None)
    base, full = comparison.curves
    assert [base.label, full.label] == ["base", "full"]
    found = comparison.bd_rates(full)
    assert [one.measure for one in found] == ["PSNR", "MS-SSIM"]
    assert [one.result and one.result.percent for one in found] == [CLOSE(percent, abs=1e-6)] * 2
    assert comparison.bd_rates(base) == []


@pytest.mark.parametrize(
    ("rates", "psnrs", "reason"),
    [
        ((0.2, 0.4, 0.8), (30, 32, 34), "BD-rate needs at least 4 points, but this curve has 3"),
        ((0.2, 0.4, 0.8, 1.6), (30, 32, 31, 36), "quality that rises with the rate, but that of this curve does not"),
        ((0.2, 0.4, 0.8, 1.6), (40, 42, 44, 46), "no quality is reached by both"),
    ],
)
def test_why_there_is_no_bd_rate(tmp_path: Path, rates: Sequence[float], psnrs: Sequence[float], reason: str) -> None:
    write_curve(tmp_path, "base", (0.2, 0.4, 0.8, 1.6), PSNRS)
    write_curve(tmp_path, "full", rates, psnrs, phase1=ON)
    comparison = compared(tmp_path, baseline=None)
    assert reason in comparison.bd_rates(comparison.curves[1])[0].reason


def test_one_lambda_makes_no_curve(tmp_path: Path) -> None:
    write_run(tmp_path / "base", [5])
    write_run(tmp_path / "full", [5], config={"phase1": ON})
    assert compared(tmp_path).curves == ()


def test_a_point_is_the_mean_of_its_seeds(tmp_path: Path) -> None:
    for seed, bpp in ((1, 0.2), (2, 0.4)):
        write_run(tmp_path / f"low-s{seed}", [5], seed=seed, bpp=bpp, psnr=30 + seed)
    write_run(tmp_path / "high", [5], lmbda=0.02)
    curve = compared(tmp_path, baseline=None).curves[0]
    assert curve.points.iloc[0].tolist() == CLOSE([0.01, 2, 0.3, 31.5, float("nan")], nan_ok=True)
    assert list(curve.curve.results) == ["bpp", "psnr-rgb"]


def test_the_best_validation_is_the_one_with_the_least_loss(tmp_path: Path) -> None:
    write_run(tmp_path / "base", [5, 3, 4])
    run = compared(tmp_path).runs[0]
    assert (run.best.epoch, run.best.loss, run.final.epoch, run.final.loss) == (2, 3, 3, 4)


def test_runs_that_differ_in_nothing_but_what_is_not_trained_form_one_config(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [5], seed=1)
    write_run(tmp_path / "b", [5], seed=2, config={"resume": "auto", "hydra": {"x": 1}})
    comparison = compared(tmp_path, baseline=None)
    assert len(comparison.groups) == 1
    assert comparison.differing == {}


def test_only_settings_that_differ_are_listed(tmp_path: Path) -> None:
    schedule = {"tau_init": 0.05}
    write_run(tmp_path / "a", [5], config={"schedule": schedule})
    soft, hard = ({**ON, "schedule": schedule, "mask": mask} for mask in ("soft", "hard"))
    write_run(tmp_path / "b", [5], config={"schedule": schedule, "phase1": soft})
    assert compared(tmp_path, baseline=None).differing == {"phase1": ["off", "SpectralTruncation"]}
    other = {"tau_init": [0.1, 2]}
    write_run(tmp_path / "c", [5], config={"schedule": other, "phase1": hard | {"schedule": other}})
    assert compared(tmp_path, baseline=None).differing == {
        "phase1": ["off", "SpectralTruncation", "SpectralTruncation"],
        "schedule.tau_init": ["0.05", "0.05", "0.1, 2"],
        "phase1.mask": ["-", "soft", "hard"],
    }


def test_every_form_of_a_bd_rate_warns_of_curves_that_overlap_little(tmp_path: Path) -> None:
    write_curve(tmp_path, "base", (0.2, 0.4, 0.8, 1.6), PSNRS)
    write_curve(tmp_path, "full", (1.4, 2.8, 5.6, 11.2), [psnr + 5.6 for psnr in PSNRS], phase1=ON)
    comparison = compared(tmp_path, baseline=None)
    write_report(tmp_path / "report", comparison, datetime(2030, 1, 1))
    table = pd.read_csv(tmp_path / "report" / "rate_distortion.csv").groupby("curve").first()
    for measure in ("psnr", "ms_ssim"):
        assert table.loc["full", f"bd_rate_{measure}_note"] == "the curves overlap little"
    for page in ("report.html", "report.md"):
        assert (tmp_path / "report" / page).read_text(encoding="utf-8").count("the curves overlap little") == 2


def test_ms_ssim_of_some_of_the_images_makes_no_bd_rate(tmp_path: Path) -> None:
    """Runs once logged its mean over the images that were large enough, which their samples show."""
    write_curve(tmp_path, "base", (0.2, 0.4, 0.8, 1.6), PSNRS)
    write_curve(tmp_path, "full", (0.1, 0.2, 0.4, 0.8), PSNRS, phase1=ON)
    mixed = tmp_path / "full-0.02"
    (mixed / "samples").mkdir()
    samples = []
    for name, side in (("large", 200), ("small", 100)):
        picture = mixed / "samples" / f"{name}.png"
        Image.new("RGB", (side, 200)).save(picture)
        samples.append(Sample(name, 0.2, 30.0, picture, picture))
    write_sample_index(mixed, samples)
    comparison = compared(tmp_path, baseline=None)
    base, full = comparison.curves
    assert [one.measure for one in comparison.bd_rates(full)] == ["PSNR"]
    assert base.curve.key("MS-SSIM")


def test_a_run_folder_of_any_name_is_reported(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 $a$_\n")
    write_run(tmp_path / name, [5, 4])
    write_run(tmp_path / "_other$", [5, 4], config={"phase1": ON})
    write_report(tmp_path / "report", compared(tmp_path, baseline=None), datetime(2030, 1, 1))
    assert "caf\\xe9 $a$_" in set(pd.read_csv(tmp_path / "report" / "runs.csv").run)
    assert "caf\\xe9 $a$_" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8").replace("<wbr>", "")
