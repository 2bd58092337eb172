"""How often a process of navi's own collects garbage while it starts.

Importing makes some 150,000 objects, and nearly all of them stay. Python's thresholds have it look at the older ones
again and again meanwhile: a twentieth of the start of a host with ONNX Runtime, more with PyTorch or TensorFlow. While
requests are served, its thresholds are right: collections of everything are rare then, and swaps cause none.
"""

from __future__ import annotations

import gc
from typing import Final

__all__ = ["collect_as_usual", "collect_rarely"]

_USUAL: Final = gc.get_threshold()
_RARELY: Final = (10_000, 20, 20)


def collect_rarely() -> None:
    """Look at young objects after every 10,000, and at all of them after millions."""
    gc.set_threshold(*_RARELY)


def collect_as_usual() -> None:
    """Go back to the thresholds that the process began with."""
    gc.set_threshold(*_USUAL)
