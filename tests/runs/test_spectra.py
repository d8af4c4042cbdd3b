from pathlib import Path

import numpy as np
import pytest

from hpcm_spectral.errors import UserError
from hpcm_spectral.runs.spectra import ScaleSpectra, SpectralHistory, read_spectral_history

EDGES = np.linspace(0, np.sqrt(2), 4)


def moment(epoch: float) -> SpectralHistory:
    rng = np.random.default_rng(int(epoch))
    overlap = rng.random((2, 3))
    overlap[:, 2] = np.nan
    spectra = ScaleSpectra(("z", "1"), np.ones(3), rng.random((2, 3)), overlap, rng.random(2), rng.random(2))
    return SpectralHistory.starting(epoch, spectra, EDGES)


def test_a_history_comes_back_from_its_file_and_plain_numpy_reads_it(tmp_path: Path) -> None:
    assert read_spectral_history(tmp_path) is None
    history = moment(2.0).followed_by(moment(4.0)).followed_by(moment(5.0))
    history.write(tmp_path)
    with np.load(tmp_path / "diagnostics/spectral.npz", allow_pickle=False) as file:
        shapes = {key: file[key].shape for key in file.files}
        assert file["scales"].tolist() == ["z", "1"]
        assert file["epochs"].tolist() == [2, 4, 5]
    assert shapes == {
        "epochs": (3,),
        "scales": (2,),
        "band_edges": (4,),
        "image_energy": (3,),
        "energy": (3, 2, 3),
        "overlap": (3, 2, 3),
        "bpp": (3, 2),
        "mse": (3, 2),
    }
    back = read_spectral_history(tmp_path)
    assert back is not None
    assert back.scales == ("z", "1")
    np.testing.assert_array_equal(back.overlap[1], moment(4.0).overlap[0])
    np.testing.assert_array_equal(back.up_to(4).mse, history.mse[:2])
    assert len(back.up_to(0).epochs) == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "missing", "shape", "pickle", "order"])
def test_a_damaged_file_is_refused_with_one_sentence(damage: str, tmp_path: Path) -> None:
    moment(2.0).followed_by(moment(4.0)).write(tmp_path)
    path = tmp_path / "diagnostics/spectral.npz"
    whole = path.read_bytes()
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        place = whole.index(arrays["energy"].tobytes())
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    elif damage == "text":
        path.write_text("epochs")
    elif damage == "missing":
        np.savez(path, **{key: value for key, value in arrays.items() if key != "mse"})
    elif damage == "shape":
        np.savez(path, **{**arrays, "bpp": arrays["bpp"][:1]})
    elif damage == "pickle":
        np.savez(path, **{**arrays, "scales": np.array(["z", None], dtype=object)})
    else:
        np.savez(path, **{**arrays, "epochs": arrays["epochs"][::-1]})
    with pytest.raises(UserError, match="spectral.npz must hold spectral diagnostics, but it is damaged") as error:
        read_spectral_history(tmp_path)
    assert "\n" not in str(error.value)
