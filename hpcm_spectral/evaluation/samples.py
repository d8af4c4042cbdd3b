"""Decoded validation photographs in the run folder, for people and reports to look at."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Float

from hpcm_spectral.codec import Codec
from hpcm_spectral.evaluation.files import write_png
from hpcm_spectral.metrics import MS_SSIM_MIN_SIDE, bits, ms_ssim_db, psnr_8bit
from hpcm_spectral.names import cut, printable
from hpcm_spectral.runs.sample_index import FOLDER, Sample, write_sample_index

MAX_SAMPLES = 6
NAME_BYTES = 200


def write_samples(
    codec: Codec, images: Iterable[Float[torch.Tensor, "1 3 H W"]], names: Iterable[str], run_folder: Path
) -> None:
    """Decode the first few photographs and write each beside its original, with estimated bpp, PSNR and MS-SSIM.

    A codec of several rate levels shows its middle one.

    The codec is in evaluation mode, the photographs in [0, 1]; they go into the run folder's folder ``samples``.
    """
    folder = run_folder / FOLDER
    folder.mkdir(exist_ok=True)
    entries = []
    device = next(codec.parameters()).device
    for number, (x, name) in enumerate(zip(itertools.islice(images, MAX_SAMPLES), names, strict=False)):
        with torch.inference_mode():
            out = codec(x.to(device), **codec.at_level(codec.middle_level))
        out["x_hat"] = out["x_hat"].cpu()
        height, width = x.shape[-2:]
        # Folders and extensions can repeat a name.
        stem = f"{number}_{cut(printable(Path(name).stem), NAME_BYTES)}"
        entries.append(
            Sample(
                name=printable(Path(name).stem),
                bpp=sum(bits(v).item() for v in out["likelihoods"].values()) / (height * width),
                psnr=psnr_8bit(x, out["x_hat"]).item(),
                original=folder / f"{stem}_original.png",
                decoded=folder / f"{stem}_decoded.png",
                ms_ssim_db=ms_ssim_db(x, out["x_hat"]).item() if min(height, width) >= MS_SSIM_MIN_SIDE else None,
            )
        )
        write_png(x, entries[-1].original)
        write_png(out["x_hat"], entries[-1].decoded)
    write_sample_index(run_folder, entries)
