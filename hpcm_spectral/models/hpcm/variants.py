"""The published sizes of HPCM, and a small one for a CPU, under their registered names."""

from typing import Any

from compressai.registry import register_model

from hpcm_spectral.models.hpcm.model import HPCM


@register_model("hpcm-base")
class HPCM_Base(HPCM):
    """HPCM-Base: 68,505,299 parameters, 63,582,419 with ``cross_attention=False``.

    Args:
        arguments: Departures from the published sizes, see :class:`HPCM`.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)


@register_model("hpcm-large")
class HPCM_Large(HPCM):
    """HPCM-Large: 89,718,803 parameters.

    Args:
        arguments: Departures from the published sizes, see :class:`HPCM`.
    """

    def __init__(self, **arguments: Any) -> None:
        sizes = {"depths": (2, 2, 8), "context_depths_coarse": (2, 2), "context_depths_fine": (4, 3)}
        super().__init__(**{**sizes, **arguments})


@register_model("hpcm-tiny")
class HPCM_Tiny(HPCM):
    """The same architecture with narrow widths: 1,247,173 parameters, trains on a CPU in minutes.

    Args:
        arguments: Departures from these sizes, see :class:`HPCM`.
    """

    def __init__(self, **arguments: Any) -> None:
        sizes = {"latent_channels": 40, "hyper_channels": 32, "widths": (16, 32, 64)}
        super().__init__(**{**sizes, **arguments})
