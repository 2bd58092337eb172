"""GraphServable: one SameDiff graph that predicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from navi_core import (
    Array,
    DeadlineExceededError,
    InferenceError,
    LifecycleError,
    NamedArrays,
    RequestCancelledError,
    RequestError,
    RunContext,
    Servable,
    numpy_dtype,
)
from navi_graphserver.errors import OperationError
from navi_graphserver.evaluator import CancelledRunError, Evaluator
from navi_graphserver.flat.records import Address
from navi_graphserver.naming import DEAD_OUTPUT
from navi_graphserver.onnx_engine.engine import OnnxEngine
from navi_graphserver.signatures import GraphSignatures

__all__ = ["GraphServable", "LoadedGraph"]

_NONE: Final = np.empty(0, np.bool_)
_MAX_ASKED: Final = 256
"""Choices of outputs that are remembered, of each signature."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class LoadedGraph:
    """A graph, ready to run. Thread-safe, so that models of the same contents can share it.

    Parameters
    ----------
    evaluator
        Computes it.
    described
        Its signatures, and whose values their tensors are.
    engine
        Computes what it can where nothing else is fed; None: the evaluator computes everything.
    may_run_inline
        A run waits for nothing, and takes about as long as any other of its size: the graph has no loops.
    notes
        What people should know.
    """

    evaluator: Evaluator
    described: GraphSignatures
    engine: OnnxEngine | None = None
    may_run_inline: bool = False
    notes: tuple[str, ...] = ()


class GraphServable(Servable):
    """One graph. Thread-safe: a run has its own values.

    Parameters
    ----------
    loaded
        The graph.
    model
        The model's name, for errors.
    """

    max_concurrent_runs = None

    def __init__(self, loaded: LoadedGraph, *, model: str) -> None:
        described = loaded.described
        self.signatures = described.signatures
        self.may_run_inline = loaded.may_run_inline
        self.notes = loaded.notes
        self._loaded: LoadedGraph | None = loaded
        self._model = model
        self._routes = {name: _Route(name, described, loaded.engine) for name in described.signatures}

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
        loaded = self._loaded
        if loaded is None:
            msg = f"model '{self._model}' was run after it was closed"
            raise LifecycleError(msg)
        route, engine = self._routes[signature], loaded.engine
        try:
            if engine is not None and (answers := route.from_engine(engine, inputs, outputs)) is not None:
                return answers
            feeds = {route.feeds[name]: _owned(array) for name, array in inputs.items()}
            wanted = list(dict.fromkeys(route.places[name].node for name in outputs if name != DEAD_OUTPUT))
            values = loaded.evaluator.run(feeds, wanted, _is_cancelled(ctx))
        except CancelledRunError:
            if ctx.deadline is not None and time.monotonic() >= ctx.deadline:
                msg = f"model '{self._model}': the deadline passed during the run"
                raise DeadlineExceededError(msg, reason="run") from None
            msg = f"model '{self._model}': nobody waits for the answer"
            raise RequestCancelledError(msg) from None
        except OperationError as error:
            raise InferenceError(f"model '{self._model}': {error}", model=self._model) from error
        return self._answers(route, values, {id(array) for array in feeds.values()}, outputs)

    def _answers(
        self, route: _Route, values: Mapping[Address, Array], given: set[int], outputs: Sequence[str]
    ) -> dict[str, Array]:
        """Return what the evaluator made, by name; the signature for GraphServer's clients says what it did not."""
        tells_dead = DEAD_OUTPUT in outputs
        answers: dict[str, Array] = {}
        is_dead = []
        for name in outputs:
            if name == DEAD_OUTPUT:
                answers[name] = _NONE  # keeps the place
                continue
            value = values.get(route.places[name])
            is_dead.append(value is None)
            if value is None:
                if not tells_dead:
                    raise RequestError(
                        f"model '{self._model}': output '{name}' is not computed for these inputs: "
                        "it is on a branch that was not taken",
                        model=self._model,
                        signature=route.signature,
                        tensor=name,
                    )
                answers[name] = np.empty(0, route.dtypes[name])
            else:
                answers[name] = _as_declared(_apart(value, given), route.dtypes[name])
        if tells_dead:
            answers[DEAD_OUTPUT] = np.array(is_dead, np.bool_)
        return answers

    def close(self) -> None:
        """Let go of the graph. Idempotent."""
        self._loaded = None


class _Route:
    """How the tensors of one signature are called by those who compute them.

    Parameters
    ----------
    signature
        Its name.
    described
        All signatures of the graph.
    engine
        May compute it; None: there is none.
    """

    __slots__ = (
        "_asked",
        "_needed",
        "dtypes",
        "engine_inputs",
        "engine_outputs",
        "feeds",
        "places",
        "signature",
    )

    def __init__(self, signature: str, described: GraphSignatures, engine: OnnxEngine | None) -> None:
        self.signature = signature
        self.feeds = described.inputs[signature]
        self.places = described.outputs[signature]
        specs = described.signatures[signature].outputs
        self.dtypes = {name: numpy_dtype(spec.dtype) for name, spec in specs.items()}
        inputs = {} if engine is None else engine.input_names
        outputs = {} if engine is None else engine.output_names
        self.engine_inputs = {
            name: inputs[address] for name, address in self.feeds.items() if address in inputs
        }
        self.engine_outputs = {
            name: outputs[address] for name, address in self.places.items() if address in outputs
        }
        self._needed = len(inputs)
        self._asked: dict[tuple[str, ...], list[str]] = {}

    def from_engine(
        self, engine: OnnxEngine, inputs: NamedArrays, outputs: Sequence[str]
    ) -> dict[str, Array] | None:
        """Have the engine compute; None: it cannot, since something else is fed or wanted than it knows."""
        names = self._session_names(tuple(outputs))
        if not names or len(inputs) != self._needed:
            return None
        fed: dict[str, Array] = {}
        for name, array in inputs.items():
            own = self.engine_inputs.get(name)
            # a constant is replaced; of arrays without elements, ONNX's reductions make other values
            if own is None or not array.size:
                return None
            fed[own] = _owned(array)
        try:
            values = iter(engine.compute(names, fed))
        except OperationError:
            # of a shape that is not the declared one, which GraphServer's clients may feed; or at fault in itself
            return None
        return {
            name: _as_declared(next(values), self.dtypes[name])
            if name != DEAD_OUTPUT
            else np.zeros(len(names), np.bool_)
            for name in outputs
        }

    def _session_names(self, outputs: tuple[str, ...]) -> list[str]:
        """Return what the engine is asked for; empty: not all of it can be, or nothing is."""
        names = self._asked.get(outputs)
        if names is None:
            asked = [name for name in outputs if name != DEAD_OUTPUT]
            is_known = all(name in self.engine_outputs for name in asked)
            names = [self.engine_outputs[name] for name in asked] if is_known else []
            if len(self._asked) >= _MAX_ASKED:
                self._asked.clear()
            self._asked[outputs] = names
        return names


def _is_cancelled(ctx: RunContext) -> Callable[[], bool]:
    def is_cancelled() -> bool:
        late = ctx.deadline is not None and time.monotonic() >= ctx.deadline
        return late or ctx.is_cancelled()

    return is_cancelled


def _owned(array: Array) -> Array:
    """Return an array as engines take it: C-contiguous, aligned, in the machine's byte order."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype.isnative:
        return array
    return np.array(array, array.dtype.newbyteorder("="), order="C")


def _apart(value: Array, given: set[int]) -> Array:
    """Return an array that shares nothing with the inputs or the graph: a graph may hand through what it got."""
    is_own = value.base is None and value.flags.writeable and id(value) not in given
    return value if is_own else np.array(value)


def _as_declared(value: Array, dtype: np.dtype[Any]) -> Array:
    """Return an answer of the type that the signature promises, where a run made another one."""
    return value if value.dtype == dtype else value.astype(dtype)
