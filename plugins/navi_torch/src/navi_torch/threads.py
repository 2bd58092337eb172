"""torch's threads: one setting for the whole process, as in Navi.

The first model that is loaded decides; a later one that asks for something else is served with what there is, and
its notes say so. torch can change the one number between runs, but threads that have run keep their own, and
the other number only before anything ran.
"""

from __future__ import annotations

import threading
from typing import Final

import structlog
import torch

__all__ = ["apply_threads", "take_thread_count"]

log = structlog.get_logger(__name__)

take_thread_count: Final = torch.get_num_threads
"""Has the calling thread work with torch's number of threads; takes 50 ns.

A thread takes it over with the first loop of torch's own that it runs. Where the libraries that multiply matrices come
before that, they would bring up as many threads as there are cores for it.
"""

_LOCK: Final = threading.Lock()
_DECIDED: Final[dict[str, int]] = {}


def apply_threads(intra: int | None, inter: int | None, *, model: str) -> list[str]:
    """Set torch's thread counts, or find them set.

    Parameters
    ----------
    intra
        Threads that work on one operator; 0: torch decides; None: whatever is decided already, else 1.
    inter
        Threads that run independent parts of TorchScript; None or 0: torch decides.
    model
        For the log.

    Returns
    -------
    notes
        A sentence for each number that was asked for and cannot be had.
    """
    notes = []
    with _LOCK:
        if "intra" not in _DECIDED:
            _DECIDED["intra"] = 1 if intra is None else intra
            if _DECIDED["intra"]:
                torch.set_num_threads(_DECIDED["intra"])
        if inter and "inter" not in _DECIDED:
            try:
                torch.set_num_interop_threads(inter)
                _DECIDED["inter"] = inter
            except RuntimeError:  # torch has run something side by side already
                _DECIDED["inter"] = torch.get_num_interop_threads()
        for word, asked in (("intra", intra), ("inter", inter or None)):
            decided = _DECIDED.get(word)
            if asked is not None and decided != asked:
                notes.append(
                    f"{word}_op_threads = {asked} is not used: torch has one number for the process, "
                    f"which is {decided or 'its own choice'} since an earlier load"
                )
                log.warning("torch_threads_decided", model=model, which=word, asked=asked, decided=decided)
    take_thread_count()
    return notes
