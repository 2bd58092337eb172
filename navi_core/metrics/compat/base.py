"""What every set of compatible families is: recorders per model, and families to show.

All methods are called with the metrics' lock held and must not block. What a set does not count is left
at the empty default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from navi_core.contracts.converter_metrics import ConverterMetric
from navi_core.errors import ErrorCode
from navi_core.metrics.cells import HistogramFamily, ScalarFamily
from navi_core.metrics.compat.text import TextStyle

__all__ = ["CompatModel", "CompatServer"]


class CompatModel:
    """Counts what happens to one model; its cells are bound once."""

    def request_finished(
        self, service: str, method: str, code: ErrorCode, total_seconds: float | None, num_rows: int
    ) -> None:
        """Count an answer; the service's name tells a protocol's ``Predict`` from another's.

        ``total_seconds`` is None for a request that was refused before it was decoded.
        """

    def read_finished(self, service: str, code: ErrorCode, total_seconds: float) -> None:
        """Count a call that looked something up (a status, metadata); services tell of those that servers count."""

    def queue_wait(self, seconds: float) -> None:
        """Count one request's wait."""

    def batch_started(self, num_requests: int, num_rows: int, padding_rows: int) -> None:
        """Count a batch."""

    def converted(self, seconds: float, num_rows: int) -> None:
        """Count a conversion of so many rows; 0: not known."""

    def ran(self, seconds: float) -> None:
        """Count a run."""

    def encoded(self, seconds: float) -> None:
        """Count the time that one answer took to encode."""

    def stale_dropped(self, num_requests: int) -> None:
        """Count requests that were dropped because they had waited too long."""

    def loaded(self) -> None:
        """Count a version that became available."""

    def replayed(self, path: str, code: ErrorCode, seconds: float, num_records: int) -> None:
        """Count a warm-up with recorded requests of the version in the directory ``path``."""


class CompatServer:
    """One server's families.

    Attributes
    ----------
    name
        The word in ``compat_metrics``.
    style
        How that server writes its page.
    """

    name: ClassVar[str]
    style: ClassVar[TextStyle]

    def families(self) -> Sequence[ScalarFamily | HistogramFamily]:
        """Return the families in the order of the page."""
        raise NotImplementedError

    def for_model(self, model: str) -> CompatModel:
        """Return the recorder of one model."""
        raise NotImplementedError

    def for_version(self, model: str, version: int) -> CompatModel:
        """Return the recorder of one version: the model's, unless its families tell versions apart."""
        del version
        return self.for_model(model)

    def forget(self, model: str) -> None:
        """Drop the model's label values."""
        raise NotImplementedError

    def forget_version(self, model: str, version: int) -> None:
        """Drop the label values of a version that is gone."""

    def set_queues(self, queues: Mapping[tuple[str, int], int]) -> None:
        """Take how many requests wait for each (model, version); called before every page."""

    def set_queued(self, num_requests: int) -> None:
        """Take the number of requests that wait in all queues; called before every page."""

    def set_certificate_ends(self, ends: Sequence[float]) -> None:
        """Take when the listeners' certificates end, in seconds since 1970; called before every page."""

    def set_servable_gauges(self, gauges: Mapping[str, float]) -> None:
        """Take the gauges of all loaded versions, by name, the last loaded one's; called before every page."""

    def set_converter_metrics(self, metrics: Sequence[ConverterMetric]) -> None:
        """Take the metrics of all bound converters; called before every page."""
