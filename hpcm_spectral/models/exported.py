"""Exported codecs: ``codec.safetensors`` with the weights, ``codec.json`` with a name and plain values."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import CheckpointError, ConfigError
from hpcm_spectral.files import whole_file, write_text
from hpcm_spectral.models.registry import (
    build_codec,
    check_exportable,
    checked_weights,
    family_of,
    outline,
    refuse_untrusted_name,
    weight_shapes,
)
from hpcm_spectral.models.weights import CodecWeights, shown, weights_of

FORMAT = 1
WEIGHTS, DESCRIPTION = "codec.safetensors", "codec.json"
KEYS = ("format", "name", "arguments", "training")
MAX_DESCRIPTION = 2**20


def save_codec(codec: Codec, folder: Path, *, training: dict[str, Any]) -> None:
    """Export a codec: its own tensors and arguments, nothing of the training that made it but a note.

    Args:
        codec: What to export; its weights are written as float32, under the names of its network.
        folder: Where; must exist. A codec that lies there is replaced, and never described by the wrong file.
        training: Plain values about the training, for people to read.

    Raises:
        ConfigError: The codec's arguments are no plain values.
    """
    check_exportable(codec)
    description = {"format": FORMAT, "name": codec.name, "arguments": codec.arguments, "training": training}
    tensors = _exported(codec)
    with whole_file(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)
        (folder / DESCRIPTION).unlink(missing_ok=True)
    write_text(folder / DESCRIPTION, json.dumps(description, indent=2, allow_nan=False) + "\n")


def try_export(codec: Codec) -> None:
    """Refuse a codec that could not be exported and read again, before any time is spent on it; nothing is written.

    Raises:
        ConfigError: It has more than tensors as its state, or its settings build another one.
    """
    check_exportable(codec)
    strangers = [key for key, value in codec.network.state_dict().items() if not isinstance(value, torch.Tensor)]
    if strangers:
        raise ConfigError(f"model must have tensors only as its state to be exported, got others as {strangers[0]}.")
    with torch.random.fork_rng(devices=[]):
        try:
            twin = outline(codec.name, codec.arguments, "An exported codec", [codec.name])
        except CheckpointError as error:
            raise ConfigError(f"model must be one that its settings build again: {error}") from None
    ours, theirs = weight_shapes(codec), weight_shapes(twin)
    if ours != theirs:
        key = min(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
        raise ConfigError(
            f"model must be one that its settings build again to be exported, but {key} is {ours.get(key, 'missing')} "
            f"here and {theirs.get(key, 'missing')} in another one built from {codec.name} and {codec.arguments}."
        )


def load_codec(folder: str | Path, allow: Collection[str] = ()) -> Codec:
    """The codec exported into ``folder``, ready to code: with its coding tables, in evaluation mode on the CPU.

    Args:
        folder: A run folder, or any with the two files of a codec.
        allow: Dotted paths of classes that the folder may name besides registered codecs. Such a class is imported and
            called: allow it only where you trust its code.

    Raises:
        CheckpointError: A file is missing or damaged, the two do not belong together, or they name a class that is not
            allowed.
    """
    allow = [allow] if isinstance(allow, str) else allow
    codec = build_codec(read_codec(folder, allow), allow).eval()
    codec.update()
    return codec


def read_codec(folder: str | Path, allow: Collection[str] = ()) -> CodecWeights:
    """The codec exported into ``folder``, not yet built; see :func:`load_codec`."""
    folder = Path(folder)
    description = read_description(folder)
    return _read_weights(folder / WEIGHTS, folder / DESCRIPTION, description, allow)


def read_description(folder: str | Path) -> dict[str, Any]:
    """What ``codec.json`` says, its form checked but not what it names.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    path = Path(folder) / DESCRIPTION
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
    if not isinstance(description["arguments"], dict):
        raise CheckpointError(f"{path} must hold sizes as arguments, got {shown(description['arguments'])}.")
    return description


def _exported(codec: Codec) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for key, value in codec.network.state_dict().items():
        own = value.detach().cpu()
        own = (own.float() if own.is_floating_point() else own).contiguous()
        # The file format knows no shared memory, such as tied weights.
        shared = own.untyped_storage().data_ptr() in seen
        seen.add(own.untyped_storage().data_ptr())
        tensors[key] = own.clone() if shared else own
    return tensors


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


def _read_weights(path: Path, described: Path, description: dict[str, Any], allow: Collection[str]) -> CodecWeights:
    """The weights, once the file's header has shown that they are those of such a codec."""
    name, arguments = description["name"], description["arguments"]
    refuse_untrusted_name(name, str(described), allow)
    if not path.is_file():
        raise CheckpointError(f"{path} must hold the codec's weights, but there is no such file.")
    owner = f"{path} (described by {DESCRIPTION})"
    try:
        with _utf8(path) as readable, safe_open(readable, framework="pt") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  no mapping
            shapes = {key: tuple(part.get_shape()) for key, part in slices.items()}
            if (family := family_of(name)) is not None:
                arguments = family.check_arguments(arguments, shapes, str(described))
            codec = outline(name, arguments, owner, allow)
            real = {key for key, value in weights_of(codec.network).items() if value.is_floating_point()}
            for key in real & slices.keys():
                if (kind := slices[key].get_dtype()) != "F32":
                    raise CheckpointError(f"{key!r} must hold float32 numbers in {path}, got {kind}.")
            tensors = checked_weights(codec, shapes, file.get_tensor, owner)
            return CodecWeights(name, arguments, tensors)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} must hold the codec's weights, but cannot be read: {error}.") from None


@contextmanager
def _utf8(path: Path) -> Iterator[Path]:
    """The path, or a link to it where a folder's name is no UTF-8, which safetensors does not open."""
    if not any("\ud800" <= letter <= "\udfff" for letter in str(path)):
        yield path
        return
    with TemporaryDirectory() as folder:
        link = Path(folder) / path.name
        link.symlink_to(path.resolve())
        yield link
