from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeImages = Callable[..., list[Path]]


@pytest.fixture
def make_images(tmp_path: Path) -> MakeImages:
    """Write PNG files of random pixels; file number k is constant k in its blue channel."""

    def make(count: int, size: tuple[int, int] = (40, 30), folder: str = "images") -> list[Path]:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        paths = []
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            pixels[:, :, 2] = number
            paths.append(root / f"{number:03d}.png")
            Image.fromarray(pixels).save(paths[-1])
        return paths

    return make


@pytest.fixture
def truncate() -> Callable[[Path], None]:
    """Cut a file in half: its head stays readable, its pixels do not."""

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return cut
