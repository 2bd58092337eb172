"""The generator that needs nothing installed: asyncio in several processes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable
from typing import ClassVar, Final

import msgspec

from navi_core.bench.children import Child
from navi_core.bench.load import Engine, LoadPlan, OnProgress, Outcome, Target
from navi_core.bench.orders import Begin, Ended, FromWorker, Progress, Ready, Refused, WorkerOrder
from navi_core.bench.schedule import share
from navi_core.bench.tally import Tally
from navi_core.cores import core_count
from navi_core.errors import ErrorCode, RemoteError

__all__ = ["PythonEngine"]

_START_WAIT_S: Final = 60.0
_END_WAIT_S: Final = 10.0
_LEAD_NS: Final = 50_000_000
_LATE_NS: Final = 5_000_000


class _Worker:
    """One process; a thread reads what it says."""

    def __init__(self, order: WorkerOrder, said: queue.Queue[tuple[int, FromWorker | None]]) -> None:
        self.part = order.part
        self._said = said
        self.child = Child("navi_core.bench.worker")
        self.child.tell(order)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self.child.said:
            self._said.put((self.part, msgspec.json.decode(line, type=FromWorker)))
        self._said.put((self.part, None))

    def end(self) -> None:
        """End the process, whatever it does."""
        self.child.end()
        self._thread.join()
        self.child.close()


class PythonEngine(Engine):
    """Sends over grpcio and over HTTP/1.1 connections of its own, and compares every answer.

    Parameters
    ----------
    processes
        How many there are; None: half of the cores that this process may use, the other half being left to the
        server, which may be on this machine.
    expected
        The right answer; None: answers are not compared.
    """

    name: ClassVar[str] = "python"

    def __init__(self, processes: int | None = None, expected: bytes | None = None) -> None:
        self._processes = max(1, core_count() // 2) if processes is None else processes
        self._expected = expected

    def why_not(self, target: Target, plan: LoadPlan) -> str:
        """Return nothing: it carries out every plan."""
        del target, plan
        return ""

    def run(self, target: Target, plan: LoadPlan, on_progress: OnProgress) -> Outcome:
        """Carry out a plan."""
        said: queue.Queue[tuple[int, FromWorker | None]] = queue.Queue()
        workers: list[_Worker] = []
        try:
            for order in _orders(target, plan, self._processes, self._expected):
                workers.append(_Worker(order, said))  # noqa: PERF401 - those that run are ended if one cannot
            return _Run(workers, said, plan, on_progress).measure()
        finally:
            for worker in workers:
                worker.end()


def _orders(target: Target, plan: LoadPlan, processes: int, expected: bytes | None) -> Iterable[WorkerOrder]:
    num_parts = min(processes, plan.concurrency, plan.num_requests or plan.concurrency)
    lanes = share(plan.concurrency, num_parts)
    requests: list[int | None] = [None] * num_parts
    if plan.num_requests is not None:
        requests = [*share(plan.num_requests, num_parts)]
    connections = share(max(plan.connections, num_parts), num_parts)
    for part in range(num_parts):
        own = msgspec.structs.replace(
            plan, concurrency=lanes[part], num_requests=requests[part], connections=connections[part]
        )
        yield WorkerOrder(target=target, plan=own, part=part, num_parts=num_parts, expected=expected)


class _Run:
    """One measurement with running workers."""

    def __init__(
        self,
        workers: list[_Worker],
        said: queue.Queue[tuple[int, FromWorker | None]],
        plan: LoadPlan,
        on_progress: OnProgress,
    ) -> None:
        self._workers = workers
        self._said = said
        self._plan = plan
        self._on_progress = on_progress
        self._ended = [0] * len(workers)
        self._tallies: dict[int, Tally] = {}

    def measure(self) -> Outcome:
        for _ in self._workers:
            self._hear_ready()
        begin_ns = time.monotonic_ns() + _LEAD_NS
        for worker in self._workers:
            worker.child.tell(Begin(begin_ns))
        is_complete = True
        try:
            self._hear_all(begin_ns, None)
        except KeyboardInterrupt:
            is_complete = False
            for worker in self._workers:
                worker.child.stop()
            self._hear_all(begin_ns, time.monotonic() + _END_WAIT_S)
        tally = Tally()
        for each in self._tallies.values():
            tally.add(each)
        return Outcome(
            tally=tally,
            elapsed_s=_elapsed_s(self._plan, tally, is_complete=is_complete),
            is_complete=is_complete,
            processes=len(self._workers),
            notes=_notes(self._plan, tally),
        )

    def _hear_ready(self) -> None:
        try:
            part, message = self._said.get(timeout=_START_WAIT_S)
        except queue.Empty:
            raise RemoteError("the load generator does not start", code=ErrorCode.INTERNAL) from None
        if isinstance(message, Refused):
            raise RemoteError(message.text, code=ErrorCode.UNAVAILABLE)
        if not isinstance(message, Ready):
            raise self._died(part)

    def _hear_all(self, begin_ns: int, deadline: float | None) -> None:
        while len(self._tallies) < len(self._workers):
            try:
                part, message = self._said.get(timeout=0.2)
            except queue.Empty:
                if deadline is not None and time.monotonic() > deadline:
                    return
                continue
            match message:
                case Ended(tally=tally):
                    self._tallies[part] = tally
                case Progress(num_ended=num_ended):
                    self._ended[part] = num_ended
                    self._on_progress(self._part_done(begin_ns), sum(self._ended))
                case None if part not in self._tallies:
                    raise self._died(part)
                case _:
                    pass

    def _part_done(self, begin_ns: int) -> float:
        plan = self._plan
        if plan.duration_s is None:
            return min(sum(self._ended) / max(plan.num_requests or 1, 1), 1.0)
        passed_s = (time.monotonic_ns() - begin_ns) / 1e9
        return min(max(passed_s / (plan.warm_up_s + plan.duration_s), 0.0), 1.0)

    def _died(self, part: int) -> RemoteError:
        words = next(worker for worker in self._workers if worker.part == part).child.last_words()
        return RemoteError(f"a process of the load generator ended: {words}", code=ErrorCode.INTERNAL)


def _elapsed_s(plan: LoadPlan, tally: Tally, *, is_complete: bool) -> float:
    """Return how long the requests took that count; those in flight at the end are waited for."""
    last_s = tally.last_ns / 1e9
    if plan.duration_s is None or not is_complete:
        return last_s
    return max(plan.duration_s, last_s)


def _notes(plan: LoadPlan, tally: Tally) -> tuple[str, ...]:
    notes: list[str] = []
    if tally.num_unsent:
        notes.append(
            f"{tally.num_unsent:,} requests were due and never sent: {plan.concurrency:,} were in flight already"
        )
    [late_ns] = tally.lateness.percentiles_ns(99)
    if late_ns > _LATE_NS:
        notes.append(
            f"the generator itself sent 1 percent of the requests more than {late_ns / 1e6:.1f} ms late: "
            "it, or this machine, is too slow for the rate"
        )
    return tuple(notes)
