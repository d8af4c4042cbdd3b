"""A codec as plain data: its class, sizes and weights, checked before anything of that size is built."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.models.hpcm.model import HPCM
from hpcm_spectral.models.hpcm.variants import HPCM_Base, HPCM_Large, HPCM_Tiny

SHOWN = 80
# Arguments whose lists count residual blocks, each of which has tensors of its own.
DEPTHS = ("depths", "context_depths_coarse", "context_depths_fine")
# What no size decides; every variant exists with each of them.
OPTIONS = ("cross_attention", "hyper_prior_order")
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class CodecWeights:
    """What makes a codec.

    Args:
        cls: HPCM or a variant of it.
        arguments: All arguments of its constructor.
        tensors: Its parameters by key: float32, finite, of fitting shapes, on the CPU.
        gains_missing: The per-step gains were not in the file and are one.
    """

    cls: type[HPCM]
    arguments: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    gains_missing: bool = False

    def build(self) -> HPCM:
        """A codec of its own; the coding tables are left to ``update``."""
        codec = self.cls(**self.arguments)
        copy_into(codec, self.tensors)
        return codec


def copy_into(codec: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give a codec the parameters that ``tensors`` holds by key, all of which fit."""
    with torch.no_grad():
        for key, parameter in codec.named_parameters():
            parameter.copy_(tensors[key])


def outline(cls: type[HPCM], arguments: Mapping[str, Any]) -> HPCM:
    """A codec with names and shapes but without memory for its parameters."""
    with torch.device("meta"):
        return cls(**arguments)


def parameter_shapes(codec: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of a codec's parameters by key."""
    return {key: tuple(parameter.shape) for key, parameter in codec.named_parameters()}


def array_shape(value: object) -> tuple[int, ...] | None:
    """The shape of what should be a tensor of numbers; None for anything else."""
    return tuple(value.shape) if isinstance(value, torch.Tensor) and not value.is_nested else None


def variant_of(arguments: Mapping[str, Any]) -> type[HPCM]:
    """The variant whose sizes these are; HPCM itself for sizes of one's own."""
    options = {name: arguments[name] for name in OPTIONS}
    variants = (HPCM_Base, HPCM_Large, HPCM_Tiny)
    return next((cls for cls in variants if outline(cls, options).arguments == arguments), HPCM)


def check_shapes(cls: type[HPCM], arguments: Mapping[str, Any], shapes: Shapes, owner: str) -> Shapes:
    """Compare the tensors in a file with the codec that it claims to hold.

    Args:
        cls: The class of the codec.
        arguments: Its sizes, of the right types but of any value.
        shapes: By key, of every tensor in the file.
        owner: The file, for messages.

    Returns:
        The shapes of the codec's parameters by key.

    Raises:
        CheckpointError: A size is impossible, or a tensor is missing, unknown or of another shape.
    """
    blocks = sum(sum(arguments[name]) for name in DEPTHS)
    if blocks > len(shapes):
        raise CheckpointError(
            f"{owner} must hold tensors of every residual block, got {shown(blocks)} blocks and {len(shapes)} tensors."
        )
    try:
        codec = outline(cls, arguments)
    except ValueError as error:
        raise CheckpointError(f"{owner} must belong to a codec that can be built: {error}") from None
    except (TypeError, RuntimeError):
        # PyTorch's way to say that a tensor would exceed any memory.
        raise CheckpointError(f"{owner} must belong to a codec that fits into memory, got larger sizes.") from None
    expected = parameter_shapes(codec)
    tables = {key for key, _ in codec.named_buffers()}
    for key, shape in expected.items():
        if key not in shapes:
            raise CheckpointError(f"{owner} must hold {key!r}, which is missing.")
        if shapes[key] != shape:
            raise CheckpointError(f"{key!r} must have shape {shape} in {owner}, got {shapes[key]}.")
    for key in shapes:
        if key not in expected and key not in tables:
            raise CheckpointError(f"{owner} must hold nothing but a codec's tensors, got {shown(key)}.")
    return expected


def checked_tensor(key: str, value: object, shape: tuple[int, ...], owner: str) -> torch.Tensor:
    """A weight as float32 on the CPU.

    Args:
        key: Its key in the file.
        value: What the file holds there.
        shape: What it must have.
        owner: The file, for messages.

    Raises:
        CheckpointError: It is no tensor of finite real numbers, or of another shape.
    """
    if array_shape(value) != shape:
        got = array_shape(value) or type(value).__name__
        raise CheckpointError(f"{key!r} must have shape {shape} in {owner}, got {got}.")
    assert isinstance(value, torch.Tensor)
    if value.is_meta or value.layout is not torch.strided or not value.is_floating_point():
        kind = "a tensor without values" if value.is_meta else f"{value.dtype} in layout {value.layout}"
        raise CheckpointError(f"{key!r} must hold plain real numbers in {owner}, got {kind}.")
    tensor = value.detach().to("cpu", torch.float32)
    # The extremes of anything that holds a NaN are NaN; unlike isfinite this needs no memory.
    if tensor.numel() and not all(torch.isfinite(extreme) for extreme in torch.aminmax(tensor)):
        raise CheckpointError(f"{key!r} must hold finite numbers in {owner}, got NaN or infinite ones.")
    return tensor


def shown(value: object) -> str:
    """A value from a file for a message, cut short."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
