"""Train learned image codecs with spectral regularization.

Importing it costs nothing: what it offers by name is imported when it is first asked for, so that a program's
``--help`` need not wait for torch.
"""

import importlib
import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcm_spectral.stages import DCTTransform, InterScaleRegularizer, SpectralTruncation

__version__ = "0.2.0"
__all__ = ["DCTTransform", "InterScaleRegularizer", "SpectralTruncation", "__version__"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("hpcm_spectral.stages"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _BeforeTorchvision(MetaPathFinder):
    """Has torchvision's missing operators declared when torchvision is first looked for, and steps aside."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            importlib.import_module("hpcm_spectral._torchvision_ops")


sys.meta_path.insert(0, _BeforeTorchvision())
