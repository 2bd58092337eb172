"""Load an artifact: look into its files, infer its shapes, make its plans. Imports tract."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import tract

from navi_core import (
    Artifact,
    ExternalDataError,
    FileFormatError,
    LoadOptions,
    ModelLoadError,
    Servable,
    TensorMismatchError,
)
from navi_tract import planning
from navi_tract.errors import load_text, panic_text
from navi_tract.options import TractOptions
from navi_tract.plans import Plan, PlanError, Plans, check_report, job_of, make_plan, rehearsed
from navi_tract.rehearsal import Report, rehearse
from navi_tract.runtime import main_file
from navi_tract.servable import TractServable
from navi_tract.shapes import InputShapes, PlannedInput, replace_symbols
from navi_tract.signature import Described, SignatureError, describe, nnef_inputs, onnx_inputs
from navi_tract.source import ModelSource, open_source

__all__ = ["load_servable"]


def load_servable(artifact: Artifact, load: LoadOptions) -> Servable:
    """Load one version.

    Parameters
    ----------
    artifact
        A directory or files in memory with a model that tract reads, or a single file.
    load
        What the configuration says.

    Raises
    ------
    ModelLoadError
        One line that says why.
    """
    options = load.options if isinstance(load.options, TractOptions) else TractOptions()
    source: ModelSource | None = None
    file = "the model"
    try:
        file = main_file(artifact) or file
        source = open_source(artifact, allow_hard_links=options.allow_hard_links)
        return _Loader(source, load, options, artifact.name).load()
    except BaseException as error:
        hidden = [] if artifact.path is None else [str(artifact.path), os.path.realpath(artifact.path)]
        if source is not None:
            hidden += [str(source.path.parent), os.path.realpath(source.path.parent)]
            source.close()
        text = _text(error, hidden)
        if text is None:
            raise
        raise ModelLoadError(
            f"model '{artifact.name}' version {artifact.version}: {file}: {text}",
            model=artifact.name,
            version=artifact.version,
        ) from error


def _text(error: BaseException, hidden: Sequence[str]) -> str | None:
    """Return what to say of an error; None: it is no error of loading."""
    if isinstance(error, FileFormatError):
        return f"expected a model that tract reads, but {error}"
    if isinstance(error, ExternalDataError | SignatureError | TensorMismatchError):
        return str(error)
    if isinstance(error, PlanError):
        if error.died:
            return f"tract ends the process: {panic_text(str(error)) or load_text(str(error), *hidden)}"
        return load_text(str(error), *hidden)
    if isinstance(error, OSError):
        return os.strerror(error.errno).lower() if error.errno else "no such file or directory"
    if isinstance(error, tract.TractError):
        return load_text(str(error), *hidden)
    return None


class _Loader:
    """One load, step by step.

    Parameters
    ----------
    source
        The model's files.
    load
        What the configuration says.
    options
        The runtime's part of it.
    model
        The model's name, for errors.
    """

    def __init__(self, source: ModelSource, load: LoadOptions, options: TractOptions, model: str) -> None:
        self.source = source
        self.configured = load
        self.options = options
        self.model = model
        self.notes: list[str] = []

    def load(self) -> Servable:
        """Choose how the model is planned, and make the plans that are needed to begin with."""
        self._check_hazards()
        self._note_defaults()
        inputs, names, report = self._inputs()
        rows = _rows_of(inputs)
        symbols = InputShapes(inputs).symbols
        fixed_ranks = all(each.dims is not None for each in inputs)
        if fixed_ranks and not symbols:
            shapes = InputShapes(inputs)
            report = self._examine(shapes)
            self._check(report, shapes)
            return self._with_one_plan(shapes, self._describe(inputs, names, report.outputs), report)

        if symbols == (rows,) and fixed_ranks and not self.options.plan_rows:
            shapes = InputShapes(inputs, symbols)
            report = self._examine(shapes)
            if _is_sound(report, shapes, run=self._runs):
                described = self._describe(inputs, names, report.outputs)
                if described.signature.batchable:
                    return self._with_one_plan(shapes, described, report)
        elif report is None:
            report = self._infer(InputShapes(inputs, symbols)) if fixed_ranks else Report()
        return self._with_plans(inputs, names, report)

    # --- how it is planned ------------------------------------------------------------------------

    def _with_one_plan(self, shapes: InputShapes, described: Described, report: Report) -> Servable:
        takes_no_rows = check_report(report, shapes, run=self._runs)
        plan = make_plan(self.source, shapes, (), takes_no_rows=takes_no_rows)
        self.source.close()
        if shapes.kept:
            self.notes.append("one plan serves any number of rows")
            if not takes_no_rows:
                self.notes.append("requests without rows are refused: tract ends the process on them")
        return self._servable(shapes, described, plan)

    def _with_plans(
        self, inputs: Sequence[PlannedInput], names: Mapping[str, str | None], report: Report
    ) -> Servable:
        described = self._describe(inputs, names, report.outputs)
        rows = _rows_of(inputs)
        keeps_rows = (
            described.signature.batchable and report.outputs is not None and not self.options.plan_rows
        )
        if self.source.kind == "onnx" and not described.signature.batchable:
            inputs, _ = onnx_inputs(self.source, shared_rows=False)
        shapes = InputShapes(inputs, (rows,) if rows is not None and keeps_rows else ())
        plans = Plans(
            self.source,
            shapes,
            max_plans=self.options.max_plans,
            rehearse=self.options.rehearse,
            runs_rehearsed=self._runs,
        )
        for given in self.options.shapes:
            plans.get(self._given_key(shapes, given))
        if shapes.planned == (rows,) and rows is not None and all(each.dims is not None for each in inputs):
            plans.get((1,))  # whether tract takes the model at all
        elif report.error and "Unimplemented(" in report.error:
            raise PlanError(report.error)
        what = "number of rows" if shapes.planned == (rows,) else "combination of sizes"
        self.notes.append(
            f"a plan is made for each {what} when it first comes; the last {self.options.max_plans} are kept"
        )
        if report.error:
            why = panic_text(report.error) if report.died else load_text(report.error, str(self.source.path))
            self.notes.append(
                f"tract has no plan for sizes that are not known: {replace_symbols(why, names)}"
            )
        return self._servable(shapes, described, plans)

    def _servable(self, shapes: InputShapes, described: Described, plans: Plan | Plans) -> Servable:
        return TractServable(plans, shapes, described, model=self.model, notes=self.notes)

    # --- what is known of it ----------------------------------------------------------------------

    def _inputs(self) -> tuple[list[PlannedInput], dict[str, str | None], Report | None]:
        if self.source.kind == "onnx":
            return *onnx_inputs(self.source, shared_rows=True), None
        report = self._infer(None)
        if report.inputs is None:
            raise PlanError(report.error, died=report.died)
        inputs, names = nnef_inputs(report.inputs)
        if len(names) > 1 and not self.options.trust_requests:
            msg = (
                f"it has {len(names)} symbols ({', '.join(list(names)[:5])}), and tract does not check that an "
                "NNEF model's sizes fit one another: a wrong request could end the process; "
                "trust_requests = true accepts that, an ONNX file avoids it"
            )
            raise SignatureError(msg)
        return inputs, names, report

    def _describe(
        self,
        inputs: Sequence[PlannedInput],
        names: Mapping[str, str | None],
        outputs: Sequence[Mapping[str, Any]] | None,
    ) -> Described:
        return describe(self.source, self.configured, inputs, names, outputs)

    def _infer(self, shapes: InputShapes | None) -> Report:
        """Return what tract infers when every dynamic dimension is a symbol."""
        job = (
            planning.Job(self.source.kind, str(self.source.path), {}, {})
            if shapes is None
            else job_of(self.source, shapes, ())
        )
        if self.options.rehearse:
            report = rehearse(asdict(job), None)
            if not report.skipped:
                return report
            self._note_skipped(report)
        return _inferred_here(job)

    def _examine(self, shapes: InputShapes) -> Report:
        """Return what became of a rehearsal; without one, what tract infers here."""
        if self.options.rehearse:
            report = rehearsed(self.source, shapes, (), run=self._runs)
            if not report.skipped:
                return report
            self._note_skipped(report)
        return _inferred_here(job_of(self.source, shapes, ()))

    def _check(self, report: Report, shapes: InputShapes) -> None:
        check_report(report, shapes, run=self._runs)

    @property
    def _runs(self) -> bool:
        """Whether zeros are an input that cannot end the process."""
        return not self.source.hazards

    def _given_key(self, shapes: InputShapes, given: Mapping[str, tuple[int, ...]]) -> tuple[Any, ...]:
        names = [each.name for each in shapes.inputs]
        if set(given) != set(names):
            msg = f"shapes: expected the inputs {{{', '.join(names)}}}, got {{{', '.join(given)}}}"
            raise SignatureError(msg)
        return shapes.key(tuple(tuple(given[name]) for name in names))

    # --- what people should know ------------------------------------------------------------------

    def _check_hazards(self) -> None:
        hazards = self.source.hazards
        if not hazards:
            return
        some = "; ".join(hazards[:3]) + ("; ..." if len(hazards) > 3 else "")
        if not self.options.trust_requests:
            msg = (
                f"a wrong number in a request could end the process: {some}; trust_requests = true accepts "
                "that, navi-onnx answers such requests with an error"
            )
            raise SignatureError(msg)
        self.notes.append(f"a wrong number in a request can end the process: {some}")

    def _note_defaults(self) -> None:
        onnx = self.source.onnx
        fixed = (
            [] if onnx is None else [x.name for x in onnx.graph.inputs if x.name in onnx.graph.initializers]
        )
        if fixed:
            some = ", ".join(fixed[:3]) + (", ..." if len(fixed) > 3 else "")
            self.notes.append(f"inputs with a default are constants for tract: {some}")

    def _note_skipped(self, report: Report) -> None:
        note = f"plans were not tried in a process of their own: {report.skipped}"
        if note not in self.notes:
            self.notes.append(note)


def _inferred_here(job: planning.Job) -> Report:
    try:
        _, inputs, outputs = planning.analyse(job)
    except tract.TractError as error:
        return Report(error=str(error))
    return Report(inputs=[asdict(fact) for fact in inputs], outputs=[asdict(fact) for fact in outputs])


def _is_sound(report: Report, shapes: InputShapes, *, run: bool) -> bool:
    try:
        check_report(report, shapes, run=run)
    except PlanError:
        return False
    return report.outputs is not None


def _rows_of(inputs: Sequence[PlannedInput]) -> str | None:
    """Return the symbol that leads every input; None: there is none."""
    leads = {each.dims[0] if each.dims else None for each in inputs}
    lead = leads.pop() if len(leads) == 1 else None
    return lead if isinstance(lead, str) else None
