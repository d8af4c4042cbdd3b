"""What the tests share: a small folder of images, and running the programs within this process."""

import logging
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra
from PIL import Image

import hpcm_spectral  # noqa: F401  must precede what imports torchvision


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded images of tests stay out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPCM_SPECTRAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def ctrl_c_counts() -> Iterator[None]:
    """As at a terminal; workers of pytest ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def image_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Training and validation folders of smooth random images, slightly larger than a crop."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("images")
    for name, count in (("train", 4), ("val", 2)):
        (root / name).mkdir()
        for i in range(count):
            small = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
            small.resize((300, 270), Image.Resampling.BICUBIC).save(root / name / f"{i}.png")
    return root / "train", root / "val"


@pytest.fixture
def small_run(image_folders: tuple[Path, Path]) -> list[str]:
    """Overrides of a run that takes seconds: tiny model, 2 epochs of 3 steps, no network, no W&B."""
    train, val = image_folders
    return [
        "model=hpcm_tiny",
        "data=folder",
        f"data.train_dir={train}",
        f"data.val_dir={val}",
        "data.batch_size=1",
        "data.samples_per_epoch=3",
        "data.num_workers=0",
        "logger=csv",
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
        "schedule.num_epochs=1",
        "seed=3",
    ]


@pytest.fixture
def short_run(image_folders: tuple[Path, Path]) -> list[str]:
    """Overrides of a run of 3 epochs of 5 steps that takes a second: a narrow codec of CompressAI's, no stage."""
    train, val = image_folders
    return [
        *("model=custom", "model._target_=compressai.models.ScaleHyperprior", "+model.N=8", "+model.M=8"),
        *("data=folder", f"data.train_dir={train}", f"data.val_dir={val}", "data.crop_size=64", "data.batch_size=2"),
        *("data.samples_per_epoch=10", "data.num_workers=0", "trainer.accelerator=cpu", "trainer.max_epochs=3"),
        *("trainer.log_every_n_steps=1", "phase1=off", "logger=csv", "lr_scheduler=cosine"),
    ]


def drop_closed_handlers() -> None:
    """Forget what logs to the stderr of an earlier test, as Hydra's logging does where a program was asked for it."""
    for logger in (logging.root, *logging.root.manager.loggerDict.values()):
        for handler in [*getattr(logger, "handlers", [])]:
            if getattr(getattr(handler, "stream", None), "closed", False):
                logger.removeHandler(handler)  # type: ignore[union-attr]


@pytest.fixture
def run_program(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Call a program as the command line would, in this process; returns its exit status."""
    from hpcm_spectral.cli import entry

    def run(program: str, *arguments: object) -> int:
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        monkeypatch.delenv("HPCM_SPECTRAL_TRACEBACK", raising=False)
        monkeypatch.setattr("sys.argv", [f"{program}.py", *map(str, arguments)])
        drop_closed_handlers()
        GlobalHydra.instance().clear()
        try:
            getattr(entry, program)()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    return run


@pytest.fixture
def run_train(run_program: Callable[..., int]) -> Callable[..., int]:
    """The training program."""
    return partial(run_program, "train")


@pytest.fixture
def run_convert(run_program: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """The conversion of checkpoints, within ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    return partial(run_program, "convert_checkpoint")


@pytest.fixture
def run_evaluate(
    run_program: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., int]:
    """The evaluation, within ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    return partial(run_program, "evaluate")
