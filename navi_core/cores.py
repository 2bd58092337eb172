"""How many cores this process may use: what it may run on, and what its cgroup pays for.

``os.cpu_count()`` counts the machine's. In a container with a quota of two cores on a machine of 64, thread
counts that follow it make everything slower: the kernel stops all threads once the quota is spent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["CORES_VARIABLE", "core_count", "process_cores", "quota_cores", "worker_count"]

CORES_VARIABLE: Final = "NAVI_CORES"
"""Overrules what is found. A worker's is its share of the cores."""

_ROOT: Final = Path("/")
_V2_FILE: Final = "cpu.max"
_V1_QUOTA: Final = "cpu.cfs_quota_us"
_V1_PERIOD: Final = "cpu.cfs_period_us"


def core_count() -> int:
    """Return how many cores there are for this process, at least 1.

    In a worker of several it is the worker's share, so that thread counts which follow it never exceed the cores
    altogether. ``NAVI_CORES`` in the environment overrules what is found.
    """
    said = os.environ.get(CORES_VARIABLE, "")
    if said.isascii() and said.isdigit() and int(said) > 0:
        return int(said)
    return process_cores()


def worker_count(said: int) -> int:
    """Return how many workers a configuration means; 0: one for each core."""
    return said or core_count()


def process_cores(root: Path = _ROOT) -> int:
    """Return how many cores the process may run on, or its cgroup's quota where that is less; at least 1.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are; for tests.
    """
    # macOS has no affinity
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = quota_cores(root)
    # half a core more is no core more: a thread too many waits for the next period
    return max(1, cores if quota is None else min(cores, int(quota)))


def quota_cores(root: Path = _ROOT) -> float | None:
    """Return the cores' worth of time that the cgroups of this process get, the least of them; None: no limit.

    Both versions are read: ``cpu.max`` of version 2, ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us`` of version 1. A
    group's limit holds for those within it, so every group on the way to the root counts.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    found = [cores for line in lines for cores in _limits(line, root)]
    return min(found, default=None)


def _limits(line: str, root: Path) -> Iterator[float]:
    """Yield the limits that one line of ``/proc/self/cgroup`` leads to: ``hierarchy:controllers:path``."""
    _, separator, rest = line.partition(":")
    controllers, second, path = rest.partition(":")
    if not separator or not second:
        return
    if not controllers:
        tops, read = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"], _version_2
    elif "cpu" in controllers.split(","):
        tops = [root / "sys/fs/cgroup" / name for name in (controllers, "cpu")]
        read = _version_1
    else:
        return
    for top in tops:
        # within a container the path may be the host's, which is not there: the top is the container's own then
        for folder in _upwards(top, path):
            cores = read(folder)
            if cores is not None:
                yield cores


def _upwards(top: Path, path: str) -> Iterator[Path]:
    parts = [part for part in path.split("/") if part not in {"", ".."}]
    for length in range(len(parts), -1, -1):
        yield top.joinpath(*parts[:length])


def _version_2(folder: Path) -> float | None:
    words = _words(folder / _V2_FILE)
    return _cores(words[0], words[1]) if len(words) == 2 else None


def _version_1(folder: Path) -> float | None:
    quota, period = _words(folder / _V1_QUOTA), _words(folder / _V1_PERIOD)
    return _cores(quota[0], period[0]) if len(quota) == len(period) == 1 else None


def _cores(quota: str, period: str) -> float | None:
    """Return a quota in cores; None for ``max`` and ``-1``, which are no limit."""
    if not (quota.isdigit() and period.isdigit()) or int(period) == 0:
        return None
    return int(quota) / int(period)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except (OSError, UnicodeDecodeError):
        return []
