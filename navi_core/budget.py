"""The process-wide budget of in-flight body bytes, and its default size."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from navi_core.errors import MemoryBudgetError

__all__ = ["DEFAULT_FRACTION", "MemoryBudget", "memory_limit_bytes"]

DEFAULT_FRACTION: Final = 4
"""The budget is this part (a quarter) of the memory that the process may use, unless configured."""


class MemoryBudget:
    """Bounds the bytes that all bodies in flight hold together. Thread-safe.

    Implements :class:`~navi_core.contracts.transport.BodyBudget`. Share one between all transports.

    Parameters
    ----------
    limit_bytes
        None: a quarter of the memory that the process may use.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        if limit_bytes is None:
            limit_bytes = max(memory_limit_bytes() // DEFAULT_FRACTION, 1)
        if limit_bytes < 1:
            raise ValueError(f"limit_bytes: expected at least 1, got {limit_bytes}")
        self.limit_bytes: Final = limit_bytes
        self._lock: Final = threading.Lock()
        self._in_use_bytes = 0

    @property
    def in_use_bytes(self) -> int:
        """Bytes that are held now."""
        return self._in_use_bytes

    def reserve(self, size_bytes: int) -> Reservation:
        """Hold ``size_bytes`` from this call until the context is left.

        Raises
        ------
        MemoryBudgetError
            The budget does not allow it now.
        """
        self.take(size_bytes)
        return Reservation(self, size_bytes)

    def take(self, size_bytes: int) -> None:
        """Hold ``size_bytes`` until they are given back.

        Raises
        ------
        MemoryBudgetError
            The budget does not allow it now.
        """
        if size_bytes < 0:
            raise ValueError(f"size_bytes: expected at least 0, got {size_bytes}")
        with self._lock:
            if size_bytes > self.limit_bytes - self._in_use_bytes:
                raise MemoryBudgetError(
                    f"bodies in flight: expected at most {self.limit_bytes} bytes, "
                    f"got {size_bytes} more than the {self._in_use_bytes} that are held"
                )
            self._in_use_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Hold ``size_bytes`` less; the caller took them before."""
        with self._lock:
            self._in_use_bytes -= size_bytes


class Reservation:
    """Bytes held in a :class:`MemoryBudget`; leaving it a second time does nothing."""

    __slots__ = ("_budget", "_size_bytes")

    def __init__(self, budget: MemoryBudget, size_bytes: int) -> None:
        self._budget = budget
        self._size_bytes = size_bytes

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        size_bytes, self._size_bytes = self._size_bytes, 0
        if size_bytes:
            self._budget.give_back(size_bytes)


# --- how much memory there is ---------------------------------------------------------------------


def memory_limit_bytes(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the memory that this process may use: its control group's limit, or what the machine has.

    Parameters
    ----------
    proc, cgroups
        Where the kernel's file systems are mounted.

    Notes
    -----
    Control groups, version 2: ``memory.max`` of the group and of every group above it, the smallest
    counts (``max``: no limit). Version 1: ``memory.limit_in_bytes``, where no limit is a number near
    2**63. In a container the path that ``/proc/self/cgroup`` names is often the one outside of it; the
    mount's root is then the container's own group, so the root is always looked at too.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_cgroup_limits(proc, cgroups)])


def _cgroup_limits(proc: Path, cgroups: Path) -> Iterator[int]:
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return  # not Linux, or /proc is not mounted
    for line in lines:
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            yield from _limits_upwards(cgroups, path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _limits_upwards(cgroups / "memory", path, "memory.limit_in_bytes")


def _limits_upwards(mount: Path, path: str, file: str) -> Iterator[int]:
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for depth in range(len(parts), -1, -1):
        try:
            text = mount.joinpath(*parts[:depth], file).read_text().strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text.isdecimal() and int(text) > 0:
            yield int(text)
