"""HPCM as a family of codecs: which arguments a file may give, and what its checkpoints show."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from hpcm_spectral.codec import Codec
from hpcm_spectral.errors import CheckpointError
from hpcm_spectral.models.arguments import check_like
from hpcm_spectral.models.hpcm.model import HPCM
from hpcm_spectral.models.hpcm.published import is_published, translate_published
from hpcm_spectral.models.hpcm.sizes import ORDERS, SIZES, infer_arguments, registered_name
from hpcm_spectral.models.registry import Family
from hpcm_spectral.models.weights import CodecWeights, Shapes, shown

ORDER = "hyper_prior_order"
# Arguments whose lists count residual blocks, each of which has tensors of its own.
DEPTHS = ("depths", "context_depths_coarse", "context_depths_fine")


class HPCMFamily(Family):
    """HPCM of any size; all sizes are arguments, so that a name says nothing more."""

    names = ("hpcm", *SIZES)

    def build(self, name: str, arguments: Mapping[str, Any]) -> Codec:
        """See :class:`Family`."""
        return HPCM(**arguments)

    def outline(self, name: str, arguments: Mapping[str, Any]) -> Codec:
        """Without memory for its weights."""
        with torch.device("meta"):
            return self.build(name, arguments)

    def check_arguments(self, given: Mapping[str, Any], shapes: Shapes, owner: str) -> dict[str, Any]:
        """All of them, each of its type; their ranges are the business of the class."""
        defaults = {name: parameter.default for name, parameter in inspect.signature(HPCM).parameters.items()}
        del defaults["gradient_checkpointing"]  # of training
        check_like(defaults, given, owner, same_lengths=True)
        if given[ORDER] not in ORDERS:
            raise CheckpointError(f"{owner} must hold as {ORDER} {' or '.join(ORDERS)}, got {shown(given[ORDER])}.")
        blocks = sum(sum(given[name]) for name in DEPTHS)
        if blocks > len(shapes):
            raise CheckpointError(
                f"{owner} must hold tensors of every residual block, got {shown(blocks)} blocks and {len(shapes)} "
                "tensors."
            )
        return dict(given)

    def translate(self, state_dict: Mapping[Any, Any]) -> CodecWeights | None:
        """See :class:`Family`."""
        return translate_published(state_dict) if is_published(state_dict) else None

    def infer(self, state_dict: Mapping[str, torch.Tensor], settings: Mapping[str, Any]) -> CodecWeights | None:
        """Sizes from the tensors; the order of the hyper prior, which no tensor shows, from the run's settings."""
        try:
            arguments = infer_arguments(state_dict)
        except (KeyError, IndexError, ValueError):
            return None
        arguments[ORDER] = settings.get(ORDER, ORDERS[0])
        unknown = {} if settings else {ORDER: ORDERS}
        return CodecWeights(registered_name(arguments), arguments, dict(state_dict), unknown=unknown)
