"""Bodies that differ in nothing but their values: what was found in one of them holds for all.

Clients send the same request over and over, with other numbers in it. To tell that a body is like an earlier one
takes two or three comparisons of a few bytes, a tenth of the time of reading its structure again. It is exact: a
body counts as alike only if it has the same length, and the same bytes wherever the reader of the first one looked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, TypeVar

from navi_core.types import Bytes

__all__ = ["BodyLayouts"]

T = TypeVar("T")

_MAX_SIZES: Final = 256
_MAX_OF_A_SIZE: Final = 4
_MAX_FIXED_BYTES: Final = 512
"""Limits of what is remembered: half a megabyte, and what was found beside it."""


class BodyLayouts(Generic[T]):
    """What was found in bodies, to be found again in bodies that are alike.

    May be used by several threads; what one adds another may not see at once.
    """

    def __init__(self) -> None:
        self._by_size: Final[dict[int, tuple[tuple[tuple[tuple[int, int, bytes], ...], T], ...]]] = {}

    def find(self, body: Bytes) -> T | None:
        """Return what was found in a body like this one; None: there was none, or it is forgotten."""
        for parts, found in self._by_size.get(len(body), ()):
            for start, stop, fixed in parts:
                if body[start:stop] != fixed:
                    break
            else:
                return found
        return None

    def add(self, body: Bytes, holes: Iterable[tuple[int, int]], found: T) -> None:
        """Remember what was found in a body.

        Parameters
        ----------
        body
            The body; short parts of it are copied.
        holes
            Where each run of bytes starts and stops that ``found`` does not depend on, in order.
        found
            What was found.
        """
        parts: list[tuple[int, int, bytes]] = []
        pos = size_bytes = 0
        for start, stop in (*holes, (len(body), len(body))):
            if start > pos:
                size_bytes += start - pos
                if size_bytes > _MAX_FIXED_BYTES:
                    return
                parts.append((pos, start, bytes(body[pos:start])))
            pos = stop
        of_a_size = self._by_size.get(len(body))
        if of_a_size is None:
            if len(self._by_size) >= _MAX_SIZES:
                self._by_size.pop(next(iter(self._by_size), -1), None)
            of_a_size = ()
        self._by_size[len(body)] = ((tuple(parts), found), *of_a_size[: _MAX_OF_A_SIZE - 1])
