"""Reports for tests, made as real ones are."""

from __future__ import annotations

from navi_core.bench.load import LoadPlan, Outcome
from navi_core.bench.report import InputFigures, Machine, Measurement, Report, make_measurement
from navi_core.bench.tally import Tally

MS = 10**6


def measured(
    per_second: list[int], latency_ms: float = 2.0, *, plan: dict | None = None, **more
) -> Measurement:
    """A measurement with so many successes in each second."""
    tally = Tally()
    for second, number in enumerate(per_second):
        tally.succeed(second * 10**9 + 5, round(latency_ms * MS), number)
    fields = {"concurrency": 4, "connections": 4, "duration_s": float(len(per_second)), **(plan or {})}
    arguments = {"engine": "python", "rows": 1, "answer_size": None, "ceiling_per_s": None, **more}
    outcome = arguments.pop("outcome", {})
    return make_measurement(
        LoadPlan(**fields), Outcome(tally=tally, elapsed_s=float(len(per_second)), **outcome), **arguments
    )


def report_of(*measurements: Measurement, **more) -> Report:
    """A report of measurements."""
    fields = {
        "made_at": "2030-01-01T00:00:00+00:00",
        "navi": "0.1.0",
        "model": "m",
        "version": 1,
        "signature": "serving_default",
        "protocol": "oip+grpc",
        "address": "127.0.0.1:8500",
        "machine": Machine(2, "Linux", "3.11"),
        "inputs": (InputFigures("x", "float32", (1, 16)),),
        "request_bytes": 80,
        "answer_bytes": 40,
        "source": "random, seed 0",
        "checked": "each answer",
    }
    return Report(measurements=measurements, **{**fields, **more})
