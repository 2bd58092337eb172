"""TensorFlowServable: one SavedModel that predicts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from navi_core import (
    DEFAULT_SIGNATURE,
    Array,
    DType,
    InputNamesError,
    NamedArrays,
    NaviError,
    OutputNamesError,
    RequestError,
    RunContext,
    Servable,
    SignatureNotFoundError,
    TensorMismatchError,
    string_array,
)
from navi_tf.callables import Call
from navi_tf.errors import closed_error, run_error
from navi_tf.signature import ServedSignature

__all__ = ["Model", "TensorFlowServable"]

_MAX_CALLABLES: Final = 8
"""Subsets of a signature's outputs that get a callable of their own: each holds an optimised copy of the graph."""

_Answer: TypeAlias = Callable[..., dict[str, Array]]
"""Feeds in order -> outputs by name."""

_NOT_OFFERED: Final[Any] = object()

_ndarray: Final = np.ndarray  # found faster than an attribute of a module

_NO_GAUGES: Final[Mapping[str, float]] = MappingProxyType({})


class Model(Protocol):
    """What a loader opened."""

    def make(self, served: ServedSignature, outputs: Sequence[str]) -> Call:
        """Return a callable of all feeds of a signature and these of its outputs."""
        ...

    def may_store_inputs(self, served: ServedSignature) -> bool:
        """Tell whether a run may keep an array that it was fed."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class TensorFlowServable(Servable):
    """A model with its signatures. Thread-safe: runs go on side by side, a call releases the GIL.

    Parameters
    ----------
    model
        Opened, owned by this object from now on.
    signatures
        Name -> signature and its tensors.
    name
        The model's name, for errors.
    notes, gauges
        See :class:`navi_core.Servable`.
    on_close
        Called after the model is closed.

    """

    max_concurrent_runs = None

    def __init__(
        self,
        model: Model,
        signatures: Mapping[str, ServedSignature],
        *,
        name: str,
        notes: Sequence[str] = (),
        gauges: Mapping[str, float] = _NO_GAUGES,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.signatures = {each: served.signature for each, served in signatures.items()}
        self.notes = tuple(notes)
        self.gauges = gauges
        self._name = name
        self._lock = threading.Lock()
        self._model: Model | None = model
        self._on_close = on_close
        self._runners: Mapping[str, _Runner] = {
            each: _Runner(model, served, each, name) for each, served in signatures.items()
        }
        self._closed = False
        default = self._runners.get(DEFAULT_SIGNATURE)
        if default is not None:
            default.prepare()

    def run(
        self, signature: str, inputs: NamedArrays, outputs: Sequence[str], ctx: RunContext
    ) -> dict[str, Array]:
        """Compute ``outputs``.

        Raises
        ------
        RequestError
            An input is missing or unknown, or TensorFlow calls a value invalid.
        InferenceError
            The run failed; ``out_of_memory`` says whether for want of memory.
        LifecycleError
            The servable is closed.
        """
        del ctx
        runner = self._runners.get(signature)  # a local name: close() on another thread cannot free it
        if runner is None:
            if self._closed:
                raise closed_error(self._name)
            raise SignatureNotFoundError(signature, model=self._name, known=tuple(self.signatures))
        return runner.run(inputs, outputs)

    def close(self) -> None:
        """Let go of the model. Idempotent."""
        with self._lock:
            self._closed = True
            self._runners = {}
            model, self._model = self._model, None
            on_close, self._on_close = self._on_close, None
        if model is not None:
            model.close()
        del model
        if on_close is not None:
            on_close()


class _Runner:
    """One signature. What a run does in Python is kept short: TensorFlow's own call takes some 5 us."""

    __slots__ = (
        "_answers",
        "_copies_inputs",
        "_feeds",
        "_lock",
        "_make",
        "_model_name",
        "_name",
        "_num_inputs",
        "_served",
    )

    def __init__(self, model: Model, served: ServedSignature, name: str, model_name: str) -> None:
        visible = served.signature.inputs
        # what the configuration leaves out is under a name that no request has
        self._feeds = tuple(
            (each if each in visible else _NOT_OFFERED, dtype) for each, dtype in served.dtypes.items()
        )
        self._num_inputs = len(served.feeds)
        self._copies_inputs = model.may_store_inputs(served)
        self._answers: dict[tuple[str, ...], _Answer] = {}
        self._lock = threading.Lock()
        self._make = model.make
        self._served = served
        self._name = name
        self._model_name = model_name

    def prepare(self) -> None:
        """Make the callable of all outputs: that takes time and memory, and is better done by a load."""
        outputs = tuple(self._served.fetches)
        self._answers[outputs] = _answer(self._make(self._served, outputs), outputs)

    def run(self, inputs: NamedArrays, outputs: Sequence[str]) -> dict[str, Array]:
        """Compute outputs."""
        try:
            arrays = [
                array if (array := inputs[name]).dtype is dtype else self._native(array, dtype, name)
                for name, dtype in self._feeds
            ]
        except KeyError:
            arrays = self._completed(inputs)
        else:
            if len(inputs) != self._num_inputs:
                raise self._names_error(inputs)
        if self._copies_inputs:
            arrays = [array.copy() for array in arrays]
        try:
            try:
                answer = self._answers[outputs]  # type: ignore[index]  # a list is not hashed: see below
            except (KeyError, TypeError):
                answer = self._answer_of(tuple(outputs))
            return answer(*arrays)
        except Exception as error:
            raise self._error(error, inputs) from error

    def _answer_of(self, outputs: tuple[str, ...]) -> _Answer:
        """Return the answer of outputs that were not asked for together before."""
        every = tuple(self._served.fetches)
        for index, name in enumerate(outputs):
            if name not in every or name in outputs[:index]:
                raise OutputNamesError(name, expected=every, duplicate=name in every, model=self._model_name)
        with self._lock:
            answer = self._answers.get(outputs)
            if answer is not None:
                return answer
            if len(self._answers) < _MAX_CALLABLES:
                answer = self._answers[outputs] = _answer(self._make(self._served, outputs), outputs)
                return answer
            whole = self._answers.get(every)
            if whole is None:
                whole = self._answers[every] = _answer(self._make(self._served, every), every)

        def part(*arrays: Array) -> dict[str, Array]:
            computed = whole(*arrays)
            return {name: computed[name] for name in outputs}

        return part

    def _completed(self, inputs: NamedArrays) -> list[Array]:
        """Return the feeds of a request that left out some."""
        offered, defaults = self._served.signature.inputs, self._served.defaults
        arrays = []
        for name, dtype in self._served.dtypes.items():
            if name in offered and name in inputs:
                arrays.append(self._native(inputs[name], dtype, name))
            elif name in defaults:
                arrays.append(defaults[name])
            else:
                raise self._names_error(inputs)
        if any(name not in offered for name in inputs):
            raise self._names_error(inputs)
        return arrays

    def _names_error(self, inputs: NamedArrays) -> InputNamesError:
        expected = tuple(self._served.signature.inputs)
        optional = self._served.defaults
        return InputNamesError(
            expected=expected,
            got=tuple(inputs),
            missing=tuple(name for name in expected if name not in inputs and name not in optional),
            extra=tuple(name for name in inputs if name not in expected),
            model=self._model_name,
            signature=self._name,
        )

    def _native(self, array: Array, dtype: np.dtype, name: str) -> Array:
        """Return an array that TensorFlow reads rightly: it takes the other byte order for its own."""
        if array.dtype == dtype:
            return array
        if array.dtype.newbyteorder("=") == dtype:
            return array.astype(dtype)
        if dtype.hasobject and array.dtype.kind in "SU":
            return string_array(array)
        raise TensorMismatchError(
            tensor=name,
            what="dtype",
            expected=str(self._served.signature.inputs[name].dtype),
            got=str(array.dtype),
            model=self._model_name,
            signature=self._name,
        )

    def _error(self, error: Exception, inputs: NamedArrays) -> NaviError:
        for name, spec in self._served.signature.inputs.items():
            if spec.dtype is DType.STRING and name in inputs:
                try:  # TensorFlow calls an item of another type an internal error
                    string_array(inputs[name])
                except TypeError as wrong:
                    return RequestError(
                        f"input '{name}': {wrong}",
                        model=self._model_name,
                        signature=self._name,
                        tensor=name,
                    )
        return run_error(error, model=self._model_name, signature=self._name)


def _answer(call: Call, outputs: tuple[str, ...]) -> _Answer:
    """Return a callable that names what another computes, and hands out copies.

    TensorFlow answers with views: of an input that passes through, of constants, of variables. Whoever writes to
    an answer would change the model.
    """
    if len(outputs) == 1:
        (only,) = outputs

        def one(*arrays: Array) -> dict[str, Array]:
            (value,) = call(*arrays)
            return {only: value.copy() if type(value) is _ndarray else _array(value)}

        return one

    def several(*arrays: Array) -> dict[str, Array]:
        return {
            name: value.copy() if type(value) is _ndarray else _array(value)
            for name, value in zip(outputs, call(*arrays), strict=True)
        }

    return several


def _array(value: Any) -> Array:
    """Return a value of rank 0, which comes as NumPy's scalar or as bytes, as an array."""
    return np.array(value, dtype=object if isinstance(value, bytes) else None)
