"""A codec as plain data: its name, arguments and weights, checked before anything of that size is built."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from compressai.entropy_models import EntropyModel
from torch import nn

from hpcm_spectral.errors import CheckpointError

SHOWN = 80
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class CodecWeights:
    """What makes a codec.

    Args:
        name: The name it is registered under, or the dotted path of its class.
        arguments: What it is built from.
        tensors: Its weights by key: finite, of fitting shapes, on the CPU.
        notes: What to tell people about them.
        unknown: Arguments that the file does not tell and no tensor shows, with their choices.
    """

    name: str
    arguments: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    notes: tuple[str, ...] = ()
    unknown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """What makes a network what it is: parameters, and buffers but for those of entropy models, which follow from them.

    Returns:
        The network's own tensors by key.
    """
    inside = {
        f"{path}.{name}" if path else name
        for path, module in network.named_modules()
        if isinstance(module, EntropyModel)
        for name, _ in module.named_buffers()
    }
    state, parameters = network.state_dict(keep_vars=True), dict(network.named_parameters())
    return {key: value for key, value in state.items() if key in parameters or key not in inside}


def copy_into(network: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give a network the weights that ``tensors`` holds by key, all of which fit."""
    with torch.no_grad():
        for key, value in weights_of(network).items():
            value.copy_(tensors[key])


def shapes_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Shapes by key."""
    return {key: tuple(value.shape) for key, value in tensors.items()}


def array_shape(value: object) -> tuple[int, ...] | None:
    """The shape of what should be a tensor of numbers; None for anything else."""
    return tuple(value.shape) if isinstance(value, torch.Tensor) and not value.is_nested else None


def check_shapes(expected: Shapes, tables: Collection[str], shapes: Shapes, owner: str) -> None:
    """Compare the tensors in a file with the codec that it claims to hold.

    Args:
        expected: Shapes of the codec's weights by key.
        tables: Keys of what a file may hold besides, in any shape.
        shapes: Of every tensor in the file.
        owner: The file, for messages.

    Raises:
        CheckpointError: A tensor is missing, unknown or of another shape.
    """
    for key, shape in expected.items():
        if key not in shapes:
            raise CheckpointError(f"{owner} must hold {key!r}, which is missing.")
        if shapes[key] != shape:
            raise CheckpointError(f"{key!r} must have shape {shape} in {owner}, got {shapes[key]}.")
    for key in shapes:
        if key not in expected and key not in tables:
            raise CheckpointError(f"{owner} must hold nothing but a codec's tensors, got {shown(key)}.")


def checked_tensor(key: str, value: object, shape: tuple[int, ...], owner: str, *, real: bool = True) -> torch.Tensor:
    """A weight on the CPU, of real numbers as float32.

    Args:
        key: Its key in the file.
        value: What the file holds there.
        shape: What it must have.
        owner: The file, for messages.
        real: Whether it is of real numbers; others are taken as they are.

    Raises:
        CheckpointError: It is no tensor of finite real numbers, or of another shape.
    """
    if array_shape(value) != shape:
        got = array_shape(value) or type(value).__name__
        raise CheckpointError(f"{key!r} must have shape {shape} in {owner}, got {got}.")
    assert isinstance(value, torch.Tensor)
    if not real:
        return value.detach().cpu()
    if value.is_meta or value.layout is not torch.strided or not value.is_floating_point():
        kind = "a tensor without values" if value.is_meta else f"{value.dtype} in layout {value.layout}"
        raise CheckpointError(f"{key!r} must hold plain real numbers in {owner}, got {kind}.")
    tensor = value.detach().to("cpu", torch.float32)
    # The extremes of anything that holds a NaN are NaN; unlike isfinite this needs no memory.
    if tensor.numel() and not all(torch.isfinite(extreme) for extreme in torch.aminmax(tensor)):
        raise CheckpointError(f"{key!r} must hold finite numbers in {owner}, got NaN or infinite ones.")
    return tensor


def without_prefix(state_dict: Mapping[Any, Any]) -> dict[str, Any]:
    """A published state dict without the ``module.`` that training on several devices puts before every key.

    Raises:
        CheckpointError: A key is no text, or there twice.
    """
    tensors: dict[str, Any] = {}
    for key, value in state_dict.items():
        plain = key.removeprefix("module.") if isinstance(key, str) else key
        if not isinstance(key, str) or plain in tensors:
            raise CheckpointError(f"Every key of a checkpoint must be text and there once, got {shown(key)}.")
        tensors[plain] = value
    return tensors


def translated(
    tensors: Mapping[str, Any],
    names: Mapping[str, str],
    shapes: Shapes,
    unused: Mapping[str, tuple[int, ...] | int],
    owner: str,
) -> dict[str, torch.Tensor]:
    """The weights in a published state dict by our own keys.

    Args:
        tensors: By published key.
        names: Our key for every published one that must be there.
        shapes: Of our weights, by our keys.
        unused: What must be there besides, its values unused: by its key a shape, or the number of dimensions that a
            table has once it is filled.
        owner: What it is a checkpoint of, for messages.

    Raises:
        CheckpointError: A key is unknown or missing, its tensor of another shape or not finite.
    """
    found: dict[str, torch.Tensor] = {}
    for key, value in tensors.items():
        if key in names:
            found[names[key]] = checked_tensor(key, value, shapes[names[key]], owner)
        elif key in unused:
            _check_unused(key, value, unused[key], owner)
    if unknown := [shown(key) for key in tensors if key not in names and key not in unused]:
        more = f" and {len(unknown) - 3} more" if unknown[3:] else ""
        raise CheckpointError(f"Every key of {owner} must be a published one, got {', '.join(unknown[:3])}{more}.")
    for key in (*names, *unused):
        if key not in tensors:
            raise CheckpointError(f"{owner[0].upper()}{owner[1:]} must hold {key!r}, which is missing.")
    return found


def _check_unused(key: str, value: object, form: tuple[int, ...] | int, owner: str) -> None:
    shape = array_shape(value)
    if isinstance(form, tuple):
        fits, must = shape == form, f"shape {form}"
    else:
        fits = shape == (0,) or (shape is not None and len(shape) == form)
        must = f"shape (0,) or {form} dimensions"
    if not fits:
        raise CheckpointError(f"{key!r} must have {must} in {owner}, got {shape or type(value).__name__}.")


def shown(value: object) -> str:
    """A value from a file for a message, cut short."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
