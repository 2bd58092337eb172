"""The engine h2load, of nghttp2: gRPC and HTTP/1.1, one line of its log for each request.

What it does not know: gRPC's status. It takes every HTTP 200 for a success, so answers are looked at before and after
a run, and the bytes of all messages are compared with what so many right answers have: an RPC that fails has none.
"""

from __future__ import annotations

import math
import re
import shutil
import struct
import tempfile
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from navi_core.bench.load import Engine, LoadPlan, OnProgress, Outcome, Target
from navi_core.bench.programs import Ran, run_program
from navi_core.bench.senders import CONNECTION
from navi_core.bench.tally import Tally
from navi_core.cores import core_count
from navi_core.errors import ErrorCode, RemoteError

__all__ = ["GRPC_HEAD_BYTES", "H2loadEngine", "read_log", "read_summary"]

GRPC_HEAD_BYTES: Final = 5
"""What gRPC puts before each message."""

_SUMMARY: Final = re.compile(
    r"finished in (?P<elapsed>[0-9.]+)(?P<unit>us|ms|s|m|h), .*?"
    r"requests: (?P<total>\d+) total, (?P<started>\d+) started, (?P<done>\d+) done, (?P<succeeded>\d+) succeeded, "
    r"(?P<failed>\d+) failed, (?P<errored>\d+) errored, (?P<timeout>\d+) timeout.*?"
    r"\((?P<data>\d+)\) data",
    re.DOTALL,
)
_UNIT_S: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_GRACE_S: Final = 30.0

_SILENT_S: Final = 0.5
"""A server that answers nothing for so long, and for twice its longest answer, before the end has gone: h2load ends a
measurement with requests in flight, and counts those of connections that were lost like them."""

_COLUMNS: Final = 3


class H2loadEngine(Engine):
    """h2load as a program.

    Parameters
    ----------
    threads
        Of h2load; None: one, which is enough for what a host answers on a few cores.
    """

    name: ClassVar[str] = "h2load"

    def __init__(self, threads: int | None = None) -> None:
        self._threads = 1 if threads is None else min(threads, core_count())

    def why_not(self, target: Target, plan: LoadPlan) -> str:
        """Say what is in the way."""
        if shutil.which("h2load") is None:
            return "it is not installed (Debian: nghttp2-client)"
        if plan.rate_per_s is not None:
            return "it measures from when a request is sent, not from when it is due"
        if target.token is not None:
            return "the token would stand in the list of processes"
        if target.cert_file is not None:
            return "it shows no certificate"
        if plan.concurrency % plan.connections:
            return f"{plan.concurrency} requests in flight cannot be shared evenly by {plan.connections} connections"
        return ""

    def run(self, target: Target, plan: LoadPlan, on_progress: OnProgress) -> Outcome:
        """Carry out a plan; the warm-up is a run of its own."""
        with tempfile.TemporaryDirectory(prefix="navi-bench-") as name:
            folder = Path(name)
            threads = min(self._threads, plan.connections)
            command = _command(target, plan, folder, threads)
            total_s = plan.warm_up_s + plan.duration_s if plan.duration_s is not None else None
            begin_part = 0.0
            if plan.warm_up_s:
                warming = run_program(
                    [*command, "-D", _ms(plan.warm_up_s)],
                    expected_s=plan.warm_up_s,
                    limit_s=plan.warm_up_s + plan.timeout_s + _GRACE_S,
                    on_progress=lambda part, ended: on_progress(
                        part * plan.warm_up_s / total_s if total_s else 0.0, ended
                    ),
                )
                if not warming.is_complete:
                    return Outcome(tally=Tally(), elapsed_s=0.0, is_complete=False, processes=threads)
                begin_part = plan.warm_up_s / total_s if total_s else 0.0
            log = folder / "log.tsv"
            more = ["-n", str(plan.num_requests)] if plan.duration_s is None else ["-D", _ms(plan.duration_s)]
            ran = run_program(
                [*command, f"--log-file={log}", *more],
                expected_s=plan.duration_s,
                limit_s=plan.duration_s + plan.timeout_s + _GRACE_S if plan.duration_s else math.inf,
                on_progress=on_progress,
                begin_part=begin_part,
            )
            tally = read_log(log.read_bytes() if log.exists() else b"")
        return _outcome(ran, tally, threads)


def _command(target: Target, plan: LoadPlan, folder: Path, threads: int) -> list[str]:
    body = folder / "body"
    headers = list(target.headers)
    if target.scheme == "grpc":
        body.write_bytes(struct.pack(">BI", 0, len(target.body)) + target.body)
        timeout = f"{max(1, round(plan.timeout_s * 1000))}m"
        headers += [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", timeout)]
    else:
        body.write_bytes(target.body)
    command = ["h2load", "-c", str(plan.connections), "-m", str(plan.concurrency // plan.connections)]
    command += ["-t", str(threads), "-d", str(body), "-N", _ms(plan.timeout_s)]
    if target.scheme == "http":
        command.append("--h1")
    for name, value in headers:
        command += ["-H", f"{name}: {value}"]
    return [*command, target.url]


def _ms(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def _outcome(ran: Ran, tally: Tally, threads: int) -> Outcome:
    match = _SUMMARY.search(ran.text)
    if match is None and ran.is_complete:
        raise RemoteError("h2load: expected a summary, got none", code=ErrorCode.INTERNAL)
    if match is None:  # interrupted: it says nothing, but its log is there
        return Outcome(tally=tally, elapsed_s=tally.last_ns / 1e9, is_complete=False, processes=threads)
    summary = read_summary(ran.text)
    if not summary["done"]:
        raise RemoteError("h2load: no request was answered", code=ErrorCode.UNAVAILABLE)
    lost = summary["errored"] + summary["timeout"]
    unlogged = int(lost) - sum(
        failure.count for code, failure in tally.failures.items() if code == CONNECTION
    )
    if unlogged > 0:
        tally.fail(tally.last_ns, CONNECTION, "h2load: the stream or its connection failed", unlogged)
    silent_s = summary["elapsed_s"] - tally.last_ns / 1e9
    cut_off = int(summary["started"] - summary["done"]) - int(lost)
    if cut_off > 0 and silent_s > _SILENT_S + 2 * tally.latencies.max_ns / 1e9:
        said = (
            f"h2load: no answer came in the last {silent_s:.1f} s, and it asks no more over lost connections"
        )
        tally.fail(tally.last_ns, CONNECTION, said, cut_off)
    return Outcome(
        tally=tally,
        elapsed_s=summary["elapsed_s"],
        is_complete=ran.is_complete,
        processes=threads,
        answer_bytes=int(summary["data"]),
    )


def read_summary(text: str) -> dict[str, float]:
    """Return the numbers of h2load's closing lines.

    Raises
    ------
    RemoteError
        There are none.
    """
    match = _SUMMARY.search(text)
    if match is None:
        raise RemoteError("h2load: expected a summary, got none", code=ErrorCode.INTERNAL)
    found = {key: float(value) for key, value in match.groupdict().items() if key not in ("elapsed", "unit")}
    found["elapsed_s"] = float(match["elapsed"]) * _UNIT_S[match["unit"]]
    return found


def read_log(content: bytes) -> Tally:
    """Count what stands in a log.

    Parameters
    ----------
    content
        Lines of when a request began, in microseconds since 1970; the status of its answer, -1 for none; and how many
        microseconds it took. A last line that is cut off is left out.
    """
    tally = Tally()
    content = content[: content.rfind(b"\n") + 1]
    if not content:
        return tally
    numbers = np.array(content.split(), dtype=np.int64)
    rows = numbers[: numbers.size // _COLUMNS * _COLUMNS].reshape(-1, _COLUMNS)
    began_us, status, taken_us = rows.T
    ended_us = began_us + taken_us - began_us.min()
    is_success = (status >= 200) & (status < 300)
    seconds = ended_us // 1_000_000
    keys = np.stack([seconds[is_success], taken_us[is_success]], axis=1)
    for (second, taken), times in zip(*np.unique(keys, axis=0, return_counts=True), strict=True):
        tally.succeed(int(second) * 10**9, int(taken) * 1000, int(times))
    for code, at_us in zip(status[~is_success].tolist(), ended_us[~is_success].tolist(), strict=True):
        if code < 0:
            tally.fail(at_us * 1000, CONNECTION, "h2load: the stream or its connection failed")
        else:
            tally.fail(at_us * 1000, f"HTTP {code}", "h2load keeps no answers")
    tally.last_ns = int(ended_us.max()) * 1000
    return tally
