"""Proton's families: those of its HTTP framework's metrics (axum-prometheus 0.4).

``specs/metrics/compat_proton.toml`` lists them all, those that are left out with the reason. As there, only HTTP is
counted, and the answers of ``/predict`` alone, which its dashboard asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from navi_core.errors import ErrorCode
from navi_core.metrics.cells import FamilySpec, HistogramCell, HistogramFamily, ScalarCell, ScalarFamily
from navi_core.metrics.compat.base import CompatModel, CompatServer
from navi_core.metrics.compat.text import TextStyle

__all__ = ["ProtonCompat"]

SERVICE: Final = "proton"
"""The service whose calls are counted."""

REST_METHOD: Final = "predict"
"""The method of its calls over HTTP; that of the RPC begins with a capital."""

DURATION_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

STATUSES: Final[Mapping[ErrorCode, str]] = MappingProxyType(
    {
        ErrorCode.OK: "200",
        ErrorCode.CANCELLED: "499",
        ErrorCode.INVALID_ARGUMENT: "422",
        ErrorCode.FAILED_PRECONDITION: "422",
        ErrorCode.OUT_OF_RANGE: "422",
        ErrorCode.UNAUTHENTICATED: "401",
        ErrorCode.PERMISSION_DENIED: "403",
        ErrorCode.NOT_FOUND: "404",
        ErrorCode.ALREADY_EXISTS: "409",
        ErrorCode.ABORTED: "409",
        ErrorCode.RESOURCE_EXHAUSTED: "429",
        ErrorCode.UNIMPLEMENTED: "501",
        ErrorCode.UNAVAILABLE: "503",
        ErrorCode.DEADLINE_EXCEEDED: "504",
    }
)
"""The status that the service answers with; 500 for the other codes."""

_CALL: Final = ("POST", "/predict")
_LABELS: Final = ("method", "endpoint", "status")


class ProtonCompat(CompatServer):
    """The set ``proton``."""

    name = "proton"
    style = TextStyle(with_help=True, empty_braces=False, show_empty=False)

    def __init__(self) -> None:
        self.requests = ScalarFamily(
            FamilySpec("axum_http_requests_total", "counter", "HTTP requests, by status", _LABELS)
        )
        self.durations = HistogramFamily(
            FamilySpec(
                "axum_http_requests_duration_seconds",
                "histogram",
                "Wall time of HTTP requests, by status",
                _LABELS,
                bounds=DURATION_SECONDS,
            )
        )
        self._cells: dict[ErrorCode, tuple[ScalarCell, HistogramCell]] = {}

    def families(self) -> Sequence[ScalarFamily | HistogramFamily]:
        """Return the families."""
        return (self.requests, self.durations)

    def for_model(self, model: str) -> CompatModel:
        """Return a recorder; the families know no models."""
        del model
        return _ProtonModel(self)

    def forget(self, model: str) -> None:
        """Keep everything: no label value is a model's."""

    def cells(self, code: ErrorCode) -> tuple[ScalarCell, HistogramCell]:
        """Return the cells of an outcome."""
        found = self._cells.get(code)
        if found is None:
            call = (*_CALL, STATUSES.get(code, "500"))
            found = self._cells[code] = (self.requests.child(*call), self.durations.child(*call))
        return found


class _ProtonModel(CompatModel):
    """Counts in the server's cells."""

    def __init__(self, server: ProtonCompat) -> None:
        self._server = server

    def request_finished(
        self, service: str, method: str, code: ErrorCode, total_seconds: float | None, num_rows: int
    ) -> None:
        del num_rows  # requests are counted, not rows
        if service != SERVICE or method != REST_METHOD:
            return
        count, duration = self._server.cells(code)
        count.value += 1
        if total_seconds is not None:
            duration.observe(total_seconds)
