"""The families of codecs, by the names that files give to their codecs; each family registers itself here."""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from hydra.utils import get_object
from torch import nn

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import CheckpointError, ConfigError, one_line
from hpcm_spectral.models.weights import (
    SHOWN,
    CodecWeights,
    Shapes,
    check_shapes,
    checked_tensor,
    copy_into,
    shapes_of,
    shown,
    weights_of,
)


class Family:
    """What the generic part of the house asks of a family of codecs.

    Attributes:
        names: The names that its codecs are registered under.
        of_training: Arguments that say what a codec is trained for; its weights may start a training for others.
    """

    names: tuple[str, ...] = ()
    of_training: tuple[str, ...] = ()

    def build(self, name: str, arguments: Mapping[str, Any]) -> Codec:
        """A codec with fresh weights."""
        raise NotImplementedError

    def outline(self, name: str, arguments: Mapping[str, Any]) -> Codec:
        """A codec with the names and shapes of its weights, whatever these are; cheaper than a whole one if it can."""
        return self.build(name, arguments)

    def check_arguments(self, given: Mapping[str, Any], shapes: Shapes, owner: str) -> dict[str, Any]:
        """Arguments from a file, before anything of their size is built.

        Args:
            given: Values of any type.
            shapes: Of the tensors that the file holds.
            owner: The file, for messages.

        Raises:
            CheckpointError: They are not those of such a codec.
        """
        raise NotImplementedError

    def adopt(self, built: nn.Module) -> Codec | None:
        """A foreign model behind the protocol; None if that is not this family's business."""
        return None

    def translate(self, state_dict: Mapping[Any, Any]) -> CodecWeights | None:
        """The codec in a state dict that others published; None if it is of another family.

        Raises:
            CheckpointError: It is of this family, but damaged; the first such key is named.
        """
        return None

    def infer(self, state_dict: Mapping[str, torch.Tensor], settings: Mapping[str, Any]) -> CodecWeights | None:
        """The codec in a checkpoint of a training that does not name it, as older ones do not.

        Args:
            state_dict: The codec's tensors by its own keys, not yet checked.
            settings: Of the run's ``model``; empty if the checkpoint lies alone.
        """
        return None


FAMILIES: list[Family] = []


def register_family(family: Family) -> None:
    """Make a family known to files, checkpoints and configs."""
    FAMILIES.append(family)


def family_of(name: str) -> Family | None:
    """The family that a registered name belongs to."""
    return next((family for family in FAMILIES if name in family.names), None)


def registered_names() -> list[str]:
    """All names that a file can give to its codec."""
    return [name for family in FAMILIES for name in family.names]


def as_codec(built: nn.Module, settings: Mapping[str, Any]) -> Codec:
    """What a config's ``model`` builds, behind the protocol.

    Args:
        built: A `Codec`, or a ``CompressionModel`` of CompressAI or of a user.
        settings: What it was built from, with ``_target_``; a codec without a registered name is exported by these.

    Raises:
        ConfigError: It is neither, or its settings are more than plain values.
    """
    adopted = built if isinstance(built, Codec) else next(filter(None, (f.adopt(built) for f in FAMILIES)), None)
    if adopted is None:
        raise ConfigError(
            f"model._target_ must name a Codec or a CompressionModel of CompressAI, got {type(built).__name__}."
        )
    if family_of(getattr(adopted, "name", "")) is None:
        adopted.name = str(settings["_target_"])
        adopted.arguments = {key: value for key, value in settings.items() if not key.startswith("_")}
    check_exportable(adopted)
    return adopted


def check_exportable(codec: Codec) -> None:
    """Refuse a codec that could not be exported, before any time is spent on it.

    Raises:
        ConfigError: Its arguments are no plain values.
    """
    try:
        json.dumps(codec.arguments, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model must have plain values as settings to be exported, but: {one_line(error)}.") from None
    if "_target_" in json.dumps(codec.arguments):
        raise ConfigError("model must have plain values as settings to be exported, got a class within them.")


def description_of(codec: Codec) -> dict[str, Any]:
    """What a checkpoint of a training says of its codec: what it is built from, and where in it the network lies."""
    network = next(path for path, module in codec.named_modules() if module is codec.network)
    return {"name": codec.name, "arguments": codec.arguments, "network": network}


def outline(name: str, arguments: Mapping[str, Any], owner: str, allow: Collection[str] = ()) -> Codec:
    """A codec with the names and shapes of its weights, from what a file says of it.

    Args:
        name: The name it is registered under, or the dotted path of its class.
        arguments: From the file; of a registered codec they have been checked.
        owner: The file, for messages.
        allow: Classes that are not registered but may be imported.

    Raises:
        CheckpointError: The name is of neither kind, or the codec cannot be built.
    """
    family = family_of(name)
    if family is None:
        return _build_own(name, arguments, owner, allow)
    try:
        return family.outline(name, arguments)
    except ValueError as error:
        raise CheckpointError(f"{owner} must belong to a codec that can be built: {error}") from None
    except (TypeError, RuntimeError):
        # PyTorch's way to say that a tensor would exceed any memory.
        raise CheckpointError(
            f"{owner} must belong to a codec that can be built and fits into memory, got other arguments or sizes."
        ) from None


def build_codec(weights: CodecWeights, allow: Collection[str] = ()) -> Codec:
    """A codec of its own from checked weights; the coding tables are left to ``update``."""
    family = family_of(weights.name)
    if family is not None:
        codec = family.build(weights.name, weights.arguments)
    else:
        codec = _build_own(weights.name, weights.arguments, "its file", allow)
    copy_into(codec.network, weights.tensors)
    return codec


def _build_own(name: str, arguments: Mapping[str, Any], owner: str, allow: Collection[str]) -> Codec:
    refuse_untrusted_name(name, owner, allow)
    try:
        return as_codec(get_object(name)(**arguments), {"_target_": name, **arguments})
    except Exception as error:  # a class of one's own can raise anything
        raise CheckpointError(f"{owner} must belong to a codec that {name} builds, but: {one_line(error)}.") from None


def refuse_untrusted_name(name: object, owner: str, allow: Collection[str] = ()) -> None:
    """Refuse a codec's name from a file that is neither registered nor a class which the user allows.

    Raises:
        CheckpointError: It is neither, or the class cannot be imported.
    """
    known = isinstance(name, str) and (family_of(name) is not None or name in allow)
    if not known and isinstance(name, str) and "." in name:
        raise CheckpointError(
            f"{owner} names the class {shown(name)}, which is no registered codec: if you trust its code, put it on "
            f"PYTHONPATH and allow it with allow={name[:SHOWN]}."
        )
    if not known:
        names = ", ".join(registered_names())
        raise CheckpointError(f"{owner} must name one of the codecs {names}, got {shown(name)}.")
    if isinstance(name, str) and family_of(name) is None:
        try:
            get_object(name)
        except Exception as error:  # importing a user's module can fail in any way
            raise CheckpointError(
                f"{owner} names the class {name}, which must be importable: {one_line(error)}; check PYTHONPATH."
            ) from None


def weight_shapes(codec: Codec) -> dict[str, tuple[int, ...]]:
    """The shapes of a codec's weights by key, as files hold them."""
    return shapes_of(weights_of(codec.network))


def checked_weights(codec: Codec, shapes: Shapes, read: Callable[[str], object], owner: str) -> dict[str, torch.Tensor]:
    """The weights of a codec from a file that should hold them, and nothing else but coding tables.

    Args:
        codec: An outline of it.
        shapes: Of every tensor in the file, by key.
        read: Gives the tensor of a key.
        owner: The file, for messages.

    Raises:
        CheckpointError: A tensor is missing, unknown, of another shape or not of finite numbers.
    """
    expected = weights_of(codec.network)
    tables = codec.network.state_dict().keys() - expected.keys()
    check_shapes(shapes_of(expected), tables, shapes, owner)
    return {
        key: checked_tensor(key, read(key), tuple(value.shape), owner, real=value.is_floating_point())
        for key, value in expected.items()
    }


def from_published(state_dict: Mapping[Any, Any]) -> Codec:
    """A codec from a state dict that its authors published: HPCM's, or CompressAI's.

    Args:
        state_dict: Tensors by published key; ``module.`` prefixes and filled coding tables are accepted.

    Raises:
        CheckpointError: It is of no known codec, or a key is unknown or missing, its tensor of another shape or not
            finite; the first such key is named.
    """
    return build_codec(translate(state_dict))


def translate(state_dict: Mapping[Any, Any]) -> CodecWeights:
    """The codec in what should be a published state dict, not yet built; see :func:`from_published`."""
    for family in FAMILIES:
        if (weights := family.translate(state_dict)) is not None:
            return weights
    keys = ", ".join(shown(key) for key in list(state_dict)[:3]) or "none"
    raise CheckpointError(f"A published checkpoint must be of a known codec, but none has its keys ({keys}).")
