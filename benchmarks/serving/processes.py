"""A server as a tree of processes: started, looked at, stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


class StartError(Exception):
    """A server did not start."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def tree(root: int) -> list[int]:
    """Return a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, pending = [], [root]
    while pending:
        found.append(pending.pop())
        pending += children.get(found[-1], [])
    return found


def resident_mb(root: int) -> float | None:
    """Return what a tree holds in memory: the largest process whole, of the others what is theirs alone; None: it is gone."""
    whole, own = [], []
    for process in tree(root):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
            sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
            if not sizes:  # it ends just now
                continue
            whole.append(sizes["Rss"])
            own.append(sizes["Private_Clean"] + sizes["Private_Dirty"])
    if not whole:
        return None
    largest = whole.index(max(whole))
    return (whole[largest] + sum(own) - own[largest]) * 1024 / 1e6


def processor_s(root: int) -> float:
    """Return the processor time that a tree has taken."""
    ticks = 0
    for process in tree(root):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(
    command: Sequence[str], *, log: Path, environ: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program; at the end it and everything that it started are gone.

    Python keeps compiled modules, as wherever pip installed them: a checkout would be compiled at each start otherwise.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**inherited, **environ},
            cwd=log.parent,
            process_group=0,
        )
    try:
        yield process
    finally:
        members = tree(process.pid)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        for each in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        process.wait()
        _wait_until_gone(members)


def _wait_until_gone(processes: Sequence[int]) -> None:
    """Wait for orphans, which init reaps: a port that they hold would be found taken."""
    end = time.monotonic() + 5
    while time.monotonic() < end and any(Path(f"/proc/{each}/exe").exists() for each in processes):
        time.sleep(0.02)


def last_words(log: Path) -> str:
    """Return the last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
