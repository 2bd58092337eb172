"""What a run found, as records that are written as JSON and read again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from navi_core.bench.driving import WRONG
from navi_core.bench.histogram import LatencyHistogram
from navi_core.bench.load import LoadPlan, Outcome
from navi_core.bench.schedule import Arrival
from navi_core.bench.tally import Second
from navi_core.errors import ConfigError

__all__ = [
    "ErrorFigures",
    "InputFigures",
    "LatencyFigures",
    "Machine",
    "Measurement",
    "Report",
    "SecondFigures",
    "make_measurement",
    "read_report",
]

NEAR_CEILING: Final = 0.8
"""A rate above this part of the generator's own ceiling may be the generator's rather than the server's."""

UNSEEN: Final = "no message"
"""The code of answers that were counted as successes and had no message: RPCs that failed, whatever their status."""

_PERCENTS: Final = (50, 90, 95, 99, 99.9)
_MAX_REPORT_BYTES: Final = 1 << 28


class LatencyFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies of the requests that succeeded; percentiles by nearest rank, within 1/256 of the value."""

    total_s: float
    average_ms: float
    median_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    p99_9_ms: float
    min_ms: float
    max_ms: float
    deviation_ms: float


class SecondFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What ended within one second after the start of the measurement; ``is_whole``: it lasted a second."""

    second: int
    is_whole: bool
    num_succeeded: int
    num_failed: int
    average_ms: float
    median_ms: float
    p95_ms: float
    p99_ms: float


class ErrorFigures(msgspec.Struct, frozen=True):
    """How many requests failed with one code, and what one of them was told."""

    code: str
    count: int
    example: str


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One load, and what came of it.

    Attributes
    ----------
    concurrency, rate_per_s, arrival, connections, warm_up_s
        The load; see :class:`~navi_core.bench.load.LoadPlan`.
    engine, processes
        What made it.
    num_requests, num_succeeded, num_failed, num_wrong
        Requests that ended; wrong answers are among those that failed.
    elapsed_s, requests_per_s, rows_per_s
        The requests that succeeded in so many seconds; rows only where a request has a known number.
    latency
        From when a request was sent; with a rate, from when it was due.
    errors
        By code, the most frequent first.
    seconds
        Second by second, where the engine tells.
    ceiling_per_s, is_near_ceiling
        What the same generator reached against an echo with the same concurrency; None: not measured.
    num_unsent, lateness_p99_ms
        With a rate: requests that were due and never sent, and how late the generator itself was.
    is_complete
        Nobody interrupted it.
    notes
        What is to be known of these figures.
    """

    concurrency: int
    rate_per_s: float | None
    arrival: Arrival
    connections: int
    warm_up_s: float
    engine: str
    processes: int
    num_requests: int
    num_succeeded: int
    num_failed: int
    num_wrong: int
    elapsed_s: float
    requests_per_s: float
    rows_per_s: float | None
    latency: LatencyFigures
    errors: tuple[ErrorFigures, ...]
    seconds: tuple[SecondFigures, ...]
    ceiling_per_s: float | None
    is_near_ceiling: bool
    num_unsent: int
    lateness_p99_ms: float | None
    is_complete: bool
    notes: tuple[str, ...]

    @property
    def load(self) -> str:
        """The load, in words."""
        if self.rate_per_s is None:
            return f"{self.concurrency:,} in flight"
        return f"{self.rate_per_s:,g}/s {self.arrival}"

    @property
    def failed_percent(self) -> float:
        """Failures in a hundred requests."""
        return 100 * self.num_failed / self.num_requests if self.num_requests else 0.0


class InputFigures(msgspec.Struct, frozen=True):
    """One tensor of the request."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Machine(msgspec.Struct, frozen=True):
    """Where the generator ran."""

    cores: int
    platform: str
    python: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A run of ``navi-host bench``.

    Attributes
    ----------
    form
        The version of this record.
    made_at
        When, RFC 3339.
    navi
        navi-core's version.
    model, version, signature, protocol, address
        Who was asked; the version is what the server said before the run, where it says one.
    machine
        Where the generator ran.
    inputs, request_bytes, answer_bytes, source
        What was sent, what came, and where the inputs are from.
    checked
        Whether every answer was compared with the right one, or only those before and after each measurement, or
        none.
    measurements
        One for each load.
    """

    form: Literal[1] = 1
    made_at: str
    navi: str
    model: str
    version: int | str | None
    signature: str
    protocol: str
    address: str
    machine: Machine
    inputs: tuple[InputFigures, ...]
    request_bytes: int
    answer_bytes: int
    source: str
    checked: str
    measurements: tuple[Measurement, ...]


def make_measurement(
    plan: LoadPlan,
    outcome: Outcome,
    *,
    engine: str,
    rows: int | None,
    answer_size: int | None,
    ceiling_per_s: float | None,
    notes: Sequence[str] = (),
) -> Measurement:
    """Return the figures of an outcome.

    Parameters
    ----------
    plan, outcome
        What was asked, and what came of it.
    engine
        Its name.
    rows
        Of one request; None: not known.
    answer_size
        The bytes of a right answer with what the wire puts before it, where all are of one size: with it, answers
        without a message are found although the engine took them for successes.
    ceiling_per_s
        Of the generator; None: not known.
    notes
        More that is to be known.
    """
    tally = outcome.tally
    failures = [
        ErrorFigures(code, failure.count, failure.example) for code, failure in tally.failures.items()
    ]
    num_succeeded = max(tally.num_succeeded - outcome.num_failed_timed, 0)
    found_notes = [*outcome.notes, *notes]
    if answer_size and outcome.answer_bytes is not None and num_succeeded:
        unseen = round(num_succeeded - outcome.answer_bytes / answer_size)
        if unseen > 0:
            failures.append(ErrorFigures(UNSEEN, unseen, "the engine keeps no gRPC status"))
            num_succeeded -= unseen
            found_notes.append("latencies of answers without a message are among the others")
        # of the answers in flight at the end the message may be there, and its end not
        elif unseen < -plan.concurrency:
            found_notes.append("answers were larger than those before the measurement")
    num_failed = sum(each.count for each in failures)
    elapsed_s = outcome.elapsed_s
    per_s = num_succeeded / elapsed_s if elapsed_s else 0.0
    is_near = ceiling_per_s is not None and per_s > NEAR_CEILING * ceiling_per_s
    if is_near:
        found_notes.append(
            f"within 20 percent of what the generator reaches against an echo, {ceiling_per_s:,.0f} requests/s: "
            "the server may be faster than this"
        )
    return Measurement(
        concurrency=plan.concurrency,
        rate_per_s=plan.rate_per_s,
        arrival=plan.arrival,
        connections=plan.connections,
        warm_up_s=plan.warm_up_s,
        engine=engine,
        processes=outcome.processes,
        num_requests=num_succeeded + num_failed,
        num_succeeded=num_succeeded,
        num_failed=num_failed,
        num_wrong=sum(each.count for each in failures if each.code == WRONG),
        elapsed_s=elapsed_s,
        requests_per_s=per_s,
        rows_per_s=None if rows is None else per_s * rows,
        latency=_latency(tally.latencies),
        errors=tuple(sorted(failures, key=lambda each: -each.count)),
        seconds=tuple(
            _second(index, tally.seconds.get(index, Second()), is_whole=index + 1 <= elapsed_s)
            for index in range(max(tally.seconds, default=-1) + 1)
        ),
        ceiling_per_s=ceiling_per_s,
        is_near_ceiling=is_near,
        num_unsent=tally.num_unsent,
        lateness_p99_ms=None if plan.rate_per_s is None else tally.lateness.percentiles_ns(99)[0] / 1e6,
        is_complete=outcome.is_complete,
        notes=tuple(found_notes),
    )


def _latency(latencies: LatencyHistogram) -> LatencyFigures:
    median, p90, p95, p99, p99_9 = (each / 1e6 for each in latencies.percentiles_ns(*_PERCENTS))
    return LatencyFigures(
        total_s=latencies.total_ns / 1e9,
        average_ms=latencies.mean_ns / 1e6,
        median_ms=median,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        p99_9_ms=p99_9,
        min_ms=latencies.min_ns / 1e6,
        max_ms=latencies.max_ns / 1e6,
        deviation_ms=latencies.deviation_ns / 1e6,
    )


def _second(index: int, second: Second, *, is_whole: bool) -> SecondFigures:
    median, p95, p99 = (each / 1e6 for each in second.latencies.percentiles_ns(50, 95, 99))
    return SecondFigures(
        second=index,
        is_whole=is_whole,
        num_succeeded=second.num_succeeded,
        num_failed=second.num_failed,
        average_ms=second.latencies.mean_ns / 1e6,
        median_ms=median,
        p95_ms=p95,
        p99_ms=p99,
    )


def read_report(path: Path, option: str) -> Report:
    """Read a report's JSON.

    Parameters
    ----------
    path
        Of the file.
    option
        For errors.

    Raises
    ------
    ConfigError
        It cannot be read, or is no report.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_REPORT_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", path=option) from None
    if len(content) > _MAX_REPORT_BYTES:
        raise ConfigError(f"{path}: expected at most {_MAX_REPORT_BYTES} bytes", path=option)
    try:
        return msgspec.json.decode(content, type=Report)
    except msgspec.MsgspecError as error:
        raise ConfigError(
            f"{path}: expected a report of navi-host bench --json, got something else: {error}", path=option
        ) from None
