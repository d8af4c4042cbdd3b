"""What can be measured of a config: training steps, coding, whole evaluations, loading of data."""

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps

from hpcm_spectral.benchmarks.rates import STEP_PER_FORWARD, count_operations
from hpcm_spectral.codec import Codec
from hpcm_spectral.data import EpochSampler, ImageDataModule, as_tensor, read_image
from hpcm_spectral.evaluation.score import score_image
from hpcm_spectral.stages import Stage
from hpcm_spectral.training import CodecModule
from hpcm_spectral.training.module import BASELINE


@dataclass(frozen=True)
class Thing:
    """Something to call in turns with others.

    Args:
        call: What is timed.
        subject: What it does it to, in words.
        images: How many of them per call.
        operations: Counts the operations of a call; None where they do not matter.
        dtype: In which most of these are; None where they are of two precisions, so that the rate of products in
            either would say nothing of them.
        tf32: Whether a GPU may round float32 in them.
    """

    call: Callable[[], object]
    subject: str
    images: int
    operations: Callable[[], int] | None = None
    dtype: torch.dtype | None = torch.float32
    tf32: bool = False


@dataclass
class Stepper:
    """Takes training steps as training does: forward, backward, clipping, update.

    Args:
        module: The codec with its stages, on its device.
        progress: In epochs.
        clip: Limit of the gradient norm; None clips nothing.
        autocast: Precision of autocast; None for float32.
    """

    module: CodecModule
    progress: float
    clip: float | None = 1.0
    autocast: torch.dtype | None = None

    def __post_init__(self) -> None:
        self.optimizer = self.module.recipe.optimizer(self.module.parameter_groups())

    def step(self, batch: Float[torch.Tensor, "B 3 H W"]) -> None:
        """One step on ``batch``."""
        self.optimizer.zero_grad()
        with torch.autocast(batch.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            loss = self.module.training_loss(batch, self.progress).loss
        self.module.backward(loss)
        if self.clip:
            self.module.configure_gradient_clipping(self.optimizer, self.clip)
        self.optimizer.step()


def progress_within(module: CodecModule) -> float:
    """Epochs at which the first stage acts fully: half-way through its window, or the start of one without end."""
    if not len(module.stages):
        return 0.0
    first = module.stages[0]
    assert isinstance(first, Stage)
    return first.full_from if first.end_epoch is None else (first.full_from + first.end_epoch) / 2


def training_step(stepper: Stepper, batch: Float[torch.Tensor, "B 3 H W"]) -> Thing:
    """A training step on a batch; the operations are those of the codec, without its stages'."""
    module, codec = stepper.module, stepper.module.codec
    stages = [stage for stage in module.stages if isinstance(stage, Stage)]
    acting = [stage.phase for stage in stages if stage.is_active(stepper.progress)]
    phase = f"{'+'.join(acting)} at epoch {stepper.progress:g}" if acting else BASELINE

    def operations() -> int:
        # In evaluation mode, where nothing is fused for the sake of gradients.
        codec.eval()
        counted = STEP_PER_FORWARD * count_operations(lambda: codec(batch, **codec.at_level(codec.middle_level)))
        codec.train()
        return counted

    return Thing(
        partial(stepper.step, batch),
        f"{'x'.join(map(str, batch.shape))}, {phase}",
        len(batch),
        operations,
        stepper.autocast or torch.float32,
        torch.backends.cudnn.allow_tf32 and stepper.autocast is None,
    )


def photograph(path: Path, width: int, height: int) -> Image.Image:
    """A photograph, cut to the shape and resized to the size that are wanted."""
    return ImageOps.fit(Image.fromarray(read_image(path)), (width, height), Image.Resampling.LANCZOS)


def encoding(codec: Codec, picture: Image.Image, memory_format: torch.memory_format) -> Thing:
    """Coding a picture into strings; the codec is ready to code."""
    x = _on_device(codec, picture, memory_format)
    return _coding(codec, partial(codec.encode, x, codec.middle_level), picture)


def decoding(codec: Codec, picture: Image.Image, memory_format: torch.memory_format) -> Thing:
    """Decoding a picture from its strings."""
    coded = codec.encode(_on_device(codec, picture, memory_format), codec.middle_level)
    return _coding(codec, partial(codec.decode, coded), picture)


def scoring(codec: Codec, picture: Image.Image) -> Thing:
    """What an evaluation does with an image: reading, estimating, coding to a file and back, comparing."""
    place = tempfile.TemporaryDirectory()
    image, file = (Path(place.name, name) for name in ("picture.png", "picture.hpcm"))
    picture.save(image)

    def call() -> None:
        assert place  # goes with the call
        score_image(codec, image, file, image.name, codec.middle_level)

    return _coding(codec, call, picture)


def _on_device(codec: Codec, picture: Image.Image, memory_format: torch.memory_format) -> torch.Tensor:
    x = as_tensor(np.array(picture))[None].to(next(codec.parameters()).device)
    return x.contiguous(memory_format=memory_format)


def _coding(codec: Codec, call: Callable[[], object], picture: Image.Image) -> Thing:
    """With transforms in bfloat16 the entropy path stays in float32: two precisions."""
    subject, dtype = f"a picture of {picture.width}x{picture.height}", codec.transform_dtype
    mixed = dtype != torch.float32
    if mixed:
        subject += f", transforms in {str(dtype).removeprefix('torch.')}"
    return Thing(call, subject, 1, partial(count_operations, call), None if mixed else dtype)


def epoch_of_batches(data: ImageDataModule) -> Thing:
    """Loading an epoch's batches, the next one at each call; the first includes the start of the loading processes."""
    loader, numbers = data.train_dataloader(), itertools.count()
    sampler = loader.sampler
    assert isinstance(sampler, EpochSampler)

    def call() -> None:
        sampler.set_epoch(next(numbers))
        for _ in loader:
            pass

    crops = f"{len(loader)} batches of {data.batch_size} crops of {data.crop_size}x{data.crop_size}"
    return Thing(call, f"{crops}, {data.num_workers} workers", len(loader) * data.batch_size)
