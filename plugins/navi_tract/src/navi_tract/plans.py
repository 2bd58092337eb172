"""Plans: made when they are first needed, shared by threads, kept while there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass

import tract

from navi_tract import planning
from navi_tract.rehearsal import Report, rehearse
from navi_tract.shapes import InputShapes, Key
from navi_tract.source import ModelSource

__all__ = ["Plan", "PlanError", "Plans", "check_report", "job_of", "make_plan", "rehearsed"]


class PlanError(Exception):
    """tract makes no plan for these shapes.

    Parameters
    ----------
    text
        tract's own words, with backtraces, or what a rehearsal that ended itself left behind.
    died
        The rehearsal ended itself.
    """

    def __init__(self, text: str, *, died: bool = False) -> None:
        super().__init__(text)
        self.died = died


@dataclass(frozen=True, slots=True)
class Plan:
    """Something that runs.

    Parameters
    ----------
    runnable
        Threads may share it: each run has a state of its own.
    takes_no_rows
        Whether it survives a run without rows.
    """

    runnable: tract.Runnable
    takes_no_rows: bool = True


class Plans:
    """The plans of one model. Thread-safe: one plan is made at a time, others run meanwhile.

    Parameters
    ----------
    source
        Closed together with this object.
    shapes
        What plans differ in.
    max_plans
        How many to keep.
    rehearse
        Try each in a process of its own first.
    runs_rehearsed
        Run it there too; False where zeros are no input for the model.
    """

    def __init__(
        self,
        source: ModelSource,
        shapes: InputShapes,
        *,
        max_plans: int,
        rehearse: bool,
        runs_rehearsed: bool,
    ) -> None:
        self._source = source
        self._shapes = shapes
        self._max_plans = max_plans
        self._rehearse = rehearse
        self._runs_rehearsed = runs_rehearsed
        self._plans: OrderedDict[Key, Plan] = OrderedDict()
        self._lock = threading.Lock()
        self._making = threading.Lock()

    def get(self, key: Key) -> Plan:
        """Return the plan for a key, made if need be. Blocking.

        Raises
        ------
        PlanError
            There is none.
        SourceChangedError
            The model's file is no longer there.
        """
        plan = self._known(key)
        if plan is None:
            with self._making:
                plan = self._known(key)
                if plan is None:
                    self._source.check_unchanged()
                    plan = self._make(key)
                    self.add(key, plan)
        return plan

    def add(self, key: Key, plan: Plan) -> None:
        """Keep a plan; the one that was used longest ago makes way."""
        with self._lock:
            self._plans[key] = plan
            while len(self._plans) > self._max_plans:
                self._plans.popitem(last=False)

    def close(self) -> None:
        """Let go of the plans and the files. Idempotent."""
        with self._lock:
            self._plans.clear()
        self._source.close()

    def __len__(self) -> int:
        return len(self._plans)

    def _known(self, key: Key) -> Plan | None:
        with self._lock:
            plan = self._plans.get(key)
            if plan is not None:
                self._plans.move_to_end(key)
            return plan

    def _make(self, key: Key) -> Plan:
        takes_no_rows = True
        if self._rehearse:
            report = rehearsed(self._source, self._shapes, key, run=self._runs_rehearsed)
            takes_no_rows = check_report(report, self._shapes, run=self._runs_rehearsed)
        return make_plan(self._source, self._shapes, key, takes_no_rows=takes_no_rows)


def job_of(source: ModelSource, shapes: InputShapes, key: Key) -> planning.Job:
    """Return what to plan for a key."""
    if source.kind == "onnx":
        return planning.Job("onnx", str(source.path), shapes.facts(key), {})
    return planning.Job("nnef", str(source.path), {}, shapes.sizes(key))


def make_plan(source: ModelSource, shapes: InputShapes, key: Key, *, takes_no_rows: bool = True) -> Plan:
    """Plan in this process.

    Raises
    ------
    PlanError
        tract refuses.
    """
    try:
        return Plan(planning.plan(job_of(source, shapes, key)), takes_no_rows)
    except tract.TractError as error:
        raise PlanError(str(error)) from error


def rehearsed(source: ModelSource, shapes: InputShapes, key: Key, *, run: bool) -> Report:
    """Plan for a key in a process of its own, and run that with one row, two and none where rows are kept.

    With rows kept, the model must also be sound for a number of them: tract does not see that a symbol
    contradicts a constant, and would read past the end of an array.
    """
    rows = (1, 2, 0) if shapes.kept else (1,)
    checks = []
    if shapes.kept and source.kind == "onnx":
        checks = [shapes.facts(key, kept_size=size) for size in (2, 3)]
    runs = [shapes.run_shapes(key, kept_size=size) for size in rows] if run else []
    return rehearse(asdict(job_of(source, shapes, key)), runs, checks)


def check_report(report: Report, shapes: InputShapes, *, run: bool) -> bool:
    """Return whether a plan survives a run without rows.

    Raises
    ------
    PlanError
        The rehearsal went wrong before that run.
    """
    if report.skipped or not report.error:
        return True
    if run and shapes.kept and report.runs >= 2:
        return not report.died
    raise PlanError(report.error, died=report.died)
