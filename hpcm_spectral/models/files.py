"""Exported codecs: ``codec.safetensors`` with the weights, ``codec.json`` with a registered name and plain numbers."""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, get_args

import torch
from compressai.models import CompressionModel
from compressai.registry import MODELS
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.files import whole_file, write_text
from hpcm_spectral.models.hpcm import HPCM
from hpcm_spectral.models.hpcm.context import HyperPriorOrder
from hpcm_spectral.models.weights import CodecWeights, check_shapes, checked_tensor, shown

FORMAT = 1
WEIGHTS, DESCRIPTION = "codec.safetensors", "codec.json"
KEYS = ("format", "name", "arguments", "training")
ORDERS = get_args(HyperPriorOrder)
MAX_DESCRIPTION = 2**20


def save_codec(codec: CompressionModel, folder: Path, *, training: dict[str, Any]) -> None:
    """Export a codec: its own tensors and sizes, nothing of the training that made it but a note.

    Args:
        codec: What to export; its weights are written as float32.
        folder: Where; must exist. A codec that lies there is replaced, and never described by the wrong file.
        training: Plain values about the training, for people to read.
    """
    name = next(name for name, cls in MODELS.items() if cls is type(codec))
    description = {"format": FORMAT, "name": name, "arguments": codec.arguments, "training": training}
    tensors = {key: _exported(value) for key, value in codec.state_dict().items()}
    with whole_file(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)
        (folder / DESCRIPTION).unlink(missing_ok=True)
    write_text(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")


def load_codec(folder: str | Path) -> HPCM:
    """The codec exported into ``folder``, ready to code: with its coding tables, in evaluation mode on the CPU.

    Only registered codecs can be named, and only their sizes are read: nothing in the files chooses other code.

    Raises:
        CheckpointError: A file is missing or damaged, or the two do not belong together.
    """
    codec = read_codec(folder).build().eval()
    codec.update()
    return codec


def read_codec(folder: str | Path) -> CodecWeights:
    """The codec exported into ``folder``, not yet built; see :func:`load_codec`."""
    folder = Path(folder)
    cls, arguments = _read_description(folder / DESCRIPTION)
    return CodecWeights(cls, arguments, _read_weights(folder / WEIGHTS, cls, arguments))


def _exported(value: torch.Tensor) -> torch.Tensor:
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).contiguous()


def _read_description(path: Path) -> tuple[type[HPCM], dict[str, Any]]:
    description = _read_json(path)
    if not isinstance(description, dict):
        raise CheckpointError(f"{path} must describe an exported codec, got {shown(description)}.")
    if unknown := [key for key in description if key not in KEYS]:
        raise CheckpointError(f"{path} must hold {', '.join(KEYS)} and nothing else, got {shown(unknown[0])}.")
    if missing := [key for key in KEYS[:3] if key not in description]:
        raise CheckpointError(f"{path} must hold {missing[0]!r}, which is missing.")
    if type(description["format"]) is not int or description["format"] != FORMAT:
        raise CheckpointError(f"{path} must be of format {FORMAT}, got {shown(description['format'])}.")
    if not isinstance(description.get("training", {}), dict):
        raise CheckpointError(f"{path} must hold a group of notes as training, got {shown(description['training'])}.")
    codecs = {name: cls for name, cls in MODELS.items() if isinstance(cls, type) and issubclass(cls, HPCM)}
    name = description["name"]
    if not isinstance(name, str) or name not in codecs:
        raise CheckpointError(f"{path} must name one of the codecs {', '.join(codecs)}, got {shown(name)}.")
    return codecs[name], _checked_arguments(path, description["arguments"])


def _read_json(path: Path) -> Any:
    # Opening a pipe or a device would wait or never end.
    if not path.is_file():
        raise CheckpointError(f"{path} must describe an exported codec, but there is no such file.")
    try:
        if path.stat().st_size > MAX_DESCRIPTION:
            raise ValueError(f"it has more than {MAX_DESCRIPTION} bytes")
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise CheckpointError(f"{path} must describe an exported codec, but it is nested too deeply.") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} must describe an exported codec, but cannot be read: {error}.") from None


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _checked_arguments(path: Path, given: object) -> dict[str, Any]:
    """All arguments of an HPCM, each of its type; their ranges are the business of the class."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(HPCM).parameters.items()}
    if not isinstance(given, dict):
        raise CheckpointError(f"{path} must hold sizes as arguments, got {shown(given)}.")
    for name in (*defaults, *given):
        if name not in given or name not in defaults:
            state = "is missing" if name not in given else "is unknown"
            raise CheckpointError(f"{path} must hold the arguments {', '.join(defaults)}, but {shown(name)} {state}.")
        if not _is_like(given[name], defaults[name]):
            raise CheckpointError(
                f"{path} must hold as {name} a value like {json.dumps(defaults[name])}, got {shown(given[name])}."
            )
    order = given["hyper_prior_order"]
    if order not in ORDERS:
        raise CheckpointError(f"{path} must hold as hyper_prior_order {' or '.join(ORDERS)}, got {shown(order)}.")
    return dict(given)


def _is_like(value: object, default: object) -> bool:
    """Whether both are of the same type; lists also of the same length."""
    if isinstance(default, tuple):
        return isinstance(value, list) and len(value) == len(default) and all(map(_is_like, value, default))
    return type(value) is type(default)


def _read_weights(path: Path, cls: type[HPCM], arguments: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The parameters, once the file's header has shown that they are those of such a codec."""
    if not path.is_file():
        raise CheckpointError(f"{path} must hold the codec's weights, but there is no such file.")
    try:
        with safe_open(path, framework="pt") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  no mapping
            shapes = {key: tuple(part.get_shape()) for key, part in slices.items()}
            expected = check_shapes(cls, arguments, shapes, f"{path} (described by {DESCRIPTION})")
            for key in expected:
                if (kind := slices[key].get_dtype()) != "F32":
                    raise CheckpointError(f"{key!r} must hold float32 numbers in {path}, got {kind}.")
            return {key: checked_tensor(key, file.get_tensor(key), shape, str(path)) for key, shape in expected.items()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} must hold the codec's weights, but cannot be read: {error}.") from None
