"""GraphServable: one SameDiff graph that predicts."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from navi_core import (
    Array,
    DeadlineExceededError,
    DType,
    InferenceError,
    LifecycleError,
    NamedArrays,
    RequestCancelledError,
    RequestError,
    RunContext,
    Servable,
    dtype_of,
    numpy_dtype,
)
from navi_graphserver.errors import OperationError
from navi_graphserver.evaluator import CancelledRunError, Evaluator
from navi_graphserver.naming import DEAD_OUTPUT
from navi_graphserver.onnx_engine.engine import OnnxEngine
from navi_graphserver.signatures import GraphSignatures

__all__ = ["GraphServable"]


class GraphServable(Servable):
    """One graph. Thread-safe: a run has its own values.

    Parameters
    ----------
    evaluator
        Computes it.
    described
        Its signatures, and whose values their tensors are.
    model
        The model's name, for errors.
    engine
        Computes the default signature where nothing else is fed; None: the evaluator does.
    notes
        What people should know.
    """

    max_concurrent_runs = None

    def __init__(
        self,
        evaluator: Evaluator,
        described: GraphSignatures,
        *,
        model: str,
        engine: OnnxEngine | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.signatures = described.signatures
        self.notes = tuple(notes)
        self._described = described
        self._evaluator: Evaluator | None = evaluator
        self._engine = engine
        self._model = model

    def run(
        self, signature: str, inputs: NamedArrays, outputs: Sequence[str], ctx: RunContext
    ) -> dict[str, Array]:
        """Compute ``outputs``.

        Raises
        ------
        InferenceError
            An operation failed.
        RequestError
            An output is not alive for these inputs.
        DeadlineExceededError, RequestCancelledError
            Nobody waits any more; loops end here.
        LifecycleError
            The servable is closed.
        """
        evaluator = self._evaluator
        if evaluator is None:
            msg = f"model '{self._model}' was run after it was closed"
            raise LifecycleError(msg)
        addresses = self._described.inputs[signature]
        feeds = {addresses[name]: _owned(array) for name, array in inputs.items()}
        places = self._described.outputs[signature]
        # the answers of the signature for GraphServer's clients say which of them a run made
        asked = [name for name in outputs if name != DEAD_OUTPUT]
        wanted = list(dict.fromkeys(places[name].node for name in asked))

        def is_cancelled() -> bool:
            late = ctx.deadline is not None and time.monotonic() >= ctx.deadline
            return late or ctx.is_cancelled()

        try:
            engine = self._engine
            if engine is not None and engine.takes(feeds, wanted):
                values = engine.run(feeds, wanted)
            else:
                values = evaluator.run(feeds, wanted, is_cancelled)
        except CancelledRunError:
            if ctx.deadline is not None and time.monotonic() >= ctx.deadline:
                msg = f"model '{self._model}': the deadline passed during the run"
                raise DeadlineExceededError(msg, reason="run") from None
            msg = f"model '{self._model}': nobody waits for the answer"
            raise RequestCancelledError(msg) from None
        except OperationError as error:
            raise InferenceError(f"model '{self._model}': {error}", model=self._model) from error
        specs = self.signatures[signature].outputs
        given = {id(array) for array in feeds.values()}
        answers: dict[str, Array] = {}
        is_dead = []
        for name in asked:
            value = values.get(places[name])
            is_dead.append(value is None)
            if value is None:
                if DEAD_OUTPUT not in outputs:
                    raise RequestError(
                        f"model '{self._model}': output '{name}' is not computed for these inputs: "
                        "it is on a branch that was not taken",
                        model=self._model,
                        signature=signature,
                        tensor=name,
                    )
                value = np.empty(0, np.float32)
            answers[name] = _as_declared(_apart(value, given), specs[name].dtype)
        if DEAD_OUTPUT in outputs:
            answers[DEAD_OUTPUT] = np.array(is_dead, np.bool_)
        return {name: answers[name] for name in outputs}

    def close(self) -> None:
        """Let go of the graph. Idempotent."""
        self._evaluator = self._engine = None


def _owned(array: Array) -> Array:
    """Return an array as engines take it: C-contiguous, aligned, in the machine's byte order."""
    is_plain = array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative
    return array if is_plain else np.array(array, array.dtype.newbyteorder("="), order="C")


def _apart(value: Array, given: set[int]) -> Array:
    """Return an array that shares nothing with the inputs or the graph: a graph may hand through what it got."""
    is_own = value.base is None and value.flags.writeable and id(value) not in given
    return value if is_own else np.array(value)


def _as_declared(value: Array, dtype: DType) -> Array:
    """Return an answer of the type that the signature promises, where a run made another one."""
    return value if dtype_of(value) == dtype else value.astype(numpy_dtype(dtype))
