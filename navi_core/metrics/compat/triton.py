"""Triton's families.

``specs/metrics/compat_triton.toml`` lists them all, those that are left out with the reason. Whatever protocol a request
comes over, it counts: Triton's dashboards ask what a model does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from navi_core.errors import ErrorCode
from navi_core.metrics.cells import FamilySpec, HistogramFamily, Kind, ScalarFamily
from navi_core.metrics.compat.base import CompatModel, CompatServer
from navi_core.metrics.compat.text import TextStyle

__all__ = ["TritonCompat"]

_LABELS: Final = ("model", "version")


class TritonCompat(CompatServer):
    """The set ``triton``."""

    name = "triton"
    style = TextStyle(with_help=True, empty_braces=False, show_empty=True)

    def __init__(self) -> None:
        self._families: list[ScalarFamily] = []
        self.success = self._counter("request_success", "Requests answered well")
        self.failure = self._counter("request_failure", "Requests that failed")
        self.count = self._counter("count", "Rows of the requests answered well")
        self.exec_count = self._counter("exec_count", "Batches begun")
        self.pending = self._family("pending_request_count", "gauge", "Requests that wait in the queue")
        self.request_us = self._duration("request", "Time from a request's arrival to its answer")
        self.queue_us = self._duration("queue", "Time that requests waited in the queue")
        self.input_us = self._duration("compute_input", "Time to fill batches from their requests")
        self.infer_us = self._duration("compute_infer", "Time of runs of the model")
        self.output_us = self._duration("compute_output", "Time to turn outputs into answers")

    def families(self) -> Sequence[ScalarFamily | HistogramFamily]:
        """Return the families in the order of that server's page."""
        return self._families

    def for_model(self, model: str) -> CompatModel:
        """Return a recorder that counts nothing: the families are those of versions."""
        del model
        return CompatModel()

    def for_version(self, model: str, version: int) -> CompatModel:
        """Return the recorder of one version."""
        return _TritonVersion(self, model, str(version))

    def forget(self, model: str) -> None:
        """Drop the model's label values."""
        for family in self._families:
            family.forget(model)

    def forget_version(self, model: str, version: int) -> None:
        """Drop the version's label values."""
        for family in self._families:
            family.forget(model, str(version))

    def set_queues(self, queues: Mapping[tuple[str, int], int]) -> None:
        """Show what waits."""
        self.pending.forget()
        for (model, version), num_requests in queues.items():
            self.pending.child(model, str(version)).value = num_requests

    def _family(self, name: str, kind: Kind, meaning: str) -> ScalarFamily:
        family = ScalarFamily(FamilySpec(f"nv_inference_{name}", kind, meaning, _LABELS))
        self._families.append(family)
        return family

    def _counter(self, name: str, meaning: str) -> ScalarFamily:
        return self._family(name, "counter", meaning)

    def _duration(self, name: str, meaning: str) -> ScalarFamily:
        return self._counter(f"{name}_duration_us", f"{meaning}, in microseconds, summed up")


class _TritonVersion(CompatModel):
    """One version's cells."""

    def __init__(self, server: TritonCompat, model: str, version: str) -> None:
        self._success = server.success.child(model, version)
        self._failure = server.failure.child(model, version)
        self._count = server.count.child(model, version)
        self._exec_count = server.exec_count.child(model, version)
        self._request_us = server.request_us.child(model, version)
        self._queue_us = server.queue_us.child(model, version)
        self._input_us = server.input_us.child(model, version)
        self._infer_us = server.infer_us.child(model, version)
        self._output_us = server.output_us.child(model, version)

    def request_finished(
        self, service: str, method: str, code: ErrorCode, total_seconds: float | None, num_rows: int
    ) -> None:
        del service, method  # whatever it was
        if code is not ErrorCode.OK or total_seconds is None:
            self._failure.value += 1
            return
        self._success.value += 1
        self._count.value += num_rows
        self._request_us.value += _microseconds(total_seconds)

    def queue_wait(self, seconds: float) -> None:
        self._queue_us.value += _microseconds(seconds)

    def batch_started(self, num_requests: int, num_rows: int, padding_rows: int) -> None:
        del num_requests, num_rows, padding_rows  # rows are counted with their answers
        self._exec_count.value += 1

    def converted(self, seconds: float, num_rows: int) -> None:
        del num_rows
        self._input_us.value += _microseconds(seconds)

    def ran(self, seconds: float) -> None:
        self._infer_us.value += _microseconds(seconds)

    def encoded(self, seconds: float) -> None:
        self._output_us.value += _microseconds(seconds)


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)
