import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from hpcm_spectral.data import FolderDataModule, PhotoDataModule, TrainingCrops, ValidationImages
from hpcm_spectral.errors import DataError


class Recorder(LightningModule):
    """Keeps what it is trained and validated on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[torch.Tensor] = []
        self.validated: list[torch.Size] = []

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        self.seen.append(batch.clone())
        return self.weight * batch.mean()

    def validation_step(self, batch: torch.Tensor) -> None:
        self.validated.append(batch.shape)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(tmp_path: Path, epochs: int, *callbacks: Callback) -> Trainer:
    return Trainer(
        default_root_dir=tmp_path,
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=list(callbacks),
    )


@pytest.fixture
def folders(make_images) -> tuple[str, str]:
    train = make_images(5, size=(300, 280), folder="train")
    val = make_images(2, size=(33, 20), folder="val")
    return str(train[0].parent), str(val[0].parent)


@pytest.mark.parametrize("workers", [0, 2])
def test_lightning_trains_each_epoch_on_new_samples_and_resumes_exactly(
    folders: tuple[str, str], tmp_path: Path, workers: int
) -> None:
    def data() -> FolderDataModule:
        return FolderDataModule(*folders, batch_size=2, samples_per_epoch=5, num_workers=workers, seed=9)

    straight, resumed = Recorder(), Recorder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer(tmp_path, 3).fit(straight, data())
        first = trainer(tmp_path, 2)
        first.fit(Recorder(), data())
        first.save_checkpoint(tmp_path / "a.ckpt")
        trainer(tmp_path, 3).fit(resumed, data(), ckpt_path=tmp_path / "a.ckpt", weights_only=False)
    crops = TrainingCrops(sorted(Path(folders[0]).iterdir()), 256, 9)
    # The fifth sample of each epoch is left over, as it fills no batch.
    expected = [torch.stack([crops[n], crops[n + 1]]) for n in (0, 2, 5, 7, 10, 12)]
    assert len(straight.seen) == 6
    assert all(torch.equal(got, want) for got, want in zip(straight.seen, expected, strict=True))
    assert all(torch.equal(got, want) for got, want in zip(resumed.seen, expected[4:], strict=True))
    assert straight.validated[-2:] == [(1, 3, 20, 33)] * 2


@pytest.mark.parametrize("workers", [0, 1])
def test_a_checkpoint_within_an_epoch_resumes_at_the_next_batch(
    folders: tuple[str, str], tmp_path: Path, workers: int
) -> None:
    def data() -> FolderDataModule:
        return FolderDataModule(*folders, batch_size=1, samples_per_epoch=3, num_workers=workers)

    class SaveAfterFive(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
            if trainer.global_step == 5:
                trainer.save_checkpoint(tmp_path / "a.ckpt")

    straight, resumed = Recorder(), Recorder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer(tmp_path, 3, SaveAfterFive()).fit(straight, data())
        trainer(tmp_path, 3).fit(resumed, data(), ckpt_path=tmp_path / "a.ckpt", weights_only=False)
    assert len(straight.seen) == 9
    assert all(torch.equal(got, want) for got, want in zip(resumed.seen, straight.seen[5:], strict=True))


def test_photos_load_whole_validation_images_and_cached_crops(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    data = PhotoDataModule(num_workers=0, samples_per_epoch=9, batch_size=4)
    data.setup("fit")
    assert any(message.startswith("train: 48 of 48 images kept decoded in ") for message in caplog.messages)
    assert not any("share" in message for message in caplog.messages)
    assert [batch.shape for batch in data.train_dataloader()] == [(4, 3, 256, 256)] * 2
    shapes = {name: tuple(batch.shape) for name, batch in zip(data.val_names, data.val_dataloader(), strict=True)}
    assert shapes["chelsea.png"] == (1, 3, 300, 451)
    assert len(shapes) == 5


def test_validating_does_not_touch_the_training_images(folders: tuple[str, str]) -> None:
    data = FolderDataModule("/nowhere", folders[1], num_workers=0)
    data.setup("validate")
    assert len(list(data.val_dataloader())) == 2
    with pytest.raises(DataError, match="/nowhere"):
        data.setup("fit")


def test_an_epoch_is_all_images_by_default(folders: tuple[str, str]) -> None:
    assert len(FolderDataModule(*folders, batch_size=2, num_workers=0).train_dataloader()) == 2
    with pytest.raises(DataError, match=r"batch_size \(8\).*got 5"):
        FolderDataModule(*folders, num_workers=0).train_dataloader()


def test_shared_files_are_named(folders: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    (Path(folders[1]) / "zzz.png").symlink_to(Path(folders[0]) / "003.png")
    FolderDataModule(*folders, num_workers=0).setup("fit")
    assert any("share 1 files" in text and "train/003.png" in text for text in caplog.messages)


def test_loading_leaves_the_global_generator_alone(folders: tuple[str, str]) -> None:
    loader = FolderDataModule(*folders, batch_size=2, num_workers=0).train_dataloader()
    before = torch.get_rng_state()
    next(iter(loader))
    assert torch.equal(torch.get_rng_state(), before)


def test_page_locked_memory_needs_cuda(folders: tuple[str, str]) -> None:
    loader = FolderDataModule(*folders, batch_size=2, num_workers=0).train_dataloader()
    assert loader.pin_memory is torch.cuda.is_available()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop_size": 0}, "crop_size must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"num_workers": -1}, "num_workers must be at least 0, got -1"),
        ({"cache_gib": -0.5}, "cache_gib must be at least 0, got -0.5"),
        ({"crops_per_image": 0}, "crops_per_image must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"samples_per_epoch": 7}, "samples_per_epoch must be at least batch_size (8), got 7"),
    ],
)
def test_values_out_of_range_are_named_first(options: dict[str, int], message: str) -> None:
    for make in (PhotoDataModule, lambda **given: FolderDataModule("a", "b", **given)):
        with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")) as caught:
            make(**options)
        assert str(caught.value).startswith(message)


def test_unreadable_validation_images_raise_on_request(folders: tuple[str, str], truncate) -> None:
    truncate(Path(folders[1]) / "000.png")
    with pytest.raises(DataError, match=r"val/000\.png"):
        FolderDataModule(*folders, num_workers=0, on_error="raise").setup("validate")


def test_validation_datasets_are_not_changed_by_workers(folders: tuple[str, str]) -> None:
    data = FolderDataModule(*folders, num_workers=1)
    expected = ValidationImages(data.val_files())
    for k, batch in enumerate(data.val_dataloader()):
        assert torch.equal(batch[0], expected[k])


def test_a_script_that_keeps_its_loaders_ends(folders: tuple[str, str]) -> None:
    script = (
        "import sys; from hpcm_spectral.data import FolderDataModule\n"
        "data = FolderDataModule(*sys.argv[1:], batch_size=2, num_workers=1, cache_gib=0)\n"
        "loaders = data.train_dataloader(), data.val_dataloader()\n"
        "print([next(iter(loader)).shape[0] for loader in loaders])"
    )
    ended = subprocess.run([sys.executable, "-c", script, *folders], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout.strip()) == (0, "[2, 1]"), ended.stderr
