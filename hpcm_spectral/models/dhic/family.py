"""DHIC as a family of codecs: which arguments a file may give, and the checkpoints of its authors."""

from collections.abc import Mapping
from typing import Any

import torch

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.models.arguments import check_like
from hpcm_spectral.models.dhic.model import DHIC
from hpcm_spectral.models.dhic.published import is_published, translate_published
from hpcm_spectral.models.dhic.sizes import LISTS, LMBDAS, PUBLISHED
from hpcm_spectral.models.registry import Family
from hpcm_spectral.models.weights import CodecWeights, Shapes, shown


class DHICFamily(Family):
    """DHIC of any size; all sizes are arguments, so that its name says nothing more."""

    names = ("dhic",)
    of_training = LMBDAS

    def build(self, name: str, arguments: Mapping[str, Any]) -> Codec:
        """See :class:`Family`."""
        return DHIC(**arguments)

    def outline(self, name: str, arguments: Mapping[str, Any]) -> Codec:
        """Without memory for its weights."""
        with torch.device("meta"):
            return self.build(name, arguments)

    def check_arguments(self, given: Mapping[str, Any], shapes: Shapes, owner: str) -> dict[str, Any]:
        """All of them, each of its type; their ranges are the business of the class."""
        check_like(PUBLISHED, given, owner)
        scales, depths = len(given["channels"]), [*(given[name] for name in LISTS if "depths" in name)]
        modules = scales + given["stem_depth"] + sum(map(sum, depths))
        if modules > len(shapes):
            raise CheckpointError(
                f"{owner} must hold tensors of every block, got {shown(modules)} blocks and scales and {len(shapes)} "
                "tensors."
            )
        return dict(given)

    def translate(self, state_dict: Mapping[Any, Any]) -> CodecWeights | None:
        """See :class:`Family`."""
        return translate_published(state_dict) if is_published(state_dict) else None
