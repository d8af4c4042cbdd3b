import pytest

from hpcm_spectral.benchmarks.loader import loader_cost


def test_the_loader_of_real_files_is_timed_with_and_without_kept_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpcm_spectral.benchmarks.loader.SIZE", (96, 64))
    found = loader_cost("jpeg", images=4, crop_size=32, batch_size=2, workers=0, epochs=2, rounds=1)
    assert min(found.first_kept, found.later_kept, found.first, found.later) > 0
    assert found.gain == found.later_kept / found.later
    assert "4 JPEG of 96x64" in found.table()
    with pytest.raises(ValueError, match="images must be at least 8, got 2"):
        loader_cost(images=2)
