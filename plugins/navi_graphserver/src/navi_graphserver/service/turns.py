"""Changes of graphs, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from navi_core import Signal

__all__ = ["Turns"]


class Turns:
    """Lets one caller at a time through, in the order in which they came.

    Parameters
    ----------
    new_signal
        Makes what a caller waits for.
    """

    def __init__(self, new_signal: Callable[[], Signal]) -> None:
        self._new_signal: Final = new_signal
        self._waiting: Final[deque[Signal]] = deque()
        self._is_taken = False

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and pass it on in the end."""
        if self._is_taken:
            await self._wait()
        self._is_taken = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self) -> None:
        signal = self._new_signal()
        self._waiting.append(signal)
        try:
            await signal.wait()
        except BaseException:  # the caller went away: perhaps just when its turn came
            if signal in self._waiting:
                self._waiting.remove(signal)
            else:
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Hand the turn to whoever came next: it stays taken where somebody did."""
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._is_taken = False
