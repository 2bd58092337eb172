"""Twitter Navi's families: names begin with a colon, counters have no ``_total``.

``specs/metrics/compat_navi.toml`` lists all of Navi's families, those that are left out with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final, Literal

from navi_core.contracts.converter_metrics import ConverterMetric
from navi_core.errors import ErrorCode
from navi_core.metrics.cells import FamilySpec, HistogramCell, HistogramFamily, ScalarCell, ScalarFamily
from navi_core.metrics.compat.base import CompatModel, CompatServer
from navi_core.metrics.compat.text import TextStyle
from navi_core.metrics.converter_families import combined

__all__ = ["NaviCompat"]

_TENS: Final = tuple(float(value) for value in range(0, 201, 10))
_TAIL: Final = (250.0, 300.0, 500.0, 1000.0)

RESPONSE_TIME_MS: Final = (*_TENS, *_TAIL)
RUN_TIME_MS: Final = (
    *(float(value) for value in range(0, 91, 5)),
    *(float(value) for value in range(100, 201, 10)),
    *_TAIL,
)
CONVERTER_TIME_US: Final = (*(float(value) for value in range(0, 7001, 500)), 20000.0)

FEATURE_VALUE: Final = (*_TENS, *_TAIL, 10000.0, 100000.0)

FEATURE_VALUES: Final = {"discrete": "discrete_feature_value", "continuous": "continuous_feature_value"}
"""Navi's ``feature_id:...`` -> the histogram of a converter that is shown as that family."""

CUSTOMOP_VERSION: Final = "customop_version"
"""The gauge of a servable that is shown as Navi's family of that name."""

_FAILURES: Final = frozenset({ErrorCode.INTERNAL, ErrorCode.UNKNOWN})
"""What Navi counts as failed: the run raised, or the answer never came."""


class NaviCompat(CompatServer):
    """The set ``navi``.

    Parameters
    ----------
    version
        The host's version, ``major.minor.patch``; shown as one number as Navi does.
    """

    name = "navi"
    style = TextStyle(with_help=True, empty_braces=False, show_empty=False)

    def __init__(self, version: str) -> None:
        self._families: list[ScalarFamily | HistogramFamily] = []
        self.requests = self._counter("num_requests", "Requests received")
        self.requests_by_model = self._counter("num_requests_by_model", "Requests received", "model_name")
        self.failed = self._counter("num_requests_failed", "Requests that failed")
        self.failed_by_model = self._counter(
            "num_requests_failed_by_model", "Requests that failed", "model_name"
        )
        self.run_failed_by_model = self._counter(
            "inference_failed_requests_by_model", "Requests whose run failed", "model_name"
        )
        self.dropped = self._counter("num_requests_dropped", "Requests whose caller was gone")
        self.dropped_by_model = self._counter(
            "num_requests_dropped_by_model", "Requests whose caller was gone", "model_name"
        )
        self.batches_dropped = self._counter("num_batches_dropped", "Drops of stale work")
        self.batches_dropped_by_model = self._counter(
            "num_batches_dropped_by_model", "Drops of stale work", "model_name"
        )
        self.batches = self._counter("num_batch_prediction", "Batches begun")
        self.batches_by_model = self._counter("num_batch_prediction_by_model", "Batches begun", "model_name")
        self.batched_requests = self._counter(
            "num_prediction_by_model", "Requests taken out of the queue", "model_name"
        )
        self.predictions = self._counter("num_predictions", "Requests answered well", "model_name")
        self.snapshots = self._counter("new_model_snapshot", "Versions loaded", "model_name")
        self.batch_size = self._gauge("batch_size", "Running sum of requests per batch")
        self.batch_size_by_model = self._gauge(
            "batch_size_by_model", "Running sum of requests per batch", "model_name"
        )
        self.navi_version = self._gauge("navi_version", "major * 1e6 + minor * 1e3 + patch", merged="max")
        self.channel_size = self._gauge("mpsc_channel_size", "Requests that wait in a queue")
        self.customop_version = self._gauge(
            CUSTOMOP_VERSION,
            "The last four hexadecimal digits of a custom op library's SHA-256",
            merged="max",
        )
        self.cert_expiry = self._gauge(
            "cert_expiry_epoch", "When the certificate ends, in seconds since 1970", merged="min"
        )
        self._absent = {self.cert_expiry.spec.name, self.customop_version.spec.name}
        self.response_time = self._histogram(
            "response_time", "Time to an answer, in milliseconds", RESPONSE_TIME_MS
        )
        self.run_time = self._histogram(
            "model_inference_time", "Time of one batch's run, in milliseconds", RUN_TIME_MS
        )
        self.converter_time = self._histogram(
            "converter_time", "Time to convert one record, in microseconds", CONVERTER_TIME_US
        )
        self.feature_values = {
            kind: self._histogram(
                f"feature_id:{kind}", f"Values of {kind} features", FEATURE_VALUE, "feature_id"
            )
            for kind in FEATURE_VALUES
        }
        self.navi_version.child().value = version_number(version)

    def families(self) -> Sequence[ScalarFamily | HistogramFamily]:
        """Return the families in the order of the page; those of custom ops and TLS only where there are some."""
        return [family for family in self._families if family.spec.name not in self._absent]

    def for_model(self, model: str) -> CompatModel:
        """Return the recorder of one model."""
        return _NaviModel(self, model)

    def forget(self, model: str) -> None:
        """Drop the model's label values."""
        for family in self._families:
            if family.spec.labels == ("model_name",):
                family.forget(model)

    def set_queued(self, num_requests: int) -> None:
        """Take the number of requests that wait in all queues."""
        self.channel_size.child().value = num_requests

    def set_servable_gauges(self, gauges: Mapping[str, float]) -> None:
        """Take the version of custom op libraries from the servable that has them; of several the last."""
        self._show(self.customop_version, gauges.get(CUSTOMOP_VERSION))

    def set_certificate_ends(self, ends: Sequence[float]) -> None:
        """Take the end of the certificate that ends first: Navi has one listener."""
        self._show(self.cert_expiry, min(ends, default=None))

    def set_converter_metrics(self, metrics: Sequence[ConverterMetric]) -> None:
        """Take the values of reported features, of all models together as in Navi, where their buckets are Navi's."""
        for kind, name in FEATURE_VALUES.items():
            family = self.feature_values[kind]
            family.forget()
            for labels, value in combined(metrics, name).items():
                if len(labels) == 1 and len(value.counts) == len(FEATURE_VALUE) + 1:
                    family.child(*labels).set(value.counts, value.total)

    def _show(self, family: ScalarFamily, value: float | None) -> None:
        """Show a value; None: leave the family out, since a zero would say something else."""
        if value is None:
            self._absent.add(family.spec.name)
        else:
            self._absent.discard(family.spec.name)
            family.child().value = value

    def _counter(self, name: str, meaning: str, *labels: str) -> ScalarFamily:
        return self._scalar(FamilySpec(f":navi:{name}", "counter", meaning, labels))

    def _gauge(
        self, name: str, meaning: str, *labels: str, merged: Literal["sum", "max", "min"] = "sum"
    ) -> ScalarFamily:
        return self._scalar(FamilySpec(f":navi:{name}", "gauge", meaning, labels, merged=merged))

    def _scalar(self, spec: FamilySpec) -> ScalarFamily:
        family = ScalarFamily(spec)
        self._families.append(family)
        return family

    def _histogram(
        self, name: str, meaning: str, bounds: tuple[float, ...], label: str = "model_name"
    ) -> HistogramFamily:
        family = HistogramFamily(FamilySpec(f":navi:{name}", "histogram", meaning, (label,), bounds=bounds))
        self._families.append(family)
        return family


class _NaviModel(CompatModel):
    """One model's cells, each made when it is first needed: Navi shows families only once they were touched."""

    def __init__(self, server: NaviCompat, model: str) -> None:
        self._server = server
        self._model = model
        self._requests = server.requests.child()
        self._batches = server.batches.child()
        self._batch_size = server.batch_size.child()

    @cached_property
    def _requests_by_model(self) -> ScalarCell:
        return self._server.requests_by_model.child(self._model)

    @cached_property
    def _predictions(self) -> ScalarCell:
        return self._server.predictions.child(self._model)

    @cached_property
    def _batches_by_model(self) -> ScalarCell:
        return self._server.batches_by_model.child(self._model)

    @cached_property
    def _batched_requests(self) -> ScalarCell:
        return self._server.batched_requests.child(self._model)

    @cached_property
    def _batch_size_by_model(self) -> ScalarCell:
        return self._server.batch_size_by_model.child(self._model)

    @cached_property
    def _response_time(self) -> HistogramCell:
        return self._server.response_time.child(self._model)

    @cached_property
    def _run_time(self) -> HistogramCell:
        return self._server.run_time.child(self._model)

    @cached_property
    def _converter_time(self) -> HistogramCell:
        return self._server.converter_time.child(self._model)

    def request_finished(
        self, service: str, method: str, code: ErrorCode, total_seconds: float | None, num_rows: int
    ) -> None:
        del service, method, num_rows  # Navi tells none of them apart
        self._requests.value += 1
        self._requests_by_model.value += 1
        if total_seconds is not None:
            self._response_time.observe(total_seconds * 1e3)
        if code is ErrorCode.OK:
            self._predictions.value += 1
        else:
            self._not_answered(code)

    def _not_answered(self, code: ErrorCode) -> None:
        server, model = self._server, self._model
        if code is ErrorCode.CANCELLED:
            server.dropped.child().value += 1
            server.dropped_by_model.child(model).value += 1
        elif code in _FAILURES:
            server.failed.child().value += 1
            server.failed_by_model.child(model).value += 1
            server.run_failed_by_model.child(model).value += 1

    def batch_started(self, num_requests: int, num_rows: int, padding_rows: int) -> None:
        del num_rows, padding_rows  # Navi's batches are counted in requests
        self._batches.value += 1
        self._batches_by_model.value += 1
        self._batched_requests.value += num_requests
        self._batch_size.value += num_requests
        self._batch_size_by_model.value += num_requests

    def converted(self, seconds: float, num_rows: int) -> None:
        self._converter_time.observe(seconds * 1e6 / max(num_rows, 1))

    def ran(self, seconds: float) -> None:
        self._run_time.observe(seconds * 1e3)

    def stale_dropped(self, num_requests: int) -> None:
        server, model = self._server, self._model
        server.batches_dropped.child().value += 1
        server.batches_dropped_by_model.child(model).value += 1
        self._batched_requests.value += num_requests

    def loaded(self) -> None:
        self._server.snapshots.child(self._model).value += 1


def version_number(version: str) -> int:
    """Return ``major * 1e6 + minor * 1e3 + patch`` of a version text; parts that are no numbers are 0.

    ``2.0.45`` is 2000045.
    """
    parts = [*version.split("."), "0", "0", "0"][:3]
    major, minor, patch = (int(part) if part.isascii() and part.isdigit() else 0 for part in parts)
    return major * 1_000_000 + minor * 1_000 + patch
