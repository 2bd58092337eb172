"""TractServable: plans that predict."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import tract

from navi_core import (
    DEFAULT_SIGNATURE,
    Array,
    InferenceError,
    InputNamesError,
    LifecycleError,
    NamedArrays,
    NaviError,
    RequestError,
    RunContext,
    Servable,
    TensorMismatchError,
)
from navi_tract.errors import failed_node, load_text, panic_text
from navi_tract.plans import Plan, PlanError, Plans
from navi_tract.shapes import InputShapes
from navi_tract.signature import Described
from navi_tract.source import SourceChangedError

__all__ = ["TractServable"]


class TractServable(Servable):
    """One plan, or several for different shapes. Thread-safe: a run has a state of its own.

    Parameters
    ----------
    plans
        Owned by this object from now on.
    shapes
        What inputs must look like, and which plan is theirs.
    described
        The signature.
    model
        The model's name, for errors.
    notes
        What people should know.
    """

    max_concurrent_runs = None
    may_run_inline = True

    def __init__(
        self,
        plans: Plan | Plans,
        shapes: InputShapes,
        described: Described,
        *,
        model: str,
        notes: Sequence[str] = (),
    ) -> None:
        self.signatures = {DEFAULT_SIGNATURE: described.signature}
        self.notes = tuple(notes)
        self._lock = threading.Lock()
        self._plans: Plan | Plans | None = plans
        self._shapes = shapes
        self._outputs = described.outputs
        self._model = model

    def run(
        self, signature: str, inputs: NamedArrays, outputs: Sequence[str], ctx: RunContext
    ) -> dict[str, Array]:
        """Compute ``outputs``.

        tract computes the whole graph in every run; outputs that are not asked for are not copied.

        Raises
        ------
        RequestError
            An input does not fit, or tract has no plan for these shapes.
        InferenceError
            The run failed.
        LifecycleError
            The servable is closed.
        """
        del ctx
        plans = self._plans  # a local name: close() on another thread cannot free it under this run
        if plans is None:
            msg = f"model '{self._model}' was run after it was closed"
            raise LifecycleError(msg)
        shapes = self._shapes
        if len(inputs) != len(shapes.inputs):  # tract reads past the list's end where one is missing
            raise self._names_error(inputs, signature)
        try:
            arrays = shapes.arrays(inputs, self._model, signature)
        except KeyError:
            raise self._names_error(inputs, signature) from None
        key = shapes.key(tuple([array.shape for array in arrays]), self._model, signature)
        try:
            plan = plans if isinstance(plans, Plan) else plans.get(key)
            if not plan.takes_no_rows and not arrays[0].shape[0]:
                raise self._no_rows_error(signature)
            results = plan.runnable.run(arrays)
        except (tract.TractError, PlanError, SourceChangedError) as error:
            raise self._error(error, arrays, signature) from error
        return {name: self._array(results, name) for name in outputs}

    def _array(self, results: Sequence[tract.Tensor], name: str) -> Array:
        output = self._outputs[name]
        tensor = results[output.index]
        if output.cast:
            tensor = tensor.convert_to(tract.DatumType.I64)
        array: Array = tensor.to_numpy()
        return array

    def _error(self, error: Exception, arrays: Sequence[Array], signature: str) -> NaviError:
        """Return what to tell a caller; the original stays in the log with its texts."""
        where = f"model '{self._model}'"
        if isinstance(error, PlanError):
            why = panic_text(str(error)) if error.died else load_text(str(error))
            got = ", ".join(
                f"{each.name} {tuple(array.shape)}"
                for each, array in zip(self._shapes.inputs, arrays, strict=True)
            )
            return RequestError(
                f"{where}: tract has no plan for the shapes {got}: {why or 'it ends the process'}",
                model=self._model,
                signature=signature,
            )
        if isinstance(error, SourceChangedError):
            return InferenceError(
                f"{where}: no plan can be made for these shapes: {error}", model=self._model
            )
        return InferenceError(f"{where}: {failed_node(str(error))}", model=self._model)

    def _names_error(self, inputs: NamedArrays, signature: str) -> InputNamesError:
        expected = tuple(each.name for each in self._shapes.inputs)
        return InputNamesError(
            expected=expected,
            got=tuple(inputs),
            missing=tuple(name for name in expected if name not in inputs),
            extra=tuple(name for name in inputs if name not in expected),
            model=self._model,
            signature=signature,
        )

    def _no_rows_error(self, signature: str) -> TensorMismatchError:
        return TensorMismatchError(
            tensor=self._shapes.inputs[0].name,
            what="rows",
            expected="at least 1",
            got="0",
            model=self._model,
            signature=signature,
        )

    def close(self) -> None:
        """Let go of the plans and of the model's files. Idempotent."""
        with self._lock:
            plans, self._plans = self._plans, None
        if isinstance(plans, Plans):
            plans.close()
