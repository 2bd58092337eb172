"""TorchServable: one loaded model that predicts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from navi_core import (
    Array,
    InferenceError,
    LifecycleError,
    NamedArrays,
    NaviError,
    RequestError,
    RunContext,
    Servable,
    SignatureNotFoundError,
    TensorMismatchError,
    numpy_dtype,
)
from navi_torch.convert import check_output, encoder, host_copy, to_array
from navi_torch.errors import run_error
from navi_torch.method import Argument, Method, OutputTensor, values_of
from navi_torch.threads import take_thread_count

__all__ = ["TorchServable"]

Encode = Callable[[Array], Any]


class TorchServable(Servable):
    """The methods of one model.

    Runs go on side by side, TorchScript and torch.export release the GIL in their operators. Every run enters
    inference mode by itself, since that is a matter of the thread.

    Parameters
    ----------
    methods
        Signature -> method.
    device
        Where they compute.
    model
        The model's name, for errors.
    max_concurrent_runs
        1 where the model changes itself, or where runs side by side are slower.
    is_stateful
        The model changes itself, and may hold on to what it is given, so it gets copies.
    notes
        How it was loaded.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        *,
        device: torch.device,
        model: str,
        max_concurrent_runs: int | None,
        is_stateful: bool,
        notes: Sequence[str],
    ) -> None:
        self.signatures = {name: method.signature for name, method in methods.items()}
        self.max_concurrent_runs = max_concurrent_runs
        self.is_stateful = is_stateful
        self.notes = tuple(notes)
        self._lock = threading.Lock()
        self._model = model
        self._device = device
        self._is_host = device.type == "cpu"
        self._methods: Mapping[str, _Prepared] | None = {
            name: _Prepared(method, device, is_stateful=is_stateful) for name, method in methods.items()
        }

    def run(
        self, signature: str, inputs: NamedArrays, outputs: Sequence[str], ctx: RunContext
    ) -> dict[str, Array]:
        """Compute ``outputs``.

        Raises
        ------
        RequestError
            Sizes that the model was not made for, or values that it refuses.
        InferenceError
            The run failed; ``out_of_memory`` says whether for want of memory.
        LifecycleError
            The servable is closed.
        """
        del ctx
        methods = self._methods  # a local name: close() on another thread cannot free it under this run
        if methods is None:
            msg = f"model '{self._model}' was run after it was closed"
            raise LifecycleError(msg)
        prepared = methods.get(signature)
        if prepared is None:
            raise SignatureNotFoundError(signature, model=self._model, known=tuple(methods))
        method = prepared.method
        if method.checks is not None:
            method.checks.check(inputs, self._model, signature)
        take_thread_count()
        try:
            with torch._C._InferenceMode(True):  # noqa: SLF001 - torch.inference_mode() without its 2 us of Python
                arguments = prepared.arguments(inputs)
                result = method.call(arguments)
                values = values_of(result, method.structure, method.keys)
                wanted = [(name, prepared.outputs[name]) for name in outputs]
                if not self._is_host:
                    values = self._fetched(values, wanted)
                return {name: self._array(output, values, arguments) for name, output in wanted}
        except NaviError:
            raise
        except KeyError as error:
            msg = f"model '{self._model}': the result lacks {error}, which it had in a trial run"
            raise InferenceError(msg, model=self._model) from error
        except Exception as error:
            raise run_error(error, model=self._model, signature=signature) from error

    def _fetched(self, values: Sequence[Any], wanted: Sequence[tuple[str, OutputTensor]]) -> list[Any]:
        """Bring the wanted outputs from an accelerator, all at once, and wait for them."""
        fetched = list(values)
        for _, output in wanted:
            value = fetched[output.index]
            if isinstance(value, torch.Tensor) and value.device.type != "cpu":
                fetched[output.index] = host_copy(value)
        torch.cuda.current_stream(self._device).synchronize()
        return fetched

    def _array(self, output: OutputTensor, values: Sequence[Any], arguments: Sequence[Any]) -> Array:
        try:
            value = values[output.index]
        except IndexError:
            msg = f"model '{self._model}': the result has {len(values)} values, output '{output.name}' is missing"
            raise InferenceError(msg, model=self._model) from None
        if isinstance(value, torch.Tensor):
            others = arguments if len(values) == 1 else (*arguments, *values[: output.index])
            array = to_array(value, others)
        else:
            array = np.asarray(value, dtype=numpy_dtype(output.dtype))
        if array.dtype != numpy_dtype(output.dtype):
            check_output(output.dtype, array, output.name, self._model)
        return array

    def close(self) -> None:
        """Let the model go. Idempotent."""
        with self._lock:
            self._methods = None


class _Prepared:
    """A method with what each of its arguments is made by."""

    __slots__ = ("_only", "_steps", "method", "outputs")

    def __init__(self, method: Method, device: torch.device, *, is_stateful: bool) -> None:
        self.method = method
        self.outputs = method.outputs
        self._steps = [
            (argument, _encode(argument, device, is_stateful=is_stateful)) for argument in method.arguments
        ]
        self._only = (
            self._steps[0] if len(self._steps) == 1 and method.arguments[0].kind == "tensor" else None
        )

    def arguments(self, inputs: NamedArrays) -> list[Any]:
        """Return what the call takes, in order.

        Raises
        ------
        RequestError
            An input is missing or unknown.
        """
        only = self._only
        if only is not None and len(inputs) == 1:
            array = inputs.get(only[0].name)
            if array is not None:
                return [only[1](array)]
        arguments = []
        used = 0
        for argument, encode in self._steps:
            array = None if argument.kind == "fixed" else inputs.get(argument.name)
            if array is not None:
                used += 1
                arguments.append(encode(array))
            elif argument.kind == "fixed" or argument.optional:
                arguments.append(argument.value)
            else:
                msg = f"inputs: '{argument.name}' is missing"
                raise RequestError(msg, tensor=argument.name)
        if used != len(inputs):
            known = [argument.name for argument, _ in self._steps if argument.kind != "fixed"]
            extra = next(name for name in inputs if name not in known)
            msg = f"inputs: expected some of {{{', '.join(known)}}}, got '{extra}'"
            raise RequestError(msg, tensor=extra)
        return arguments


def _encode(argument: Argument, device: torch.device, *, is_stateful: bool) -> Encode:
    if argument.kind == "tensor":
        is_written = argument.is_written or is_stateful
        return encoder(argument.name, argument.dtype, device, is_written=is_written)

    def scalar(array: Array) -> Any:
        if array.size != 1:
            raise TensorMismatchError(
                tensor=argument.name, what="size", expected="one element", got=str(array.size)
            )
        value = array.reshape(-1)[0]
        if isinstance(value, bytes):
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise TensorMismatchError(
                    tensor=argument.name, what="text", expected="UTF-8", got="other bytes"
                ) from None
        return value.item() if isinstance(value, np.generic) else value

    return scalar
