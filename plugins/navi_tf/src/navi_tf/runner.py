"""One signature of a loaded model: from named inputs to named outputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from navi_core import (
    Array,
    DType,
    InputNamesError,
    NamedArrays,
    NaviError,
    OutputNamesError,
    RequestError,
    TensorMismatchError,
    string_array,
)
from navi_tf.callables import Call
from navi_tf.errors import run_error
from navi_tf.signature import ServedSignature

__all__ = ["Model", "Run", "Runner"]

_MAX_CALLABLES: Final = 8
"""Subsets of a signature's outputs that get a callable of their own: each holds an optimised copy of the graph."""

Run: TypeAlias = Callable[[NamedArrays, Sequence[str]], dict[str, Array]]
"""Inputs and names of outputs -> outputs."""

_Answer: TypeAlias = Callable[..., dict[str, Array]]
"""Feeds in order -> outputs by name."""

_NOT_OFFERED: Final[Any] = object()

_ndarray: Final = np.ndarray  # found faster than an attribute of a module


class Model(Protocol):
    """What a loader opened."""

    def make(self, served: ServedSignature, outputs: Sequence[str]) -> Call:
        """Return a callable of all feeds of a signature and these of its outputs."""
        ...

    def may_store_inputs(self, served: ServedSignature) -> bool:
        """Tell whether a run may keep an array that it was fed."""
        ...

    def changes_itself(self, served: ServedSignature) -> bool:
        """Tell whether a run changes what later runs answer."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class Runner:
    """One signature. What a run does in Python is kept short: TensorFlow's own call takes some 5 us."""

    __slots__ = (
        "_answers",
        "_copies_inputs",
        "_feeds",
        "_lock",
        "_make",
        "_model_name",
        "_name",
        "_served",
    )

    def __init__(self, model: Model, served: ServedSignature, name: str, model_name: str) -> None:
        visible = served.signature.inputs
        # what the configuration leaves out is under a name that no request has
        self._feeds = tuple(
            (each if each in visible else _NOT_OFFERED, dtype) for each, dtype in served.dtypes.items()
        )
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

    def make_run(self) -> Run:
        """Return what computes outputs from inputs: closures, whose names are found faster than attributes."""
        feeds, num_inputs = self._feeds, len(self._feeds)
        answers, answer_of = self._answers, self._answer_of
        native, completed, fail = self._native, self._completed, self._error

        def run(inputs: NamedArrays, outputs: Sequence[str]) -> dict[str, Array]:
            arrays = []
            try:
                for name, dtype in feeds:  # in Python 3.11 a comprehension takes three times as long
                    array = inputs[name]
                    if array.dtype is not dtype:
                        array = native(array, dtype, name)
                    arrays.append(array)
            except KeyError:
                arrays = completed(inputs)
            if len(inputs) > num_inputs:
                raise self._names_error(inputs)
            try:
                try:
                    answer = answers[outputs]  # type: ignore[index]  # a list is not hashed: see below
                except (KeyError, TypeError):
                    answer = answer_of(tuple(outputs))
                return answer(*arrays)
            except Exception as error:
                raise fail(error, inputs) from error

        if self._copies_inputs:
            return lambda inputs, outputs: run(
                {name: array.copy() for name, array in inputs.items()}, outputs
            )
        if num_inputs != 1:
            return run
        ((only, only_dtype),) = feeds

        def run_one(inputs: NamedArrays, outputs: Sequence[str]) -> dict[str, Array]:
            """Do the same without a list; whatever is unusual goes the other way."""
            try:
                array = inputs[only]
                answer = answers[outputs]  # type: ignore[index]  # as above
            except (KeyError, TypeError):
                return run(inputs, outputs)
            if array.dtype is not only_dtype or len(inputs) != 1:
                return run(inputs, outputs)
            try:
                return answer(array)
            except Exception as error:
                raise fail(error, inputs) from error

        return run_one

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
