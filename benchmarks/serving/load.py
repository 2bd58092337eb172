"""h2load: how it is called, and what it says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What one run of h2load found."""

    requests_per_s: float
    requests: int
    answer_bytes: float  # of one answer, on average
    p50_us: float
    p99_us: float


class LoadError(Exception):
    """Not every request was answered with a success."""


def command(*, protocol: str, url: str, body: str, log: str, in_flight: int, seconds: float) -> list[str]:
    """Return h2load's command line: a closed loop, each request in flight on a connection of its own."""
    headers = {
        "grpc": ["-H", "content-type: application/grpc", "-H", "te: trailers"],
        "http": ["--h1", "-H", "content-type: application/json"],
    }[protocol]
    # no --warm-up-time: the bytes that it prints would count those of the warm-up
    load = ["-c", str(in_flight), "-m1", "-t1", "-D", f"{seconds * 1000:.0f}ms"]
    return ["h2load", *load, "-d", body, "--log-file", log, *headers, url]


def parse(output: str, log_lines: Iterable[str], seconds: float) -> Load:
    """Read what h2load printed and logged.

    Parameters
    ----------
    log_lines
        Lines of its ``--log-file``: when a request began, its status, the microseconds it took.

    Raises
    ------
    LoadError
        A request failed, or none was answered.
    """
    counts = _numbers(
        r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed", output
    )
    codes = _numbers(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
    data = _numbers(r"\((\d+)\) data", output)
    done, failed = counts[2], counts[4]
    if failed or any(codes[1:]) or not done:
        raise LoadError(f"{done} requests done, {failed} failed, statuses (2xx to 5xx) {codes}")
    latencies_us = sorted(int(line.split("\t")[2]) for line in log_lines if line.strip())
    if not latencies_us:
        raise LoadError("no request is in the log")
    return Load(
        requests_per_s=done / seconds,
        requests=done,
        answer_bytes=data[0] / done,
        p50_us=percentile(latencies_us, 50),
        p99_us=percentile(latencies_us, 99),
    )


def _numbers(pattern: str, output: str) -> list[int]:
    found = re.search(pattern, output)
    if found is None:
        raise LoadError(f"h2load did not print {pattern!r}: {output[-300:]!r}")
    return [int(number) for number in found.groups()]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest number that so many percent of them do not exceed."""
    if not ordered:
        raise ValueError("no numbers")
    rank = -(-len(ordered) * percent // 100)
    return float(ordered[max(int(rank), 1) - 1])
