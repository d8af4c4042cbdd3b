from collections.abc import Callable

import pytest

from hpcm_spectral.benchmarks.loader import loader_cost


def test_the_loader_of_real_files_is_timed_with_and_without_kept_images(
    monkeypatch: pytest.MonkeyPatch, run_program: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hpcm_spectral.benchmarks.loader.SIZE", (96, 64))
    found = loader_cost("jpeg", images=4, crop_size=32, batch_size=2, workers=0, epochs=2, rounds=1)
    assert min(found.first_kept, found.later_kept, found.first, found.later) > 0
    assert found.gain == found.later_kept / found.later
    assert "4 JPEG of 96x64" in found.table()
    sizes = ["images=4", "crop_size=32", "batch_size=2", "workers=0", "epochs=2", "repeats=1"]
    assert run_program("benchmark", "benchmark=folder", *sizes) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows[-2:]] == [["first", "epoch"], ["later", "epochs"]]
    assert min(float(value) for row in rows[-2:] for value in row[2:]) > 0
    with pytest.raises(ValueError, match="images must be at least 8, got 2"):
        loader_cost(images=2)
