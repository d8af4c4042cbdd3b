# Run folders as training leaves them.

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from hpcm_spectral.runs.phases import PhaseRecord

PHASE1 = """
phase1:
  _target_: hpcm_spectral.stages.SpectralTruncation
  mask: {mask}
  target: truncated
  schedule:
    _target_: hpcm_spectral.schedules.LinearSchedule
    tau_init: 0.1
    tau_final: 1.0
    num_epochs: {num_epochs}
    granularity: epoch
"""


def write_config(folder: Path, phase1: str = "phase1: null") -> None:
    text = "model: {_target_: hpcm_spectral.models.HPCM_Tiny}\nloss: {lmbda: 0.0483}\nseed: 7\n"
    (folder / "config.yaml").write_text(text + phase1)


def truncation_record(mask: str = "soft", end: int = 4, began: float | None = 0.0, **more: object) -> PhaseRecord:
    """Phase 1 as a run itself notes it: a linear schedule from 0.1 to 1."""
    moments = [[float(epoch), 0.1 + 0.9 * epoch / end] for epoch in np.floor(np.linspace(0, end - 1, 4))]
    said = {"kind": "dct_truncation", "mask": mask, "target": "truncated", "tau_final": 1.0, "moments": moments}
    return PhaseRecord("phase1", "phase1_intra", 0, end, began, **({"description": said} | more))


def write_rows(folder: Path, rows: list[dict]) -> None:
    columns = ["step", "epoch", *sorted({key for row in rows for key in row} - {"step", "epoch"})]
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def training_row(step: int, epoch: float, **more: object) -> dict:
    row = {"loss": 2.0, "bpp_loss": 1.0, "y_bpp": 0.9, "z_bpp": 0.1, "psnr": 25.0}
    return {"step": step, "epoch": epoch, **{f"train/{key}": value for key, value in row.items()}, **more}


def phase_rows(end: int = 4, epochs: int = 6, per_epoch: int = 10) -> list[dict]:
    rows = []
    for step in range(epochs * per_epoch):
        epoch = step / per_epoch
        phase = {"spectral/phase": "baseline"}
        if epoch < end:
            phase = {"spectral/phase": "phase1_intra", "spectral/tau": 0.1 + 0.9 * (step // per_epoch) / end}
        rows.append(training_row(step, epoch, **phase))
        if (step + 1) % per_epoch == 0:
            val = {"val/loss": 3.0, "val/bpp_loss": 1.5, "val/y_bpp": 1.4, "val/z_bpp": 0.1, "val/psnr": 22.0}
            rows.append({"step": step, "epoch": (step + 1) / per_epoch, **val})
    return rows


def inter_scale_rows(
    window: tuple[float, float] = (2, 4), phase1_end: float = 2, pairs: int = 2, epochs: int = 6, per_epoch: int = 10
) -> list[dict]:
    """Phase 1 from 0 on and phase 2 in its window; pair k explains a little more than 0.1 k."""
    rows = phase_rows(end=0, epochs=epochs, per_epoch=per_epoch)
    for row in rows:
        if "train/loss" not in row:
            continue
        epoch, names = row["epoch"], []
        if epoch < phase1_end:
            names.append("phase1_intra")
            row["spectral/tau"] = 0.5
        if window[0] <= epoch < window[1]:
            names.append("phase2_inter")
            row["spectral/delta"], row["spectral/inter_scale_reg"] = 0.1, -0.1
            for pair in range(1, pairs + 1):
                key = f"{pair}_{pair + 1}"
                row[f"spectral/explained_{key}"] = 0.1 * pair + 0.001 * epoch
                row[f"spectral/distance_{key}"] = 0.9
            for scale in range(1, pairs + 2):
                row[f"spectral/power_{scale}"] = float(scale)
            row["train/loss"] -= 0.5
        row["spectral/phase"] = "+".join(names) or "baseline"
    return rows


def write_samples(folder: Path, names: tuple[str, ...] = ("one", "two"), size: tuple[int, int] = (72, 96)) -> None:
    samples = folder / "samples"
    samples.mkdir()
    entries = []
    for seed, name in enumerate(names):
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        for kind, values in (("original", pixels), ("decoded", pixels // 2)):
            Image.fromarray(values).save(samples / f"{name}_{kind}.png")
        files = {kind: f"{name}_{kind}.png" for kind in ("original", "decoded")}
        entries.append({"name": name, "bpp": 0.5, "psnr": 24.0, "ms_ssim_db": None, **files})
    (samples / "samples.json").write_text(json.dumps(entries))
