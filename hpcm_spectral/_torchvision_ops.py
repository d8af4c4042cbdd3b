"""Make ``import torchvision`` work beside a torch that its compiled operators do not fit.

The torchvision of the package index is built for the CUDA build of torch. Beside a CPU-only torch its
compiled library does not load, and its import then fails on the first operator whose schema is missing
(``operator torchvision::nms does not exist``). CompressAI imports torchvision, but neither it nor this
package calls those operators, so that declaring the two schemas is enough. Where torchvision is intact,
the schemas come from its own library and this module changes nothing.
"""

import contextlib
import importlib.util
import sys
from pathlib import Path

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _load_compiled_operators() -> bool:
    """Load torchvision's own operator library, if it fits this torch."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True
    for library in Path(spec.origin).parent.glob("_C*.so"):
        with contextlib.suppress(OSError, RuntimeError):
            torch.ops.load_library(str(library))
            return True
    return False


def declare_missing_operators() -> None:
    """Declare the schemas of ``torchvision::nms`` and ``torchvision::qnms`` if nothing else does."""
    if "torchvision" in sys.modules or _load_compiled_operators():
        return
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", _SCHEMA)


declare_missing_operators()
