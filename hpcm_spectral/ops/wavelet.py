"""One level of the two-dimensional discrete wavelet transform, as products with its basis."""

from functools import lru_cache

import numpy as np
import pywt
import torch
from jaxtyping import Float

from hpcm_spectral.errors import SettingError


def wavelet_basis(wavelet: str, size: int) -> Float[torch.Tensor, "size size"]:
    """One level of a periodic wavelet transform of ``size`` samples as a matrix, in float64 on the CPU.

    PyWavelets' ``periodization`` mode: half as many coefficients as samples in each band, whatever the filters'
    length, and an orthonormal matrix for every orthogonal wavelet. The low band's rows come first.

    Raises:
        ValueError: The wavelet is unknown, or the size odd.

    Example:
        >>> wavelet_basis("haar", 2)
        tensor([[ 0.7071,  0.7071],
                [ 0.7071, -0.7071]], dtype=torch.float64)
    """
    if wavelet not in pywt.wavelist(kind="discrete"):
        raise SettingError(
            "wavelet", f"must be one of PyWavelets' discrete ones, such as haar or db2, got {wavelet!r}."
        )
    if size < 2 or size % 2:
        raise ValueError(f"size must be even, got {size}.")
    return torch.from_numpy(np.concatenate(pywt.dwt(np.eye(size), wavelet, mode="periodization", axis=0)))


def dwt_2d(x: Float[torch.Tensor, "*batch H W"], wavelet: str = "haar") -> tuple[torch.Tensor, ...]:
    """One level over the last two axes, periodic at the borders.

    Computed in float64 for float64 input and in float32 for any other, under autocast too.

    Returns:
        Four bands ``[*batch, H / 2, W / 2]`` in PyWavelets' order: low, then detail along the height, along the
        width, along both.

    Raises:
        ValueError: The wavelet is unknown, or a side odd.

    Example:
        >>> low, *details = dwt_2d(torch.ones(1, 2, 2, dtype=torch.float64))
        >>> round(low.item(), 6), [band.abs().max().item() for band in details]
        (2.0, [0.0, 0.0, 0.0])
    """
    height, width = x.shape[-2:]
    with torch.autocast(x.device.type, enabled=False):
        x = x if x.dtype == torch.float64 else x.float()
        vertical = _basis(wavelet, height, x.dtype, x.device)
        horizontal = _basis(wavelet, width, x.dtype, x.device)
        low, high = (vertical @ (x @ horizontal.T)).split(height // 2, dim=-2)
        ll, along_width = low.split(width // 2, dim=-1)
        along_height, along_both = high.split(width // 2, dim=-1)
    return ll, along_height, along_width, along_both


@lru_cache(maxsize=32)
def _basis(wavelet: str, size: int, dtype: torch.dtype, device: torch.device) -> Float[torch.Tensor, "size size"]:
    # A basis made under inference_mode could not take part in a later training step.
    with torch.inference_mode(False):
        return wavelet_basis(wavelet, size).to(device=device, dtype=dtype)
