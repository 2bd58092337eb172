"""What the host counts, and the page that shows it.

One :class:`Metrics` per host, with a prometheus-client registry of its own, so that two hosts in one
process do not mix. The families are the table in :mod:`navi_core.metrics.families`. Whoever serves
requests asks for the :class:`SignatureMetrics` of a loaded model's signature and calls that. Every
method may be called from any thread.

Label values of model, version and signature come from loaded models only: what a client merely sent is
counted under ``_unknown_``, so that no client can grow the page. Methods and reasons are words of the
code; should a plugin invent them per request, those beyond the first 64 share one label value.
"""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from navi_core.contracts.converter_metrics import ConverterMetric
from navi_core.contracts.versions import ServableState
from navi_core.errors import ErrorCode
from navi_core.metrics.cells import (
    FamilySnapshot,
    FamilySpec,
    HistogramFamily,
    HistogramSnapshot,
    Labels,
    ScalarFamily,
    to_metric,
)
from navi_core.metrics.compat.base import CompatServer
from navi_core.metrics.compat.sets import CompatSets
from navi_core.metrics.compat.text import write_openmetrics, write_text
from navi_core.metrics.converter_families import ConverterSource, ConverterSources
from navi_core.metrics.families import UNKNOWN
from navi_core.metrics.pages import FamilyPage, Page
from navi_core.metrics.recorders import CallCells, MetricStore, RunPlace, SignatureMetrics, WorkSaved

__all__ = ["Metrics", "QueueGauges", "RunPlace", "SignatureMetrics", "WorkSaved"]

QueueGauges: TypeAlias = tuple[str, int, int, int, int, int]
"""(model, version, requests in flight, queued requests, queued rows, queued bytes)."""

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_OPENMETRICS_END: Final = b"# EOF\n"
_QUEUE_GAUGES: Final = (
    "navi_requests_in_flight",
    "navi_queue_requests",
    "navi_queue_rows",
    "navi_queue_bytes",
)


class Metrics:
    """Everything one host counts.

    Parameters
    ----------
    compat
        Names of other servers whose families are shown as well: ``navi``, ``tensorflow``, ``proton``, ``triton``.

    Attributes
    ----------
    registry
        The host's own prometheus-client registry; a plugin's collectors may join it.

    Raises
    ------
    ValueError
        A name in ``compat`` is not known.
    """

    def __init__(self, compat: Iterable[str] = ()) -> None:
        self.registry = CollectorRegistry()
        self._version = _own_version()
        self._compat = CompatSets(compat, self._version)
        self._store = MetricStore()
        self._servable_gauges = self._store.scalar("navi_model_gauge")
        self._converters = ConverterSources()
        self._signatures: dict[tuple[str, int, str], SignatureMetrics] = {}
        self._states: dict[tuple[str, int], ServableState] = {}
        self._unresolved = CallCells(self._store, (UNKNOWN, UNKNOWN, UNKNOWN))
        self._gauge_source: Callable[[], Iterable[QueueGauges]] | None = None
        self._budget_source: Callable[[], int] | None = None
        self._certificate_source: Callable[[], Mapping[str, float]] = dict
        self._process_source: Callable[[], Mapping[str, FamilySnapshot]] = dict
        self._store.scalar("navi_build_info").child(self._version, platform.python_version()).value = 1
        self._store.scalar("navi_workers").child().value = 1
        self.registry.register(_OwnCollector(self._own_metrics))

    # --- several processes --------------------------------------------------------------------

    def set_workers(self, num_workers: int) -> None:
        """Show how many processes serve; a worker of several shows 0, as its parent counts."""
        with self._store.lock:
            self._store.scalar("navi_workers").child().value = num_workers

    def worker_replaced(self) -> None:
        """Count a worker process that ended by itself."""
        with self._store.lock:
            self._store.scalar("navi_worker_restarts_total").child().value += 1

    def requests_held(self, seconds: float) -> None:
        """Count one worker's part in a swap."""
        with self._store.lock:
            self._store.histogram("navi_swap_hold_seconds").child().observe(seconds)

    # --- recording ----------------------------------------------------------------------------

    def for_signature(self, model: str, version: int, signature: str) -> SignatureMetrics:
        """Return the recorder of one signature of a loaded version; the same object until it is forgotten."""
        key = (model, version, signature)
        found = self._signatures.get(key)
        if found is not None:
            return found
        with self._store.lock:
            found = self._signatures.get(key)
            if found is None:
                target = (model, str(version), signature)
                found = SignatureMetrics(self._store, target, self._compat.of(model, version))
                self._signatures[key] = found
            return found

    def unresolved_request(
        self,
        service: str,
        transport: str,
        method: str,
        code: ErrorCode,
        reason: str,
    ) -> None:
        """Count an answer to a request that reached no loaded version; the client's words are not shown."""
        with self._store.lock:
            self._unresolved.count(service, transport, method, code, reason, None)
            for compat in self._compat.of(UNKNOWN):
                compat.request_finished(service, method, code, None, 0)

    def read_finished(self, model: str, service: str, code: ErrorCode, total_seconds: float) -> None:
        """Count a call that looked something up, where a set of families has such calls."""
        with self._store.lock:
            for compat in self._compat.of(model):
                compat.read_finished(service, code, total_seconds)

    def load_finished(self, model: str, version: int, seconds: float, ok: bool) -> None:
        """Count one load; the version's number is not a label, or every version would stay on the page."""
        del version
        outcome = "ok" if ok else "failed"
        with self._store.lock:
            self._store.histogram("navi_load_seconds").child(model, outcome).observe(seconds)
            if ok:
                for compat in self._compat.of(model):
                    compat.loaded()

    def requests_replayed(
        self, model: str, path: str, code: ErrorCode, seconds: float, num_records: int
    ) -> None:
        """Count the warm-up of one version with recorded requests.

        Parameters
        ----------
        model
            The version's model.
        path
            The version's directory.
        code
            OK, or why it is not loaded.
        seconds, num_records
            What it took, and how many of them ran.
        """
        with self._store.lock:
            for compat in self._compat.of(model):
                compat.replayed(path, code, seconds, num_records)

    def set_gauges(self, model: str, version: int, gauges: Mapping[str, float]) -> None:
        """Show a loaded version's gauges until it is forgotten, instead of those of its life before."""
        with self._store.lock:
            self._servable_gauges.forget(model, str(version))
            for name, value in gauges.items():
                self._servable_gauges.child(model, str(version), name).value = value

    def set_converter(
        self, model: str, version: int, signature: str, converter: str, source: ConverterSource
    ) -> None:
        """Have a loaded version's converter asked for its metrics, whenever a page is made, until it is forgotten."""
        with self._store.lock:
            self._converters.add(model, version, signature, converter, source)

    def state_changed(
        self, model: str, version: int, before: ServableState | None, after: ServableState
    ) -> None:
        """Take a version's new state."""
        del before  # a version is in one state at a time, whatever it was
        with self._store.lock:
            self._states[model, version] = after

    def forget(self, model: str, version: int) -> None:
        """Drop every label value of a version that is gone; the model's own families stay."""
        with self._store.lock:
            self._forget(model, version)

    def forget_model(self, model: str) -> None:
        """Drop every label value of a model that is no longer configured, its versions included."""
        with self._store.lock:
            versions = {key[1] for key in self._signatures if key[0] == model}
            versions |= {key[1] for key in self._states if key[0] == model}
            for version in versions:
                self._forget(model, version)
            self._store.forget(model, labels=("model",))
            self._compat.forget_model(model)

    def _forget(self, model: str, version: int) -> None:
        self._states.pop((model, version), None)
        self._converters.forget(model, version)
        for key in [key for key in self._signatures if key[:2] == (model, version)]:
            self._signatures.pop(key).detach()
        self._store.forget(model, str(version), labels=("model", "version"))
        self._compat.forget_version(model, version)

    # --- showing ------------------------------------------------------------------------------

    def set_gauge_source(self, source: Callable[[], Iterable[QueueGauges]]) -> None:
        """Have ``source`` asked for every loaded version's gauges, whenever a page is made."""
        self._gauge_source = source

    def set_budget_source(self, source: Callable[[], int]) -> None:
        """Have ``source`` asked for the body bytes in flight, whenever a page is made."""
        self._budget_source = source

    def set_certificate_source(self, source: Callable[[], Mapping[str, float]]) -> None:
        """Have ``source`` asked, whenever a page is made: transport -> when its certificate ends, in seconds since 1970."""
        self._certificate_source = source

    def set_process_source(self, source: Callable[[], Mapping[str, FamilySnapshot]]) -> None:
        """Have ``source`` asked, whenever a page is made: family -> what the system says of the process."""
        self._process_source = source

    def page(self) -> Page:
        """Return everything that is shown, to be joined with what other processes show."""
        return Page(
            own=tuple(FamilyPage(spec, tuple(values)) for spec, values in self._own_families()),
            compat={
                server.name: tuple(FamilyPage(spec, tuple(values)) for spec, values in families)
                for server, families in self._compat_families()
            },
        )

    def render(self, accept: str = "", page: Page | None = None) -> tuple[str, bytes]:
        """Return content type and body of the page.

        Parameters
        ----------
        accept
            The HTTP ``Accept`` header: OpenMetrics where it is listed, Prometheus text otherwise.
        page
            What to show; None: what this process counted.
        """
        shown: Collector = self.registry
        compat = self._compat_families()
        if page is not None:
            joined = [to_metric(each.spec, each.values) for each in page.own]
            shown = _OwnCollector(lambda: joined)
            compat = (
                (server, iter([(each.spec, each.values) for each in page.compat.get(server.name, ())]))
                for server in self._compat
            )
        if _wants_openmetrics(accept):
            lines: bytes = generate_openmetrics(shown)  # type: ignore[no-untyped-call]  # it has no annotations
            text = "".join(write_openmetrics(families) for _, families in compat)
            body = lines.removesuffix(_OPENMETRICS_END)
            return _OPENMETRICS, b"".join((body, text.encode(), _OPENMETRICS_END))
        body = generate_latest(shown)
        text = "".join(write_text(families, server.style) for server, families in compat)
        # Navi's page begins with its name and version; its parsers look for that line
        first = f"#navi:{self._version}\n" if "navi" in self._compat else ""
        return _TEXT, b"".join((first.encode(), body, text.encode()))

    def _own_metrics(self) -> Iterator[Metric]:
        return (to_metric(spec, values) for spec, values in self._own_families())

    def _own_families(self) -> Iterator[tuple[FamilySpec, FamilySnapshot]]:
        with self._store.lock:
            for recorder in self._signatures.values():
                recorder.count_noted()
        gauges = self._gauges()
        for name, family in self._store.families.items():
            if name in gauges:
                yield family.spec, gauges[name]
            else:
                yield from self._snapshots([family])
        yield from self._converters.families(self._converter_metrics())

    def _converter_metrics(self) -> list[tuple[Labels, str, Sequence[ConverterMetric]]]:
        """Ask every loaded version's converter; no lock is held while a plugin's code runs."""
        with self._store.lock:
            sources = self._converters.copy()
        return self._converters.read(sources)

    def _compat_families(
        self,
    ) -> Iterator[tuple[CompatServer, Iterator[tuple[FamilySpec, FamilySnapshot]]]]:
        if self._compat.is_empty:
            return
        queues = Counter[tuple[str, int]]()
        for model, version, _, num_requests, *_ in self._queue_rows():
            queues[model, version] += num_requests
        ends = tuple(self._certificate_source().values())
        converters = [metric for _, _, metrics in self._converter_metrics() for metric in metrics]
        with self._store.lock:
            self._compat.update(
                queues=queues,
                certificate_ends=ends,
                gauges=self._servable_gauges_by_name(),
                converter_metrics=converters,
            )
        for server in self._compat:
            yield server, self._snapshots(server.families())

    def _servable_gauges_by_name(self) -> dict[str, float]:
        """Return the gauges of all loaded versions; of several the last loaded one's. The lock is held."""
        return {
            name: value
            for (_, _, name), value in self._servable_gauges.snapshot()
            if not isinstance(value, HistogramSnapshot)
        }

    def _snapshots(
        self, families: Iterable[ScalarFamily | HistogramFamily]
    ) -> Iterator[tuple[FamilySpec, FamilySnapshot]]:
        for family in families:
            with self._store.lock:  # taken per family, so that a page with many series delays nobody
                values = family.snapshot()
            yield family.spec, values

    def _queue_rows(self) -> list[QueueGauges]:
        return list(self._gauge_source()) if self._gauge_source is not None else []

    def _gauges(self) -> dict[str, FamilySnapshot]:
        """Return the families whose values are asked for, not recorded."""
        rows = [((row[0], str(row[1])), row[2:]) for row in self._queue_rows()]
        gauges: dict[str, FamilySnapshot] = {
            name: [(target, values[index]) for target, values in rows]
            for index, name in enumerate(_QUEUE_GAUGES)
        }
        with self._store.lock:
            states = dict(self._states)
        counts = Counter((model, state) for (model, _), state in states.items())
        models = dict.fromkeys(model for model, _ in states)
        gauges["navi_versions"] = [
            ((model, state.value), counts[model, state]) for model in models for state in ServableState
        ]
        used = self._budget_source() if self._budget_source is not None else 0
        gauges["navi_body_budget_used_bytes"] = [((), used)]
        gauges["navi_certificate_not_after_seconds"] = [
            ((transport,), end) for transport, end in self._certificate_source().items()
        ]
        gauges.update(self._process_source())
        return gauges


class _OwnCollector(Collector):
    """navi's families, as prometheus-client collects them."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


def _own_version() -> str:
    try:
        return distribution_version("navi-core")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0.0.0"


def _wants_openmetrics(accept: str) -> bool:
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if media == "application/openmetrics-text":
            return not any(re.fullmatch(r"q\s*=\s*0(\.0*)?", one) for one in parameters)
    return False
