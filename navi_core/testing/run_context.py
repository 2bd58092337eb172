"""SimpleRunContext: what a run is given, without a host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from navi_core.types import Array, Int64Array, Parameters

__all__ = ["SimpleRunContext"]


class SimpleRunContext:
    """A :class:`navi_core.RunContext` for tests: plain values, and fresh memory for every buffer.

    Parameters
    ----------
    row_ends
        (requests,) the row after each request's last; empty: the run is not batched.
    deadline
        Seconds on the monotonic clock; None: none.
    parameters
        The request parameters.
    cancelled
        What :meth:`is_cancelled` says; may be changed through the attribute of that name.

    Attributes
    ----------
    cancelled
        See the parameter.
    allocated
        Every array that :meth:`allocate` handed out, oldest first.
    """

    def __init__(
        self,
        *,
        row_ends: Sequence[int] = (),
        deadline: float | None = None,
        parameters: Mapping[str, bool | int | float | str] | None = None,
        cancelled: bool = False,
    ) -> None:
        self._row_ends = np.array(row_ends, dtype=np.int64)
        self._deadline = deadline
        self._parameters = dict(parameters or {})
        self.cancelled = cancelled
        self.allocated: list[Array] = []

    @property
    def row_ends(self) -> Int64Array:
        """(requests,) int64: the row after each request's last."""
        return self._row_ends

    @property
    def deadline(self) -> float | None:
        """The latest deadline of the batch."""
        return self._deadline

    @property
    def parameters(self) -> Parameters:
        """The request parameters."""
        return self._parameters

    def is_cancelled(self) -> bool:
        """Tell whether every caller has gone."""
        return self.cancelled

    def allocate(self, shape: Sequence[int], dtype: Any) -> Array:
        """Return an uninitialised C-contiguous array."""
        array = np.empty(tuple(shape), dtype=dtype)
        self.allocated.append(array)
        return array
