"""The pieces around the loop: learning rates, skipped steps, rate levels, CSV file, checkpoints, whole files."""

import csv
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import DataError, UserError
from hpcm_spectral.files import whole_file
from hpcm_spectral.losses import RateDistortionLoss
from hpcm_spectral.training import (
    AtomicCheckpointIO,
    CodecModule,
    Recipe,
    RunCsvLogger,
    published_drops,
    warmup_cosine,
)
from hpcm_spectral.training.clipping import MAX_SKIPPED_IN_A_ROW

ADAM = Recipe(partial(torch.optim.Adam, lr=1e-4))


class Line(Codec):
    """Something to train that is no codec yet."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 1)


class ThreeRates(Codec):
    """Remembers its levels; each has a likelihood and a reconstruction of its own."""

    levels, lmbdas = 5, (0.1, 0.2, 0.3, 0.4, 0.5)

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor, level: torch.Tensor | None = None) -> dict:
        self.seen.append(level)
        factor = 1 / (1 + level.float())[:, None, None, None]
        return {"x_hat": x * factor, "likelihoods": {"y": factor.expand(len(x), 1, 2, 2)}, "latents": []}


def test_a_codec_of_several_rates_trains_on_a_level_per_image_and_is_validated_at_three() -> None:
    torch.manual_seed(0)
    codec = ThreeRates()
    module = CodecModule(codec, RateDistortionLoss(), ADAM)
    step = module.training_loss(torch.full((64, 3, 4, 4), 0.5), 0.0)
    (levels,) = codec.seen
    assert set(levels.tolist()) == {0, 1, 2, 3, 4}
    error = (0.5 - 0.5 / (1 + levels)).square()
    bpp = torch.log2(1.0 + levels).mean() * 4 / 16
    distortion = (torch.tensor(codec.lmbdas)[levels] * 255**2 * error).mean()
    assert step.loss.item() == pytest.approx((distortion + bpp).item(), rel=1e-5)

    codec.seen.clear()
    metrics = module.validation_metrics(torch.full((1, 3, 4, 4), 0.5))
    assert [level.item() for level in codec.seen] == [0, 2, 4]
    expected = [lmbda * 255**2 * (0.5 - 0.5 / (1 + k)) ** 2 for k, lmbda in ((0, 0.1), (2, 0.3), (4, 0.5))]
    bits = [torch.log2(torch.tensor(1.0 + k)).item() / 4 for k in (0, 2, 4)]
    assert metrics["loss"].item() == pytest.approx(sum(expected) / 3 + sum(bits) / 3, rel=1e-5)


def rates(schedule: torch.optim.lr_scheduler.LambdaLR, *moments: int) -> list[float]:
    return [schedule.base_lrs[0] * schedule.lr_lambdas[0](moment) for moment in moments]


def test_the_published_learning_rates_fall_at_the_published_epochs() -> None:
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1e-4)
    found = rates(published_drops(optimizer, 3000), 0, 2749, 2750, 2849, 2850, 2949, 2950, 2999)
    assert found == pytest.approx([1e-4, 1e-4, 3e-5, 3e-5, 1e-5, 1e-5, 1e-6, 1e-6])
    assert rates(published_drops(optimizer, 1), 0) == [1e-4]


def test_a_warm_up_rises_to_the_learning_rate_and_then_falls_to_the_last_share() -> None:
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = warmup_cosine(optimizer, total_steps=24, warmup=1 / 6, final=0.1)
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert rates(schedule, 0, 1, 3, 4, 14, 24, 30) == pytest.approx([0.25, 0.5, 1.0, 1.0, 0.55, 0.1, 0.1])


@pytest.mark.parametrize(
    "make",
    [
        partial(torch.optim.lr_scheduler.ReduceLROnPlateau, factor=0.1, patience=0, min_lr=1e-5),
        partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=4, eta_min=1e-6),
        partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1e-3, total_steps=5),
        partial(published_drops, max_epochs=2),
    ],
)
def test_a_stages_own_rate_keeps_its_ratio_under_every_schedule(make: partial) -> None:
    recipe = Recipe(partial(torch.optim.Adam, lr=1e-4), make, monitor="val/loss")
    module = CodecModule(Line(), RateDistortionLoss(), recipe)
    optimizer = recipe.optimizer([{"params": [nn.Parameter(torch.zeros(1))], **lr} for lr in ({}, {"lr": 1e-3})])
    module._lr_ratios = [1.0, 10.0]
    schedule = recipe.scheduler(optimizer, 0)
    seen = set()
    for _ in range(4):
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert second == pytest.approx(10 * first, rel=1e-9)
        seen.add(first)
        optimizer.step()
        plateau = isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau)
        module.lr_scheduler_step(schedule, 1.0 if plateau else None)
    assert len(seen) > 1


def test_a_step_without_a_finite_gradient_norm_changes_nothing_and_is_counted() -> None:
    codec = nn.Linear(2, 1)
    whole = Line()
    whole.line = codec
    module = CodecModule(whole, RateDistortionLoss(), ADAM)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    module.clip_gradients = lambda *_: None  # type: ignore[method-assign]  # needs a trainer, and is Lightning's

    codec(torch.ones(1, 2)).sum().backward()
    module.configure_gradient_clipping(optimizer, 1.0)
    optimizer.step()
    before = [p.detach().clone() for p in codec.parameters()]
    moments = optimizer.state[codec.weight]["exp_avg"].clone()

    optimizer.zero_grad()
    (codec(torch.ones(1, 2)).sum() * float("inf")).backward()
    module.configure_gradient_clipping(optimizer, 1.0)
    optimizer.step()
    assert all(torch.equal(p, old) for p, old in zip(codec.parameters(), before, strict=True))
    assert torch.equal(optimizer.state[codec.weight]["exp_avg"], moments)
    assert int(module.skipped_steps) == 1


def test_training_that_has_diverged_for_good_stops_with_a_sentence() -> None:
    codec = nn.Linear(2, 1)
    whole = Line()
    whole.line = codec
    module = CodecModule(whole, RateDistortionLoss(), ADAM)
    optimizer = torch.optim.Adam(module.parameters())
    module.__class__.global_step = property(lambda _: 7)  # type: ignore[method-assign,assignment]
    try:
        with pytest.raises(UserError, match="lower optimizer.lr"):
            for _ in range(MAX_SKIPPED_IN_A_ROW + 1):
                (codec(torch.ones(1, 2)).sum() * float("nan")).backward()
                module.configure_gradient_clipping(optimizer, 1.0)
    finally:
        del module.__class__.global_step
    assert int(module.skipped_steps) == MAX_SKIPPED_IN_A_ROW


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_rows_join_a_word_with_its_numbers_and_keep_validation_apart(tmp_path: Path) -> None:
    logger = RunCsvLogger(tmp_path)
    logger.log_metrics({"spectral/phase": "baseline"}, step=4)
    logger.log_metrics({"train/loss": torch.tensor(0.1), "epoch": 0.5}, step=4)
    logger.log_metrics({"val/loss": 2.0, "epoch": 1.0}, step=4)
    logger.finalize("success")
    first, second = read(tmp_path / "metrics.csv")
    assert (first["step"], first["spectral/phase"], first["val/loss"]) == ("4", "baseline", "")
    # The CSV holds every digit of the float32 value.
    assert float(first["train/loss"]) == torch.tensor(0.1).item()
    assert (second["val/loss"], second["train/loss"], second["epoch"]) == ("2.0", "", "1.0")


def test_a_new_session_continues_the_csv_after_the_step_it_resumes_at(tmp_path: Path) -> None:
    first = RunCsvLogger(tmp_path)
    for step in range(4):
        first.log_metrics({"a": float(step), "epoch": 0.0}, step=step)
    first.finalize("killed")
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("4,0")  # a row that a kill cut short

    second = RunCsvLogger(tmp_path)
    second.forget_from(3)
    second.log_metrics({"a": 30.0, "b": 1.0, "epoch": 1.0}, step=3)
    second.finalize("success")
    assert [(row["step"], row["a"], row["b"]) for row in read(tmp_path / "metrics.csv")] == [
        ("0", "0.0", ""),
        ("1", "1.0", ""),
        ("2", "2.0", ""),
        ("3", "30.0", "1.0"),
    ]


def test_a_checkpoint_that_fails_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    saver = AtomicCheckpointIO()
    saver.save_checkpoint({"epoch": 1}, path)

    class Unsaveable:
        def __reduce__(self) -> str:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        saver.save_checkpoint({"big": torch.zeros(1000), "epoch": Unsaveable()}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_whole_file_gets_ordinary_permissions(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    with whole_file(tmp_path / "whole") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "whole").stat().st_mode == plain.stat().st_mode


def test_an_error_from_a_worker_process_is_reduced_to_its_sentence() -> None:
    wrapped = (
        "Caught DataError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "x.py", line 1, in f\nhpcm_spectral.errors.DataError: a.png must be an image: it is cut short.\n'
    )
    assert str(DataError(wrapped)) == "a.png must be an image: it is cut short."


def test_validation_measures_ms_ssim_only_where_told_that_all_images_are_large_enough() -> None:
    image = torch.rand(1, 3, 170, 170)
    for ms_ssim in (True, False):
        module = CodecModule(ThreeRates(), RateDistortionLoss(), ADAM, ms_ssim=ms_ssim)
        keys = {key.rpartition("/")[2] for key in module.validation_metrics(image)}
        assert ("ms_ssim_db" in keys) == ms_ssim
