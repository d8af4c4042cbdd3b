"""CompressAI's codecs as a family: their names in files, and CompressAI's own checkpoints."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from compressai.models import CompressionModel
from compressai.models.utils import remap_old_keys
from compressai.zoo.pretrained import load_pretrained
from torch import nn

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.models.compressai.codec import CompressAICodec
from hpcm_spectral.models.compressai.zoo import ARCHITECTURES, MAX_WIDTH, build, width_names
from hpcm_spectral.models.registry import Family
from hpcm_spectral.models.weights import CodecWeights, Shapes, array_shape, checked_tensor, shapes_of, shown, weights_of


class CompressAIFamily(Family):
    """The zoo's architectures under their own names, and the wrapping of any other ``CompressionModel``."""

    names = tuple(ARCHITECTURES)

    def build(self, name: str, arguments: Mapping[str, Any]) -> Codec:
        """See :class:`Family`."""
        return build(name, arguments)

    def check_arguments(self, given: Mapping[str, Any], shapes: Shapes, owner: str) -> dict[str, Any]:
        """One or two widths, which the tensors show as well."""
        widths = _widths(shapes)
        for name, width in given.items():
            if name not in ("N", "M") or type(width) is not int or width != widths.get(name):
                raise CheckpointError(
                    f"{owner} must hold as arguments N and M those of its tensors ({widths}), got {shown(name)}: "
                    f"{shown(width)}."
                )
        # A codec has many layers of N x N filters: without their values nothing of that size is built.
        if sum(map(math.prod, shapes.values())) < 36 * given.get("N", 0) ** 2:
            raise CheckpointError(f"{owner} must hold the weights of {given['N']} channels, but holds fewer values.")
        if "N" not in given:
            raise CheckpointError(f"{owner} must hold as arguments N, and M where the codec has one, got no N.")
        return dict(given)

    def adopt(self, built: nn.Module) -> Codec | None:
        """A model of the zoo under its name, another ``CompressionModel`` without one."""
        if not isinstance(built, CompressionModel):
            return None
        name = next((name for name, cls in ARCHITECTURES.items() if type(built) is cls), "")
        # The zoo's models keep their widths under these names.
        return CompressAICodec(built, name, {key: getattr(built, key) for key in width_names(name)} if name else {})

    def translate(self, state_dict: Mapping[Any, Any]) -> CodecWeights | None:
        """The architecture of the zoo whose keys these are, those of CompressAI's older releases included."""
        if not all(isinstance(key, str) for key in state_dict):
            return None
        tensors = load_pretrained({key.removeprefix("module."): value for key, value in state_dict.items()})
        tensors = dict(remap_old_keys("entropy_bottleneck", tensors))
        for name, widths in _candidates(tensors):
            if not _names(name) <= tensors.keys():
                continue
            network = build(name, widths).network
            expected = shapes_of(weights_of(network))
            tables = network.state_dict().keys() - expected.keys()
            # Two architectures differ in shapes alone.
            shapes = {key: array_shape(value) for key, value in tensors.items() if key not in tables}
            if shapes != expected:
                continue
            owner = f"a checkpoint of {name}"
            found = {key: checked_tensor(key, tensors[key], shape, owner) for key, shape in expected.items()}
            return CodecWeights(name, widths, found)
        return None


def _widths(shapes: Shapes) -> dict[str, int]:
    """N and M as the first and the last layer of g_a show them."""
    first = shapes.get("g_a.0.weight", shapes.get("g_a.0.conv1.weight"))
    sizes = (("N", first), ("M", shapes.get("g_a.6.weight")))
    return {name: shape[0] for name, shape in sizes if shape and 1 <= shape[0] <= MAX_WIDTH}


def _candidates(tensors: Mapping[str, Any]) -> list[tuple[str, dict[str, int]]]:
    """Architectures with the widths that the tensors would give them."""
    sizes = _widths({key: shape for key, value in tensors.items() if (shape := array_shape(value)) is not None})
    names = {architecture: width_names(architecture) for architecture in ARCHITECTURES}
    return [(a, {name: sizes[name] for name in own}) for a, own in names.items() if set(own) <= set(sizes)]


@cache
def _names(architecture: str) -> frozenset[str]:
    """Keys of an architecture's weights, which are the same for all widths."""
    return frozenset(weights_of(build(architecture, dict.fromkeys(width_names(architecture), 12)).network))
