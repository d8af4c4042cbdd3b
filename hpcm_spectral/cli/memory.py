"""Keeping freed memory for the next step."""

import ctypes
import os
import sys

# Of glibc's mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# All that the parameter can hold; and what versions before 2.35 take at most.
_MOST, _OLD_MOST = 2**31 - 4096, 2**25


def keep_freed_memory() -> None:
    """Have glibc reuse the memory of large tensors; elsewhere nothing changes.

    By default it hands every block over 32 MiB back to the system, which zeroes it page by page at the next use: a
    twentieth of a training step of HPCM-Base on a CPU, a sixth of a small codec's. The peak rose by 3 % and 1 %, in
    a made-up sequence of sizes by a quarter.
    """
    chosen = any(name.startswith("MALLOC_") for name in os.environ) or "GLIBC_TUNABLES" in os.environ
    if chosen or not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    # A threshold that is refused must not be left alone with the other one, which would fix it at 128 KiB.
    if hasattr(library, "gnu_get_libc_version") and any(
        library.mallopt(_MMAP_THRESHOLD, most) for most in (_MOST, _OLD_MOST)
    ):
        library.mallopt(_TRIM_THRESHOLD, _MOST)
