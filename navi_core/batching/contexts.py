"""What a run may ask about the batch that it computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from navi_core.batching.buffers import BufferPool, Lease
from navi_core.batching.tasks import Task
from navi_core.types import Array, Int64Array, Parameters

__all__ = ["BatchContext", "LoneContext"]


class BatchContext:
    """The :class:`~navi_core.contracts.runtime.RunContext` of one run.

    Parameters
    ----------
    tasks
        What is in the batch.
    row_ends
        The row after each task's last, (tasks,) int64; None: found out from the tasks when somebody asks.
    parameters
        Those that the servable reads.
    lease
        Where buffers come from.
    """

    __slots__ = ("_lease", "_row_ends", "_tasks", "parameters")

    def __init__(
        self, tasks: Sequence[Task], row_ends: Int64Array | None, parameters: Parameters, lease: Lease
    ) -> None:
        self._tasks = tasks
        self._lease = lease
        self._row_ends = row_ends
        self.parameters = parameters

    @property
    def row_ends(self) -> Int64Array:
        """(tasks,) int64, increasing: the row after each request's last. Empty if not batched."""
        if self._row_ends is None:
            self._row_ends = np.cumsum([task.num_rows for task in self._tasks], dtype=np.int64)
        return self._row_ends

    @property
    def deadline(self) -> float | None:
        """The latest deadline of the batch, in seconds on the monotonic clock; None: none."""
        deadlines = [task.deadline for task in self._tasks]
        return None if None in deadlines else max(d for d in deadlines if d is not None)

    def is_cancelled(self) -> bool:
        """Tell whether every caller of the batch has gone."""
        return all(task.is_gone for task in self._tasks)

    def allocate(self, shape: Sequence[int], dtype: Any) -> Array:
        """Return an uninitialised array from the pool."""
        return self._lease.allocate(shape, dtype)


class LoneContext(msgspec.Struct, eq=False):
    """The same for a request that runs by itself while its caller stands by: nothing is made that nobody asks for.

    Parameters
    ----------
    num_rows
        The request's; None: it is not batched.
    parameters, deadline
        The request's.
    pool
        Where buffers come from.
    lease
        What was allocated; None: nothing.
    """

    num_rows: int | None
    parameters: Parameters
    deadline: float | None
    pool: BufferPool
    lease: Lease | None = None

    @property
    def row_ends(self) -> Int64Array:
        """(requests,) int64: the row after the request's last; empty if it is not batched."""
        return np.array([] if self.num_rows is None else [self.num_rows], dtype=np.int64)

    def is_cancelled(self) -> bool:
        """Tell whether the caller has gone, which it cannot: it waits for this very run."""
        return False

    def allocate(self, shape: Sequence[int], dtype: Any) -> Array:
        """Return an uninitialised array from the pool."""
        if self.lease is None:
            self.lease = self.pool.lease()
        return self.lease.allocate(shape, dtype)
