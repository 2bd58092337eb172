"""Message bodies: joining what services answer, and holding memory for what clients send."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Any

from navi_core.contracts.service import Response
from navi_core.contracts.transport import BodyBudget
from navi_core.types import Bytes

__all__ = ["BodyHold", "closing_stream", "join_body", "run_on_written"]

_log = logging.getLogger(__name__)


def join_body(body: Bytes | Sequence[Bytes]) -> bytes:
    """Return an answer as one ``bytes`` that nobody else can write to.

    Copies once, and not at all where the answer is one ``bytes`` already: event loops may keep what
    they are given until the socket takes it, while a pooled buffer is reused before.
    """
    if isinstance(body, bytes):
        return body
    if isinstance(body, memoryview):
        return bytes(body)
    return bytes(body[0]) if len(body) == 1 else b"".join(body)


def closing_stream(stream: AsyncIterator[Any]) -> AbstractAsyncContextManager[object]:
    """Close a generator at the end, whatever the end is; other iterators have nothing to close."""
    return aclosing(stream) if isinstance(stream, AsyncGenerator) else nullcontext()


def run_on_written(response: Response) -> None:
    """Call ``response.on_written``, the first time only; what it raises is logged."""
    callback, response.on_written = response.on_written, None
    if callback is None:
        return
    try:
        callback()
    except Exception:  # a service's callback must not take the connection down
        _log.exception("on_written_failed")


class BodyHold:
    """The memory that one call's body takes out of the budget, while it grows.

    Parameters
    ----------
    budget
        The process-wide budget.
    """

    __slots__ = ("_budget", "_held_bytes")

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._held_bytes = 0

    def grow(self, size_bytes: int) -> None:
        """Hold ``size_bytes`` more.

        Raises
        ------
        MemoryBudgetError
            The budget does not allow it now; what was held before is still held.
        """
        self._budget.take(size_bytes)
        self._held_bytes += size_bytes

    def release(self) -> None:
        """Give everything back. Idempotent."""
        held_bytes, self._held_bytes = self._held_bytes, 0
        if held_bytes:
            self._budget.give_back(held_bytes)
