"""Exported codecs: ``codec.safetensors`` with the weights, ``codec.json`` with a registered name and plain numbers."""

import json
from pathlib import Path
from typing import Any

from compressai.models import CompressionModel
from compressai.registry import MODELS
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.files import whole_file, write_text
from hpcm_spectral.models.hpcm import HPCM

FORMAT = 1
WEIGHTS, DESCRIPTION = "codec.safetensors", "codec.json"


def save_codec(codec: CompressionModel, folder: Path, *, training: dict[str, Any]) -> None:
    """Export a codec: its own tensors and sizes, nothing of the training that made it but a note.

    Args:
        codec: What to export.
        folder: Where; must exist.
        training: Plain values about the training, for people to read.
    """
    name = next(name for name, cls in MODELS.items() if cls is type(codec))
    description = {"format": FORMAT, "name": name, "arguments": codec.arguments, "training": training}
    tensors = {key: value.detach().cpu().contiguous() for key, value in codec.state_dict().items()}
    with whole_file(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)
    write_text(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")


def load_codec(folder: str | Path) -> HPCM:
    """The codec exported into ``folder``, in evaluation mode on the CPU.

    Only registered codecs can be named, and only their sizes are read: nothing in the files chooses other code.

    Raises:
        CheckpointError: A file is missing or damaged, or the two do not belong together.
    """
    folder = Path(folder)
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        known = description["format"] == FORMAT
        cls, arguments = MODELS.get(description["name"]), description["arguments"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} must describe an exported codec, but cannot be read: {error}.") from None
    if not known or not (isinstance(cls, type) and issubclass(cls, HPCM)):
        raise CheckpointError(
            f"{path} must name a codec of format {FORMAT} that this version knows, got "
            f"{description['name']!r} of format {description['format']!r}."
        )
    try:
        codec = cls(**arguments)
        codec.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} must hold the codec's weights, but cannot be read: {error}."
        ) from None
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path} and {WEIGHTS} must belong together, but do not: {reason}") from None
    return codec.eval()
