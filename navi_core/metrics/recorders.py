"""Recorders: the objects that count what happens to one signature of one loaded version.

Their cells are bound when they are made, so that a call is a lock and a few additions. What every request of a small model
does is only noted when it happens, and counted with others of its kind: once there are :data:`MAX_NOTED`, or when somebody
wants to see the counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from threading import Lock
from typing import Final, Literal, TypeAlias, TypeVar

from navi_core.errors import ErrorCode
from navi_core.metrics.cells import HistogramCell, HistogramFamily, Labels, ScalarCell, ScalarFamily
from navi_core.metrics.compat.base import CompatModel
from navi_core.metrics.families import FAMILIES

__all__ = ["MAX_NOTED", "CallCells", "MetricStore", "RunPlace", "SignatureMetrics", "WorkSaved"]

RunPlace: TypeAlias = Literal["loop", "thread", "async"]
WorkSaved: TypeAlias = Literal["cancelled", "late", "stale"]

MAX_NOTED: Final = 256
"""How much is noted of a kind before it is counted; to count that takes some 100 microseconds."""

_MAX_WORDS: Final = 64
_OTHER: Final = "_other_"

_Noted = TypeVar("_Noted")


class MetricStore:
    """All families of navi's own, with the one lock that guards their cells.

    Attributes
    ----------
    lock
        Held by whoever touches a cell or a family, for as short as can be.
    families
        Family name -> family, in the order of the table.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.families: dict[str, ScalarFamily | HistogramFamily] = {
            name: HistogramFamily(spec) if spec.kind == "histogram" else ScalarFamily(spec)
            for name, spec in FAMILIES.items()
        }
        self._words: dict[str, set[str]] = {}

    def scalar(self, name: str) -> ScalarFamily:
        """Return a counter's or gauge's family."""
        family = self.families[name]
        assert isinstance(family, ScalarFamily)  # noqa: S101 - the table says so
        return family

    def histogram(self, name: str) -> HistogramFamily:
        """Return a histogram's family."""
        family = self.families[name]
        assert isinstance(family, HistogramFamily)  # noqa: S101 - the table says so
        return family

    def forget(self, *prefix: str, labels: Labels) -> None:
        """Drop the cells whose label values begin with ``prefix``, of families whose labels begin with ``labels``."""
        for family in self.families.values():
            if family.spec.labels[: len(labels)] == labels:
                family.forget(*prefix)

    def bounded(self, label: str, word: str) -> str:
        """Return ``word``, or one word for all others once the label has had 64 different ones."""
        words = self._words.setdefault(label, set())
        if word not in words:
            if len(words) >= _MAX_WORDS:
                return _OTHER
            words.add(word)
        return word


class CallCells:
    """The cells of one target's answers, found by who asked and what came out.

    Parameters
    ----------
    store
        Where the families are.
    target
        Label values of model, version and signature.
    """

    def __init__(self, store: MetricStore, target: Labels) -> None:
        self._store = store
        self._target = target
        self._cells: dict[tuple[str, str, str, ErrorCode, str], tuple[ScalarCell, HistogramCell]] = {}
        self.detached = False

    def count(
        self,
        service: str,
        transport: str,
        method: str,
        code: ErrorCode,
        reason: str,
        total_seconds: float | None,
    ) -> None:
        """Count one answer, whose request took so long, unless it was refused before that counts; the lock is held."""
        requests, seconds = self._of(service, transport, method, code, reason)
        requests.value += 1
        if total_seconds is not None:
            seconds.observe(total_seconds)

    def count_good(self, service: str, transport: str, method: str, total_seconds: Sequence[float]) -> None:
        """Count good answers, whose requests took so long each; the lock is held."""
        requests, seconds = self._of(service, transport, method, ErrorCode.OK, "")
        requests.value += len(total_seconds)
        seconds.observe_all(total_seconds)

    def _of(self, *key: *tuple[str, str, str, ErrorCode, str]) -> tuple[ScalarCell, HistogramCell]:
        cells = self._cells.get(key)
        if cells is None:
            cells = self._make(*key)
            if len(self._cells) < _MAX_WORDS * _MAX_WORDS:
                self._cells[key] = cells
        return cells

    def _make(
        self, service: str, transport: str, method: str, code: ErrorCode, reason: str
    ) -> tuple[ScalarCell, HistogramCell]:
        requests = self._store.scalar("navi_requests_total")
        seconds = self._store.histogram("navi_request_seconds")
        if self.detached:
            return requests.new_cell(), seconds.new_cell()
        call = (*self._target, service, transport, self._store.bounded("method", method))
        outcome = (code.value, self._store.bounded("reason", reason))
        return requests.child(*call, *outcome), seconds.child(*call)


class _WordCells:
    """The cells of one counter of one target, found by its last label."""

    def __init__(self, store: MetricStore, family: str, target: Labels) -> None:
        self._family = store.scalar(family)
        self._target = target
        self._cells: dict[str, ScalarCell] = {}
        self.detached = False

    def cell(self, word: str) -> ScalarCell:
        found = self._cells.get(word)
        if found is None:
            made = self._family.new_cell() if self.detached else self._family.child(*self._target, word)
            found = self._cells[word] = made
        return found


class SignatureMetrics:
    """Counts what happens to one signature of one loaded version.

    Every method may be called from any thread. After the version was forgotten its late calls count
    nowhere, rather than bring the label values back.

    Parameters
    ----------
    store
        Where the families are; its lock is held while this is made.
    target
        Label values of model, version and signature.
    compat
        The model's recorders of other servers' families.
    """

    def __init__(self, store: MetricStore, target: Labels, compat: Sequence[CompatModel]) -> None:
        self._lock = store.lock
        self._compat = tuple(compat)
        self._calls = CallCells(store, target)
        self._closed = _WordCells(store, "navi_batches_total", target)
        self._saved = _WordCells(store, "navi_work_saved_total", target)
        self._places = _WordCells(store, "navi_runs_total", target)
        self._inline_stops = store.scalar("navi_inline_stops_total").child(*target)
        self._rows = store.scalar("navi_request_rows_total").child(*target)
        self._padding_rows = store.scalar("navi_padding_rows_total").child(*target)
        self._run_failures = store.scalar("navi_run_failures_total").child(*target)
        self._retried = store.scalar("navi_retried_requests_total").child(*target)
        self._queue_wait = store.histogram("navi_queue_wait_seconds").child(*target)
        self._batch_rows = store.histogram("navi_batch_rows").child(*target)
        self._batch_requests = store.histogram("navi_batch_requests").child(*target)
        self._convert = store.histogram("navi_convert_seconds").child(*target)
        self._run = store.histogram("navi_run_seconds").child(*target)
        self._encode = store.histogram("navi_encode_seconds").child(*target)
        self._noted_answers: list[tuple[tuple[str, str, str], float, int]] = []
        self._noted_runs: list[tuple[int, str, float]] = []
        self._noted_encodings: list[float] = []

    def request_finished(
        self,
        service: str,
        transport: str,
        method: str,
        code: ErrorCode,
        reason: str,
        total_seconds: float | None,
        rows: int,
    ) -> None:
        """Count an answer, good or bad; ``total_seconds`` None: its request was refused before it was decoded."""
        if code is ErrorCode.OK and total_seconds is not None and not reason and not self._compat:
            noted = self._noted_answers
            noted.append(((service, transport, method), total_seconds, rows))
            if len(noted) >= MAX_NOTED:
                with self._lock:
                    self._count_answers()
            return
        with self._lock:
            self._calls.count(service, transport, method, code, reason, total_seconds)
            self._rows.value += rows
            for compat in self._compat:
                compat.request_finished(service, method, code, total_seconds, rows)

    def batch_finished(
        self,
        queue_seconds: Sequence[float],
        num_requests: int,
        num_rows: int,
        padding_rows: int,
        close_reason: str,
        convert_seconds: float,
        run_seconds: float,
        *,
        ok: bool,
        where: RunPlace = "thread",
    ) -> None:
        """Count a batch that was taken from the queue, and its run, if there was one.

        Parameters
        ----------
        queue_seconds
            How long each of its requests waited.
        num_requests, num_rows
            What ran; 0: nothing did, every caller had gone or was late. Padding is not counted in ``num_rows``.
        padding_rows
            Rows added to reach an allowed size.
        close_reason
            Why it took no more requests.
        convert_seconds, run_seconds
            Gathering, and the model.
        ok
            The joint run succeeded.
        where
            On the event loop, on a thread, or awaited.
        """
        with self._lock:
            for seconds in queue_seconds:
                self._queue_wait.observe(seconds)
            if num_requests:
                self._batch_requests.observe(num_requests)
                self._batch_rows.observe(num_rows)
                self._padding_rows.value += padding_rows
                self._closed.cell(close_reason).value += 1
                self._places.cell(where).value += 1
                self._convert.observe(convert_seconds)
                self._run.observe(run_seconds)
                if not ok:
                    self._run_failures.value += 1
            for compat in self._compat:
                for seconds in queue_seconds:
                    compat.queue_wait(seconds)
                if num_requests:
                    compat.batch_started(num_requests, num_rows, padding_rows)
                    compat.converted(convert_seconds, num_rows)
                    compat.ran(run_seconds)

    def ran_at_once(self, num_rows: int, close_reason: str, run_seconds: float) -> None:
        """Count a request that was run by itself on the event loop, well, without a queue.

        Parameters
        ----------
        num_rows, close_reason, run_seconds
            See :meth:`batch_finished`.
        """
        if self._compat:
            self.batch_finished((0.0,), 1, num_rows, 0, close_reason, 0.0, run_seconds, ok=True, where="loop")
            return
        noted = self._noted_runs
        noted.append((num_rows, close_reason, run_seconds))
        if len(noted) >= MAX_NOTED:
            with self._lock:
                self._count_runs()

    def inline_stopped(self) -> None:
        """Count that runs on the event loop took too long, and go to threads for a while."""
        with self._lock:
            self._inline_stops.value += 1

    def encoded(self, seconds: float) -> None:
        """Count the time that one answer took to encode."""
        if not self._compat:
            noted = self._noted_encodings
            noted.append(seconds)
            if len(noted) >= MAX_NOTED:
                with self._lock:
                    self._encode.observe_all(_taken(noted))
            return
        with self._lock:
            self._encode.observe(seconds)
            for compat in self._compat:
                compat.encoded(seconds)

    def work_saved(self, kind: WorkSaved, requests: int = 1) -> None:
        """Count requests that were dropped before they cost a run."""
        with self._lock:
            self._saved.cell(kind).value += requests
            if kind == "stale":
                for compat in self._compat:
                    compat.stale_dropped(requests)

    def retried(self, requests: int) -> None:
        """Count requests that were run again alone after their batch had failed."""
        with self._lock:
            self._retried.value += requests

    def count_noted(self) -> None:
        """Count what was only noted so far; the lock is held."""
        self._count_answers()
        self._count_runs()
        self._encode.observe_all(_taken(self._noted_encodings))

    def _count_answers(self) -> None:
        alike: dict[tuple[str, str, str], list[float]] = {}
        for call, total_seconds, rows in _taken(self._noted_answers):
            alike.setdefault(call, []).append(total_seconds)
            self._rows.value += rows
        for call, seconds in alike.items():
            self._calls.count_good(*call, seconds)

    def _count_runs(self) -> None:
        runs = _taken(self._noted_runs)
        if not runs:
            return
        self._queue_wait.observe_alike(0.0, len(runs))
        self._batch_requests.observe_alike(1, len(runs))
        self._convert.observe_alike(0.0, len(runs))
        self._places.cell("loop").value += len(runs)
        for (num_rows, close_reason), times in Counter(run[:2] for run in runs).items():
            self._batch_rows.observe_alike(num_rows, times)
            self._closed.cell(close_reason).value += times
        self._run.observe_all([run[2] for run in runs])

    def detach(self) -> None:
        """Count nowhere from now on; the lock is held."""
        self._calls.detached = self._closed.detached = self._saved.detached = self._places.detached = True
        self._compat = ()


def _taken(noted: list[_Noted]) -> list[_Noted]:
    """Empty a list; returns what was in it. The lock is held, but whoever notes something does not take it."""
    count = len(noted)
    taken = noted[:count]
    del noted[:count]  # what came meanwhile stays
    return taken
