"""Spectral diagnostics over the epochs of a run, as its folder keeps them.

Letters: T moments, S scales, B radial bands.
"""

import zipfile
import zlib
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hpcm_spectral.errors import UserError
from hpcm_spectral.files import whole_file

FILE = Path("diagnostics", "spectral.npz")
PER_MOMENT = ("energy", "overlap", "bpp", "mse")
SHAPES = {"epochs": "T", "scales": "S", "band_edges": "E", "image_energy": "B"}
SHAPES |= {"energy": "TSB", "overlap": "TSB", "bpp": "TS", "mse": "TS"}


@dataclass(frozen=True)
class ScaleSpectra:
    """The paper's diagnosis (figures 1 and 8) of a codec at one moment, means over photographs.

    A scale's contribution C is the reconstruction up to it minus the one before; the first one's is all of its
    reconstruction. With X the photograph and ``<., .>_b`` the sum of products of DCT coefficients in band b:

    Attributes:
        scales: Names in coding order.
        image_energy: ``<X, X>_b``.
        energy: ``<C, C>_b``.
        overlap: ``<C, X>_b / <X, X>_b``, means divided by means. Over the scales it adds up to 1 where the
            reconstruction holds the band fully; below 0 a scale works against the photographs. NaN where these have
            no energy.
        bpp: Bits per pixel of the scale alone.
        mse: Mean squared error of the reconstruction up to the scale, not clamped, of images in [0, 1].
    """

    scales: tuple[str, ...]
    image_energy: Float[np.ndarray, " B"]
    energy: Float[np.ndarray, "S B"]
    overlap: Float[np.ndarray, "S B"]
    bpp: Float[np.ndarray, " S"]
    mse: Float[np.ndarray, " S"]


@dataclass(frozen=True)
class SpectralHistory:
    """What :class:`ScaleSpectra` holds, at several moments.

    Attributes:
        epochs: Progress in epochs at each moment, ascending: 1 is the end of the first epoch.
        band_edges: Radii at which the bands end, 0 to the square root of 2.
    """

    epochs: Float[np.ndarray, " T"]
    scales: tuple[str, ...]
    band_edges: Float[np.ndarray, " E"]
    image_energy: Float[np.ndarray, " B"]
    energy: Float[np.ndarray, "T S B"]
    overlap: Float[np.ndarray, "T S B"]
    bpp: Float[np.ndarray, "T S"]
    mse: Float[np.ndarray, "T S"]

    @classmethod
    def starting(cls, epoch: float, spectra: ScaleSpectra, band_edges: Float[np.ndarray, " E"]) -> "SpectralHistory":
        """A history of one moment."""
        values = {key: getattr(spectra, key)[None] for key in PER_MOMENT}
        return cls(np.array([epoch], dtype=np.float64), spectra.scales, band_edges, spectra.image_energy, **values)

    def followed_by(self, later: "SpectralHistory") -> "SpectralHistory":
        """This history and then ``later``, of the same scales, bands and photographs."""
        joined = {key: np.concatenate([getattr(self, key), getattr(later, key)]) for key in ("epochs", *PER_MOMENT)}
        return replace(self, **joined)

    def up_to(self, epoch: float) -> "SpectralHistory":
        """The moments not after ``epoch``, perhaps none."""
        kept = self.epochs <= epoch
        return replace(self, **{key: getattr(self, key)[kept] for key in ("epochs", *PER_MOMENT)})

    def write(self, folder: Path) -> None:
        """Keep it in the run folder ``folder``, whole or not at all."""
        path = folder / FILE
        path.parent.mkdir(exist_ok=True)
        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)


def read_spectral_history(folder: Path) -> SpectralHistory | None:
    """The diagnostics of a run folder; None if it holds none.

    Raises:
        UserError: The file is damaged or something else.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {key: file[key] for key in SHAPES}
        _check(arrays)
    # What a damaged archive raises depends on where the damage lies.
    except (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        raise UserError(
            f"{path} must hold spectral diagnostics, but it is damaged or something else; restore it or move it away."
        ) from None
    scales = tuple(str(name) for name in arrays.pop("scales"))
    return SpectralHistory(scales=scales, **arrays)


def _check(arrays: dict[str, np.ndarray]) -> None:
    """Refuse arrays that do not fit each other."""
    sizes: dict[str, int] = {}
    for key, letters in SHAPES.items():
        kind = np.str_ if key == "scales" else np.float64
        if not np.issubdtype(arrays[key].dtype, kind) or arrays[key].ndim != len(letters):
            raise ValueError(key)
        if any(sizes.setdefault(*pair) != pair[1] for pair in zip(letters, arrays[key].shape, strict=True)):
            raise ValueError(key)
    if sizes["E"] != sizes["B"] + 1 or not np.isfinite(arrays["epochs"]).all() or (np.diff(arrays["epochs"]) < 0).any():
        raise ValueError("epochs")
