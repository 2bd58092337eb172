"""How soon a thread that loads lets others have the interpreter: sooner than usual, so that requests wait less.

Loaders that are written in Python (torch.export, TensorFlow) keep the interpreter's lock for as long as they may: 5 ms,
whenever the event loop or a run wants it back, several times a request. While a version loads they may for 1 ms. The
price, more switches, is paid during loads only.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["LOADING_SWITCH_INTERVAL_S", "short_turns"]

LOADING_SWITCH_INTERVAL_S: Final = 0.001
"""What ``sys.getswitchinterval`` is at most while something loads; in seconds."""

_HALF_A_MICROSECOND_S: Final = 0.5e-6
"""Python cuts the interval down to whole microseconds: without this a few thousand loads would wear it away."""

_lock: Final = threading.Lock()
_loads = 0
_usual_s = 0.0


@contextmanager
def short_turns() -> Iterator[None]:
    """Shorten the turns of the process's threads until the last of the loads that run at once has ended."""
    global _loads, _usual_s  # noqa: PLW0603 - the interval is the process's, and so is what counts who wants it short
    with _lock:
        _loads += 1
        if _loads == 1:
            _usual_s = sys.getswitchinterval()
            if _usual_s > LOADING_SWITCH_INTERVAL_S:
                sys.setswitchinterval(LOADING_SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        with _lock:
            _loads -= 1
            if _loads == 0 and _usual_s > LOADING_SWITCH_INTERVAL_S:
                sys.setswitchinterval(_usual_s + _HALF_A_MICROSECOND_S)
