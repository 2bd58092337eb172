"""Give freed memory back to the system.

While a graph is loaded TensorFlow and protobuf copy its constants about ten times, in pieces that glibc keeps
for the next time: of a graph of 100 MB, 1 GB stays resident after it is closed, until glibc is told otherwise.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Final

__all__ = ["give_back_freed_memory"]

_WORTH_IT_BYTES: Final = 16 * 1024 * 1024


@cache
def _trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        function: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # another C library than glibc
        return None
    return function


def give_back_freed_memory(model_bytes: int) -> None:
    """Have glibc give back what is free, after a model of so many bytes was loaded or closed.

    Takes 10 to 50 ms without the GIL; small models are not worth it.
    """
    trim = _trim()
    if trim is not None and model_bytes >= _WORTH_IT_BYTES:
        trim(0)
