"""The files that weights can come from: exported codecs, published checkpoints, checkpoints of a run."""

import hashlib
import math
import pickle
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.files import user_path
from hpcm_spectral.models.exported import DESCRIPTION, WEIGHTS, read_codec
from hpcm_spectral.models.registry import (
    FAMILIES,
    checked_weights,
    family_of,
    outline,
    refuse_untrusted_name,
    translate,
)
from hpcm_spectral.models.weights import CodecWeights, array_shape
from hpcm_spectral.runs.folder import BEST, CHECKPOINTS, CONFIG, LAST, checkpoint_path, folder_of
from hpcm_spectral.runs.saved_config import read_config

PREFIX = "codec."
# Under this key a training's checkpoint says what its codec is built from.
CODEC = "codec"
TRAINING = "training checkpoint"


@dataclass(frozen=True)
class CodecSource:
    """Weights and where they came from.

    Args:
        path: The file or folder that was read.
        kind: What it is, for people.
        weights: The codec.
        training: Plain values about the training, as far as the file tells.
    """

    path: Path
    kind: str
    weights: CodecWeights
    training: dict[str, Any] = field(default_factory=dict)

    def origin(self) -> dict[str, str]:
        """What identifies the weights: path and kind, and the digest of their file."""
        digest = hashlib.sha256()
        with (self.path / WEIGHTS if self.path.is_dir() else self.path).open("rb") as file:
            while part := file.read(2**20):
                digest.update(part)
        return {"path": str(self.path.resolve()), "kind": self.kind, "sha256": digest.hexdigest()}

    def __str__(self) -> str:
        return f"{self.path} ({self.kind} of {self.weights.name})"


def read_source(setting: str, name: str, allow: Collection[str] = ()) -> CodecSource:
    """Read a codec's weights from any file that holds them, without running code that a file could bring along.

    Args:
        setting: The folder of an exported codec or of a run, a published checkpoint or one of a run.
        name: The setting's name, for messages.
        allow: Classes that a file may name besides registered codecs, see :func:`hpcm_spectral.models.load_codec`.

    Raises:
        CheckpointError: There is no such file, or it holds no codec.
    """
    path = user_path(setting)
    if not setting or not path.exists():
        raise CheckpointError(
            f"{name} must name the folder of an exported codec or of a run, or a checkpoint, got "
            f"{setting or 'nothing'}{', which does not exist' if setting else ''}."
        )
    if path.name in (DESCRIPTION, WEIGHTS):
        path = path.parent
    if path.is_dir():
        if (path / DESCRIPTION).exists():
            return CodecSource(path, "exported codec", read_codec(path, allow))
        checkpoints = [checkpoint_path(path, kind) for kind in (BEST, LAST)]
        found = next((checkpoint for checkpoint in checkpoints if checkpoint.is_file()), None)
        if found is None:
            raise CheckpointError(
                f"{name} must name a folder with {DESCRIPTION} or {CHECKPOINTS}/{BEST}.ckpt, got {path}, which has "
                "neither."
            )
        path = found
    return _from_checkpoint(path, _read(path), allow)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"{path} must be a file, got something else.")
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except OSError:
        raise
    except Exception as error:  # unpickling a file of any content can raise anything
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if wanted:
            raise CheckpointError(
                f"{path} must hold tensors and plain values only, but asks for {wanted[1]}, which is not loaded "
                "because it could run code; save its state dict alone, where you trust the file."
            ) from None
        raise CheckpointError(f"{path} must be a checkpoint of PyTorch, but it is damaged or something else.") from None


def _from_checkpoint(path: Path, content: Any, allow: Collection[str]) -> CodecSource:
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path} must hold a state dict, got {type(state).__name__}.")
    own = {key.removeprefix(PREFIX): state[key] for key in state if isinstance(key, str) and key.startswith(PREFIX)}
    try:
        if own:
            return _from_run(path, content, own, allow)
        return CodecSource(path, "published checkpoint", translate(state), {"converted_from": path.name})
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be used: {error}") from None


def _from_run(path: Path, content: Mapping[str, Any], state: Mapping[str, Any], allow: Collection[str]) -> CodecSource:
    """A checkpoint of a run, which says what its codec is built from; an older one's tensors show it."""
    config = _config_of(path)
    description = content[CODEC] if isinstance(content.get(CODEC), Mapping) else {}
    if inner := description.get("network"):
        # A codec that wraps another keeps the names of its network in files.
        state = {key.removeprefix(f"{inner}."): value for key, value in state.items()}
    found = _described(description, state, allow) if description else _inferred(state, config.get("model", {}))
    shapes = {key: shape for key, value in state.items() if (shape := array_shape(value)) is not None}
    owner, arguments = "its codec", found.arguments
    if (family := family_of(found.name)) is not None:
        arguments = family.check_arguments(arguments, shapes, owner)
    codec = outline(found.name, arguments, owner, allow)
    tensors = checked_weights(codec, shapes, state.__getitem__, owner)
    weights = replace(found, arguments=arguments, tensors=tensors)
    return CodecSource(path, TRAINING, weights, _notes(config, content))


def _described(description: Mapping[str, Any], state: Mapping[str, Any], allow: Collection[str]) -> CodecWeights:
    name, arguments = description.get("name"), description.get("arguments")
    refuse_untrusted_name(name, "its codec", allow)
    if not isinstance(arguments, Mapping):
        raise CheckpointError("Its codec must be described by its arguments, which are missing.")
    return CodecWeights(str(name), dict(arguments), dict(state))


def _inferred(state: Mapping[str, Any], settings: Mapping[str, Any]) -> CodecWeights:
    tensors = {key: value for key, value in state.items() if array_shape(value) is not None}
    for family in FAMILIES:
        if (weights := family.infer(tensors, settings)) is not None:
            return weights
    raise CheckpointError("Its codec must be described in it, or be one whose tensors show its sizes, but is neither.")


def _config_of(checkpoint: Path) -> dict[str, Any]:
    """The config of the run that a checkpoint lies in, as plain data; empty if it lies alone."""
    folder = folder_of(checkpoint)
    if not (folder / CONFIG).is_file():
        return {}
    config = read_config(folder, error=CheckpointError)
    if not isinstance(config["model"], dict):
        raise CheckpointError(f"{folder / CONFIG} must be the config of the checkpoint's run, but it is damaged.")
    return config


def _notes(config: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """What an export of this run would say about its training."""
    notes: dict[str, Any] = {}
    if isinstance(loss := config.get("loss"), dict):
        notes["loss"] = {name: loss[name] for name in ("metric", "lmbda") if _is_plain(loss.get(name))}
    for key, name, offset in (("epoch", "epochs", 1), ("global_step", "steps", 0)):
        if isinstance(content.get(key), int):
            notes[name] = content[key] + offset
    return notes


def _is_plain(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value))
