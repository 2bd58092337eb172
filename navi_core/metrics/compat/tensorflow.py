"""TensorFlow Serving's families.

``specs/metrics/compat_tensorflow.toml`` lists all of that server's families, those that are left out with
the reason. Only its own calls are counted: gRPC methods in capitals, REST verbs in small letters, and whatever else
comes to its REST paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from navi_core.errors import ErrorCode
from navi_core.metrics.cells import FamilySpec, HistogramCell, HistogramFamily, ScalarCell, ScalarFamily
from navi_core.metrics.compat.base import CompatModel, CompatServer
from navi_core.metrics.compat.text import TextStyle

__all__ = ["TensorflowCompat"]

LATENCY_US: Final = tuple(10 * 1.8**power for power in range(33))
QUEUING_US: Final = tuple(100 * 1.2**power for power in range(52))
EXAMPLE_COUNTS: Final = tuple(float(2**power) for power in range(15))
BATCH_SIZES: Final = tuple(float(2**power) for power in range(14))

SERVICE: Final = "tf_serving"
"""The service whose calls are counted."""

ENTRYPOINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Predict": "GRPC",
        "Classify": "GRPC",
        "Regress": "GRPC",
        "predict": "REST",
        "classify": "REST",
        "regress": "REST",
    }
)
"""Method of a call -> its entrypoint. What is not here (MultiInference, GetModelStatus...) is not counted over gRPC."""

READ_API: Final = ""
"""The API of REST's GETs, which have no verb."""

_EXAMPLE_METHODS: Final = frozenset({"Classify", "Regress", "classify", "regress"})
_THREAD_POOL: Final = "batch_threads"
_MAX_PATHS: Final = 16
"""Version directories per model that are shown: those warmed up last. Their families name directories."""
_MAX_BATCH_LABELS: Final = 64


class TensorflowCompat(CompatServer):
    """The set ``tensorflow``."""

    name = "tensorflow"
    style = TextStyle(with_help=False, empty_braces=True, show_empty=True)

    def __init__(self) -> None:
        self._families: list[ScalarFamily | HistogramFamily] = []
        self._padding_cells: dict[int, HistogramCell] = {}
        self.request_count = self._counter("request_count", "Requests, by status", "model_name", "status")
        self.request_latency = self._histogram(
            "request_latency",
            "Wall time of successful requests, in microseconds",
            LATENCY_US,
            "model_name",
            "API",
            "entrypoint",
        )
        self.example_counts = self._histogram(
            "request_example_counts", "Examples per request", EXAMPLE_COUNTS, "model"
        )
        self.example_count_total = self._counter("request_example_count_total", "Examples", "model")
        self.warmup_latency = self._histogram(
            "model_warmup_latency",
            "Wall time of warm-ups with recorded requests, in microseconds",
            LATENCY_US,
            "model_path",
            "status",
        )
        self.warmup_records = self._counter(
            "model_warmup_records_read", "Recorded requests that were run", "model_path", "status"
        )
        self._warmed_up: dict[str, dict[str, None]] = {}
        self.queuing_latency = self._histogram(
            "batching_session:queuing_latency",
            "Time in the queue, in microseconds",
            QUEUING_US,
            "thread_pool_name",
        )
        self.wrapped_run_count = self._counter("batching_session:wrapped_run_count", "Batches run")
        self.padding_size = self._histogram(
            "batching_session:padding_size", "Padding rows per batch", BATCH_SIZES, "execution_batch_size"
        )
        self.input_batch_size = self._histogram(
            "batching_session:input_batch_size", "Rows per request", BATCH_SIZES
        )
        self.processed_batch_size = self._histogram(
            "batching_session:processed_batch_size", "Rows per batch, with padding", BATCH_SIZES
        )

    def families(self) -> Sequence[ScalarFamily | HistogramFamily]:
        """Return the families, sorted by name as on that server's page."""
        return sorted(self._families, key=lambda family: family.spec.name)

    def for_model(self, model: str) -> CompatModel:
        """Return the recorder of one model."""
        return _TensorflowModel(self, model)

    def forget(self, model: str) -> None:
        """Drop the model's label values."""
        for family in self._families:
            if family.spec.labels[:1] in {("model_name",), ("model",)}:
                family.forget(model)
        for path in self._warmed_up.pop(model, ()):
            self._forget_path(path)

    def warmed_up(self, model: str, path: str, status: str, seconds: float, num_records: int) -> None:
        """Count a warm-up with recorded requests."""
        paths = self._warmed_up.setdefault(model, {})
        paths.pop(path, None)
        paths[path] = None
        while len(paths) > _MAX_PATHS:
            oldest = next(iter(paths))
            del paths[oldest]
            self._forget_path(oldest)
        self.warmup_latency.child(path, status).observe(seconds * 1e6)
        self.warmup_records.child(path, status).value += num_records

    def _forget_path(self, path: str) -> None:
        self.warmup_latency.forget(path)
        self.warmup_records.forget(path)

    def padding_cell(self, batch_rows: int) -> HistogramCell:
        """Return the cell of one batch size; sizes beyond the first 64 share one."""
        cell = self._padding_cells.get(batch_rows)
        if cell is not None:
            return cell
        if len(self._padding_cells) >= _MAX_BATCH_LABELS:
            return self.padding_size.child("other")
        cell = self._padding_cells[batch_rows] = self.padding_size.child(str(batch_rows))
        return cell

    def _counter(self, name: str, meaning: str, *labels: str) -> ScalarFamily:
        family = ScalarFamily(FamilySpec(f":tensorflow:serving:{name}", "counter", meaning, labels))
        self._families.append(family)
        return family

    def _histogram(self, name: str, meaning: str, bounds: tuple[float, ...], *labels: str) -> HistogramFamily:
        spec = FamilySpec(f":tensorflow:serving:{name}", "histogram", meaning, labels, bounds=bounds)
        family = HistogramFamily(spec)
        self._families.append(family)
        return family


class _TensorflowModel(CompatModel):
    """One model's cells."""

    def __init__(self, server: TensorflowCompat, model: str) -> None:
        self._server = server
        self._model = model
        self._counts: dict[ErrorCode, ScalarCell] = {}
        self._latencies: dict[str, HistogramCell] = {}
        self._queuing = server.queuing_latency.child(_THREAD_POOL)
        self._runs = server.wrapped_run_count.child()
        self._input_size = server.input_batch_size.child()
        self._processed_size = server.processed_batch_size.child()

    def request_finished(
        self, service: str, method: str, code: ErrorCode, total_seconds: float | None, num_rows: int
    ) -> None:
        entrypoint = ENTRYPOINTS.get(method)
        if service != SERVICE or entrypoint is None:
            return
        self._count(method, entrypoint, code, total_seconds)
        if num_rows and code is ErrorCode.OK:
            self._input_size.observe(num_rows)
            if method in _EXAMPLE_METHODS:
                self._server.example_counts.child(self._model).observe(num_rows)
                self._server.example_count_total.child(self._model).value += num_rows

    def read_finished(self, service: str, code: ErrorCode, total_seconds: float) -> None:
        if service == SERVICE:
            self._count(READ_API, "REST", code, total_seconds)

    def _count(self, api: str, entrypoint: str, code: ErrorCode, total_seconds: float | None) -> None:
        count = self._counts.get(code)
        if count is None:
            count = self._counts[code] = self._server.request_count.child(self._model, code.value)
        count.value += 1
        if code is not ErrorCode.OK or total_seconds is None:
            return
        latency = self._latencies.get(api)
        if latency is None:
            latency = self._latencies[api] = self._server.request_latency.child(self._model, api, entrypoint)
        latency.observe(total_seconds * 1e6)

    def replayed(self, path: str, code: ErrorCode, seconds: float, num_records: int) -> None:
        self._server.warmed_up(self._model, path, code.value, seconds, num_records)

    def queue_wait(self, seconds: float) -> None:
        self._queuing.observe(seconds * 1e6)

    def batch_started(self, num_requests: int, num_rows: int, padding_rows: int) -> None:
        del num_requests  # batches are counted in rows here
        self._runs.value += 1
        batch_rows = num_rows + padding_rows
        self._processed_size.observe(batch_rows)
        self._server.padding_cell(batch_rows).observe(padding_rows)
