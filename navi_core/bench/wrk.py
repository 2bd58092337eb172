"""The engine wrk: HTTP/1.1 in a closed loop.

wrk spreads long latencies over the requests that it thinks were held up by them ("correction" for coordinated
omission), so that its histogram has more entries than there were requests. That is undone here, exactly: a figure
means the same whichever engine made it, and queueing is measured with an open loop.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

from navi_core.bench.load import Engine, LoadPlan, OnProgress, Outcome, Target
from navi_core.bench.programs import run_program
from navi_core.bench.senders import CONNECTION, TIMEOUT
from navi_core.bench.tally import Tally
from navi_core.cores import core_count
from navi_core.errors import ErrorCode, RemoteError

__all__ = ["WrkEngine", "read_output", "uncorrected"]

_MARK: Final = "navi-bench-result "
_GRACE_S: Final = 30.0
_KINDS: Final = {
    "connect": CONNECTION,
    "read": CONNECTION,
    "write": CONNECTION,
    "timeout": TIMEOUT,
    "status": "HTTP 400 or above",
}
_SCRIPT: Final = """
wrk.method = "POST"
wrk.body = {body}
wrk.headers = {{ {headers} }}
function done(summary, latency, requests)
  local rows = {{}}
  for index = 1, #latency do
    local value, count = latency(index)
    rows[index] = string.format("[%d,%d]", value, count)
  end
  local e = summary.errors
  io.write(string.format(
    '{mark}{{"duration":%d,"requests":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"rows":[%s]}}\\n',
    summary.duration, summary.requests, e.connect, e.read, e.write, e.status, e.timeout,
    table.concat(rows, ",")))
end
"""


class WrkEngine(Engine):
    """wrk as a program.

    Parameters
    ----------
    threads
        Of wrk; None: one.
    """

    name: ClassVar[str] = "wrk"

    def __init__(self, threads: int | None = None) -> None:
        self._threads = 1 if threads is None else min(threads, core_count())

    def why_not(self, target: Target, plan: LoadPlan) -> str:
        """Say what is in the way."""
        if shutil.which("wrk") is None:
            return "it is not installed (Debian: wrk)"
        if target.scheme != "http":
            return "it speaks HTTP/1.1 alone"
        if plan.rate_per_s is not None:
            return "it measures from when a request is sent, not from when it is due"
        if plan.duration_s is None or plan.duration_s != int(plan.duration_s):
            return "it measures whole seconds, not a number of requests"
        if target.cert_file is not None:
            return "it shows no certificate"
        return ""

    def run(self, target: Target, plan: LoadPlan, on_progress: OnProgress) -> Outcome:
        """Carry out a plan; the warm-up is a run of its own, of whole seconds."""
        duration_s = int(plan.duration_s or 1)  # see why_not
        threads = min(self._threads, plan.concurrency)
        with tempfile.TemporaryDirectory(prefix="navi-bench-") as name:
            script = Path(name) / "request.lua"
            script.write_text(_script(target), encoding="latin-1")
            command = ["wrk", "-t", str(threads), "-c", str(plan.concurrency), "-s", str(script)]
            command += ["--timeout", f"{max(1, round(plan.timeout_s))}s"]
            warm_up_s = -int(-plan.warm_up_s // 1)
            total_s = warm_up_s + duration_s
            if warm_up_s:
                warming = run_program(
                    [*command, "-d", f"{warm_up_s}s", target.url],
                    expected_s=warm_up_s,
                    limit_s=warm_up_s + _GRACE_S,
                    on_progress=lambda part, ended: on_progress(part * warm_up_s / total_s, ended),
                )
                if not warming.is_complete:
                    return Outcome(tally=Tally(), elapsed_s=0.0, is_complete=False, processes=threads)
            ran = run_program(
                [*command, "-d", f"{duration_s}s", target.url],
                expected_s=duration_s,
                limit_s=duration_s + _GRACE_S,
                on_progress=on_progress,
                begin_part=warm_up_s / total_s,
            )
        tally, elapsed_s, num_failed_timed, notes = read_output(ran.text, plan.concurrency)
        return Outcome(
            tally=tally,
            elapsed_s=elapsed_s,
            is_complete=ran.is_complete,
            processes=threads,
            num_failed_timed=num_failed_timed,
            notes=("wrk tells nothing by the second", *notes),
        )


def _script(target: Target) -> str:
    headers = ", ".join(f"[{_lua(name)}] = {_lua(value)}" for name, value in target.all_headers)
    return _SCRIPT.format(body=_lua(target.body.decode("latin-1")), headers=headers, mark=_MARK)


def _lua(text: str) -> str:
    """Return a Lua string: what is not plain, by its number."""
    return '"' + re.sub(r"[^ !#-\[\]-~]", lambda match: f"\\{ord(match[0]):03d}", text) + '"'


def read_output(text: str, connections: int) -> tuple[Tally, float, int, tuple[str, ...]]:
    """Return what a script's line says: the requests, how many seconds they took, how many latencies failures have, notes.

    Raises
    ------
    RemoteError
        There is no such line, or nothing was answered.
    """
    line = next((line for line in text.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        last = next((each.strip() for each in reversed(text.splitlines()) if each.strip()), "no output")
        raise RemoteError(f"wrk: expected a result, got: {last}", code=ErrorCode.INTERNAL)
    result = json.loads(line.removeprefix(_MARK))
    num_requests, elapsed_us = result["requests"], result["duration"]
    if not num_requests:
        raise RemoteError("wrk: no request was answered", code=ErrorCode.UNAVAILABLE)
    tally = Tally(last_ns=elapsed_us * 1000)
    notes: list[str] = []
    rows: Mapping[int, int] = dict(result["rows"])
    per_connection = num_requests // connections
    if per_connection:
        rows = uncorrected(rows, elapsed_us // per_connection)
    if sum(rows.values()) != num_requests:
        notes.append(f"wrk answered with {sum(rows.values()):,} latencies for {num_requests:,} requests")
    for taken_us, times in rows.items():
        tally.latencies.record(taken_us * 1000, times)
    for key, code in _KINDS.items():
        if result[key]:
            tally.fail(tally.last_ns, code, "wrk keeps no answers", result[key])
    tally.seconds.clear()
    if result["status"]:
        notes.append("the latencies are those of all answers, failures included: wrk keeps them in one")
    return tally, elapsed_us / 1e6, result["status"], tuple(notes)


def uncorrected(rows: Mapping[int, int], interval_us: int) -> dict[int, int]:
    """Undo wrk's correction.

    For each latency above twice the interval, wrk has counted one more at every step of the interval below it, down to
    the interval (``stats_correct`` of its source).

    Parameters
    ----------
    rows
        Latency in microseconds -> how often it was counted.
    interval_us
        The duration, divided by the requests of a connection.
    """
    found = dict(rows)
    if interval_us < 1:
        return found
    for taken in sorted(rows, reverse=True):
        count = found[taken]
        if count <= 0 or taken < 2 * interval_us:
            continue
        below = taken - interval_us
        while below > interval_us:
            if below in found:
                found[below] -= count
            below -= interval_us
    return {taken: count for taken, count in found.items() if count > 0}
