# Run folders whose validation curves a test chooses.

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from report_folders import write_rows

ON = {"_target_": "hpcm_spectral.stages.SpectralTruncation", "mask": "soft"}


def write_run(
    folder: Path,
    losses: Sequence[float],
    *,
    seed: int = 0,
    epochs: Sequence[float] | None = None,
    seconds: float = 0.0,
    state: str | None = "finished",
    bpp: float = 0.5,
    psnr: float = 30.0,
    ms_ssim: float | None = None,
    tau: Sequence[float] = (),
    sessions: int = 1,
    processor: str = "cpu",
    lmbda: float = 0.01,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """A run validated to `losses` after `epochs` (1, 2, ... unless given), at one rate and quality."""
    folder.mkdir(parents=True)
    settings = {
        "seed": seed,
        "model": {"_target_": "hpcm_spectral.models.HPCM_Tiny", "widths": [16, 32]},
        "phase1": {},
        "phase2": {},
        "data": {"_target_": "hpcm_spectral.data.PhotoDataModule", "seed": seed, "num_workers": 1},
        "loss": {"_target_": "hpcm_spectral.losses.RateDistortionLoss", "metric": "mse", "lmbda": lmbda},
        "trainer": {"max_epochs": len(losses)},
        "logger": {"name": folder.name},
        **(config or {}),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    rows: list[dict] = []
    for index, loss in enumerate(losses):
        epoch = index + 1.0 if epochs is None else epochs[index]
        if index < len(tau):
            phase = {"spectral/phase": "phase1_intra", "spectral/tau": tau[index]}
            rows.append({"step": 10 * index + 5, "epoch": epoch - 0.5, "train/loss": loss, **phase})
        row = {"step": 10 * index + 9, "epoch": epoch, "val/loss": loss, "val/bpp_loss": bpp, "val/psnr": psnr}
        rows.append(row | ({} if ms_ssim is None else {"val/ms_ssim_db": ms_ssim}))
    write_rows(folder, rows)
    if state is not None:
        done = rows[-1]["epoch"] if rows else 0
        (folder / "summary.json").write_text(json.dumps({"state": state, "epochs": done, "seconds": seconds}))
    session = {"machine": {"processor": processor, "gpus": []}}
    (folder / "provenance.json").write_text(json.dumps({"sessions": [session] * sessions}))
    return folder
