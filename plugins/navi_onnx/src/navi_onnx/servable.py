"""OnnxServable: one session that predicts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort

from navi_core import (
    DEFAULT_SIGNATURE,
    Array,
    DType,
    LifecycleError,
    NamedArrays,
    RequestError,
    RunContext,
    Servable,
    numpy_dtype,
)
from navi_onnx.convert import (
    from_ort_value,
    from_text,
    to_native,
    to_ort_value,
    to_text,
    zipmap_keys,
    zipmap_values,
)
from navi_onnx.errors import run_error
from navi_onnx.signature import Described, OutputTensor

__all__ = ["OnnxServable", "shortest_run"]


class OnnxServable(Servable):
    """A session with its signature. Thread-safe: runs go on side by side, ``run`` releases the GIL.

    Parameters
    ----------
    session
        Opened, owned by this object from now on.
    described
        Its signature.
    run_options
        Given to every run.
    model
        The model's name, for errors.
    profiling
        The session writes a profile, to be ended when it is closed.

    Notes
    -----
    ONNX Runtime computes the whole graph in every run; outputs that are not asked for are computed
    and thrown away inside it, neither copied nor converted.
    """

    max_concurrent_runs = None

    def __init__(
        self,
        session: ort.InferenceSession,
        described: Described,
        run_options: ort.RunOptions,
        *,
        model: str,
        profiling: bool = False,
    ) -> None:
        self.signatures = {DEFAULT_SIGNATURE: described.signature}
        self._lock = threading.Lock()
        self._session: ort.InferenceSession | None = session
        self._run: Callable[..., Any] | None = shortest_run(session)
        self._run_options = run_options
        self._outputs = described.outputs
        self._uses_ort_values = described.uses_ort_values
        self._is_plain = not described.uses_ort_values and all(
            output.part == "tensor" and output.dtype is not DType.STRING
            for output in described.outputs.values()
        )
        self.may_run_inline = session.get_providers() == ["CPUExecutionProvider"]
        self._model = model
        self._profiling = profiling
        self._as_is: Mapping[str, np.dtype] = (
            {}
            if described.uses_ort_values
            else {
                name: numpy_dtype(spec.dtype)
                for name, spec in described.signature.inputs.items()
                if spec.dtype is not DType.STRING
            }
        )
        encode = to_ort_value if described.uses_ort_values else _encode
        self._encoders: Mapping[str, Callable[[Array], Any]] = {
            name: partial(encode, dtype=spec.dtype, name=name)
            for name, spec in described.signature.inputs.items()
        }

    def run(
        self, signature: str, inputs: NamedArrays, outputs: Sequence[str], ctx: RunContext
    ) -> dict[str, Array]:
        """Compute ``outputs``.

        Raises
        ------
        RequestError
            A string is not UTF-8, or ONNX Runtime calls a value invalid.
        InferenceError
            The run failed; ``out_of_memory`` says whether for want of memory.
        LifecycleError
            The servable is closed.
        """
        del ctx
        session, shortest = self._session, self._run  # local names: close() cannot free them under this run
        if session is None or shortest is None:
            msg = f"model '{self._model}' was run after it was closed"
            raise LifecycleError(msg)
        feeds: dict[str, Any] = {}
        for name, array in inputs.items():
            if array.dtype == self._as_is.get(name) and array.flags.aligned:
                feeds[name] = array
                continue
            encode = self._encoders.get(name)
            if encode is None:
                msg = f"inputs: expected some of {{{', '.join(self._encoders)}}}, got '{name}'"
                raise RequestError(msg, model=self._model, signature=signature, tensor=name)
            feeds[name] = encode(array)
        try:
            if self._is_plain:
                names = list(outputs)
                # session.run says which inputs are missing
                run = shortest if len(feeds) == len(self._encoders) else session.run
                return dict(zip(names, run(names, feeds, self._run_options), strict=True))
            wanted = [(name, self._outputs[name]) for name in outputs]
            sources = list(dict.fromkeys(output.source for _, output in wanted))
            run = session.run_with_ort_values if self._uses_ort_values else session.run
            values = dict(zip(sources, run(sources, feeds, self._run_options), strict=True))
        except Exception as error:
            raise run_error(error, model=self._model, signature=signature) from error
        return {name: self._decode(output, values[output.source]) for name, output in wanted}

    def _decode(self, output: OutputTensor, value: Any) -> Array:
        if output.part == "values":
            return zipmap_values(value, output.labels)
        if output.part == "keys":
            return zipmap_keys(len(value), output.labels)
        if self._uses_ort_values:
            value = from_ort_value(value, output.dtype)
        return from_text(value) if output.dtype is DType.STRING else value

    def close(self) -> None:
        """Release the session and end its profile. Idempotent."""
        with self._lock:
            session, self._session, self._run = self._session, None, None
        if session is not None and self._profiling:
            session.end_profiling()


def shortest_run(session: ort.InferenceSession) -> Callable[..., Any]:
    """Return ``session.run``, without its Python where that does nothing here: a third of a small model's run.

    It looks for inputs that are missing, which the caller does, and at other devices' peculiarities. What it calls then
    has no public name, but the same arguments and exceptions; where it is not there ``run`` itself is returned.
    """
    if session.get_providers() == ["CPUExecutionProvider"]:
        bare = getattr(getattr(session, "_sess", None), "run", None)
        if callable(bare):
            return bare  # type: ignore[no-any-return]  # ONNX Runtime has no types
    return session.run  # type: ignore[no-any-return]  # the same


def _encode(array: Array, dtype: DType, name: str) -> Array:
    return to_text(array, name) if dtype is DType.STRING else to_native(array, numpy_dtype(dtype), name)
