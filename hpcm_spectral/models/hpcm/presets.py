"""The published sizes of HPCM, and a small one for a CPU, as functions under their published names."""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from compressai.registry import register_model

from hpcm_spectral.models.hpcm.model import HPCM
from hpcm_spectral.models.hpcm.sizes import SIZES


def _sized(name: str, title: str, doc: str) -> Callable[..., HPCM]:
    def build(**arguments: Any) -> HPCM:
        return HPCM(**{**SIZES[name], **arguments})

    build.__name__ = build.__qualname__ = title
    build.__doc__ = f"{doc}\n\n    Args:\n        arguments: Departures from these sizes, see :class:`HPCM`.\n    "
    # By these a config is checked.
    build.__signature__ = inspect.signature(HPCM)  # type: ignore[attr-defined]
    build.__annotations__ = get_type_hints(HPCM.__init__)
    register_model(name)(build)
    return build


HPCM_Base = _sized(
    "hpcm-base", "HPCM_Base", "HPCM-Base: 68,505,299 parameters, 63,582,419 with ``cross_attention=False``."
)
HPCM_Large = _sized("hpcm-large", "HPCM_Large", "HPCM-Large: 89,718,803 parameters.")
HPCM_Tiny = _sized(
    "hpcm-tiny",
    "HPCM_Tiny",
    "The same architecture with narrow widths: 1,247,173 parameters, trains on a CPU in minutes.",
)
