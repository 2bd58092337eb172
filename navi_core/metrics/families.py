"""The metric families of the page, as one table: navi's own, and those of the process.

``specs/metrics/metrics.toml`` says the same and a test keeps the two equal; the documentation's table is
drawn from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from navi_core.metrics.cells import FamilySpec

__all__ = ["BUCKETS", "FAMILIES", "UNKNOWN"]

UNKNOWN: Final = "_unknown_"
"""The label value where a request never reached a loaded model."""

BUCKETS: Final[Mapping[str, tuple[float, ...]]] = MappingProxyType(
    {
        "latency_seconds": (
            *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
            *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
        ),
        "load_seconds": (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
        "hold_seconds": (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
        "counts": tuple(float(2**power) for power in range(15)),
    }
)
"""Name of a bucket list -> its upper bounds."""

_VERSION: Final = ("model", "version")
_TARGET: Final = (*_VERSION, "signature")
_CALL: Final = (*_TARGET, "service", "transport", "method")
_LATENCY: Final = BUCKETS["latency_seconds"]
_COUNTS: Final = BUCKETS["counts"]

_TABLE: Final = (
    FamilySpec(
        "navi_requests_total",
        "counter",
        "Requests answered, by outcome; code OK is success.",
        (*_CALL, "code", "reason"),
        unit="requests",
    ),
    FamilySpec(
        "navi_request_seconds",
        "histogram",
        "Time from the decoded request to its outputs, good or bad; a request that is refused before that has none.",
        _CALL,
        unit="seconds",
        bounds=_LATENCY,
    ),
    FamilySpec("navi_request_rows_total", "counter", "Rows of the requests answered.", _TARGET, unit="rows"),
    FamilySpec(
        "navi_queue_wait_seconds",
        "histogram",
        "Time a request waited in its queue.",
        _TARGET,
        unit="seconds",
        bounds=_LATENCY,
    ),
    FamilySpec(
        "navi_batch_rows",
        "histogram",
        "Rows per batch, padding not counted.",
        _TARGET,
        unit="rows",
        bounds=_COUNTS,
    ),
    FamilySpec(
        "navi_batch_requests", "histogram", "Requests per batch.", _TARGET, unit="requests", bounds=_COUNTS
    ),
    FamilySpec(
        "navi_batches_total",
        "counter",
        "Batches begun, by why they took no more requests.",
        (*_TARGET, "close_reason"),
        unit="batches",
    ),
    FamilySpec(
        "navi_runs_total",
        "counter",
        "Batches run, by where: on the event loop, on a thread, or as a coroutine (async).",
        (*_TARGET, "where"),
        unit="runs",
    ),
    FamilySpec(
        "navi_inline_stops_total",
        "counter",
        "Times that runs on the event loop took too long, and went to threads for a while.",
        _TARGET,
        unit="times",
    ),
    FamilySpec(
        "navi_padding_rows_total",
        "counter",
        "Rows added to reach an allowed batch size.",
        _TARGET,
        unit="rows",
    ),
    FamilySpec(
        "navi_convert_seconds",
        "histogram",
        "Time to fill a batch's tensors from its requests.",
        _TARGET,
        unit="seconds",
        bounds=_LATENCY,
    ),
    FamilySpec(
        "navi_run_seconds",
        "histogram",
        "Time of one run of the model.",
        _TARGET,
        unit="seconds",
        bounds=_LATENCY,
    ),
    FamilySpec("navi_run_failures_total", "counter", "Runs that raised.", _TARGET, unit="runs"),
    FamilySpec(
        "navi_encode_seconds",
        "histogram",
        "Time to turn outputs into answers.",
        _TARGET,
        unit="seconds",
        bounds=_LATENCY,
    ),
    FamilySpec(
        "navi_work_saved_total",
        "counter",
        "Requests dropped before they cost a run: cancelled, late (deadline), or stale.",
        (*_TARGET, "kind"),
        unit="requests",
    ),
    FamilySpec(
        "navi_retried_requests_total",
        "counter",
        "Requests run again alone after their batch failed.",
        _TARGET,
        unit="requests",
    ),
    FamilySpec(
        "navi_requests_in_flight", "gauge", "Requests taken and not answered yet.", _VERSION, unit="requests"
    ),
    FamilySpec(
        "navi_queue_requests",
        "gauge",
        "Requests that wait in the version's queue, which all signatures share.",
        _VERSION,
        unit="requests",
    ),
    FamilySpec("navi_queue_rows", "gauge", "Rows that wait in the queue.", _VERSION, unit="rows"),
    FamilySpec("navi_queue_bytes", "gauge", "Body bytes that wait in the queue.", _VERSION, unit="bytes"),
    FamilySpec(
        "navi_load_seconds",
        "histogram",
        "Time to load one version, warm-up included; outcome is ok or failed.",
        ("model", "outcome"),
        unit="seconds",
        bounds=BUCKETS["load_seconds"],
    ),
    FamilySpec(
        "navi_versions",
        "gauge",
        "Versions, by lifecycle state.",
        ("model", "state"),
        unit="versions",
        merged="max",
    ),
    FamilySpec(
        "navi_model_gauge",
        "gauge",
        "A number that a loaded version's runtime gives, by the runtime's name for it.",
        ("model", "version", "name"),
        merged="max",
    ),
    FamilySpec(
        "navi_body_budget_used_bytes",
        "gauge",
        "Body bytes in flight, of the process-wide budget.",
        unit="bytes",
    ),
    FamilySpec(
        "navi_certificate_not_after_seconds",
        "gauge",
        "When a listener's certificate ends, in seconds since 1970.",
        ("transport",),
        unit="seconds",
        merged="min",
    ),
    FamilySpec(
        "navi_workers", "gauge", "Worker processes that serve; 1: this process alone.", unit="workers"
    ),
    FamilySpec(
        "navi_worker_restarts_total",
        "counter",
        "Worker processes that ended by themselves and were replaced.",
        unit="workers",
    ),
    FamilySpec(
        "navi_swap_hold_seconds",
        "histogram",
        "Time that a worker held new requests back, so that all switch to another version at once; each try counts.",
        unit="seconds",
        bounds=BUCKETS["hold_seconds"],
    ),
    FamilySpec(
        "process_cpu_seconds_total",
        "counter",
        "Processor time taken, of user and system; of all processes that serve.",
        unit="seconds",
    ),
    FamilySpec(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory; of all processes that serve, each of which counts what it shares.",
        unit="bytes",
    ),
    FamilySpec(
        "process_virtual_memory_bytes",
        "gauge",
        "Virtual memory; of all processes that serve.",
        unit="bytes",
    ),
    FamilySpec(
        "process_start_time_seconds",
        "gauge",
        "When the first of the processes that serve started, in seconds since 1970.",
        unit="seconds",
        merged="min",
    ),
    FamilySpec(
        "process_open_fds",
        "gauge",
        "Open file descriptors; of several processes, of the one that has most.",
        merged="max",
    ),
    FamilySpec(
        "process_max_fds",
        "gauge",
        "File descriptors that a process may have; of several processes, of the one that may have fewest.",
        merged="min",
    ),
    FamilySpec(
        "navi_build_info",
        "gauge",
        "Always 1; the labels say what runs here.",
        ("version", "python"),
        merged="max",
    ),
)

FAMILIES: Final[Mapping[str, FamilySpec]] = MappingProxyType({spec.name: spec for spec in _TABLE})
"""Family name -> what it is."""
