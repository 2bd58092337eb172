"""Thread counts: what belongs to the process, and what to a session."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from navi_core import LoadOptions
from navi_tf.framework import tf
from navi_tf.options import TensorFlowOptions

__all__ = ["PROCESS", "ProcessThreads", "Threads", "threads_for"]


_DEFAULT: Final = 1


@dataclass(frozen=True, slots=True)
class Threads:
    """What one model gets.

    Parameters
    ----------
    intra_op
        The process's pool; 0: as many threads as cores.
    inter_op
        1: the calling thread; 0: TensorFlow's shared pool; more: a pool of the session's own.
    note
        What a person should know; empty: nothing.
    """

    intra_op: int
    inter_op: int
    note: str = ""


class ProcessThreads:
    """The process's one intra-op pool: TensorFlow makes it with the first session, and never again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settled: int | None = None
        self._by_us = True

    def settle(self, asked: int | None) -> tuple[int, str]:
        """Return the pool's size, and a note where somebody asked for another.

        The first who asks fixes it; None: whatever it is, 1 if nobody has said.
        """
        wanted = _DEFAULT if asked is None else asked
        with self._lock:
            if self._settled is None:
                self._settled = wanted
                try:
                    tf.config.threading.set_intra_op_parallelism_threads(wanted)
                except RuntimeError:  # somebody used TensorFlow in this process before the first load
                    self._settled = tf.config.threading.get_intra_op_parallelism_threads()
                    self._by_us = False
            if asked is None or self._settled == asked:
                return self._settled, ""
            who = "the first model that was loaded" if self._by_us else "whoever used TensorFlow here first"
            return self._settled, (
                f"intra_op_threads is {asked} for this model and {self._settled} in this process: TensorFlow has "
                f"one such pool for each process, made for {who}"
            )


PROCESS: Final = ProcessThreads()


def threads_for(load: LoadOptions, options: TensorFlowOptions) -> Threads:
    """Settle a model's thread counts. Called before anything else of TensorFlow's is."""
    intra_op, note = PROCESS.settle(_first(options.intra_op_threads, load.intra_op_threads))
    inter_op = _first(load.inter_op_threads, options.inter_op_threads)
    return Threads(intra_op=intra_op, inter_op=_DEFAULT if inter_op is None else inter_op, note=note)


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
