"""TensorFlowServable: one SavedModel that predicts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from navi_core import (
    DEFAULT_SIGNATURE,
    Array,
    NamedArrays,
    RunContext,
    Servable,
    Signature,
    SignatureNotFoundError,
)
from navi_tf.errors import closed_error
from navi_tf.runner import Model, Run, Runner
from navi_tf.signature import ServedSignature

__all__ = ["TensorFlowServable"]

_NO_GAUGES: Final[Mapping[str, float]] = MappingProxyType({})


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
        changing = [each for each, served in signatures.items() if model.changes_itself(served)]
        self.signatures = {
            each: _alone(served.signature) if each in changing else served.signature
            for each, served in signatures.items()
        }
        self.is_stateful = bool(changing)
        self.notes = (
            *notes,
            *(f"signature '{each}' changes the model: its callers share a state" for each in changing),
        )
        self.gauges = gauges
        self._name = name
        self._lock = threading.Lock()
        self._model: Model | None = model
        self._on_close = on_close
        self._closed = False
        runners = {each: Runner(model, served, each, name) for each, served in signatures.items()}
        if DEFAULT_SIGNATURE in runners:
            runners[DEFAULT_SIGNATURE].prepare()
        self._runs: Mapping[str, Run] = {each: runner.make_run() for each, runner in runners.items()}

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
        try:
            run = self._runs[signature]  # a local name: close() on another thread cannot free it
        except KeyError:
            if self._closed:
                raise closed_error(self._name) from None
            raise SignatureNotFoundError(signature, model=self._name, known=tuple(self.signatures)) from None
        return run(inputs, outputs)

    def close(self) -> None:
        """Let go of the model. Idempotent."""
        with self._lock:
            self._closed = True
            self._runs = {}
            model, self._model = self._model, None
            on_close, self._on_close = self._on_close, None
        if model is not None:
            model.close()
        del model
        if on_close is not None:
            on_close()


def _alone(signature: Signature) -> Signature:
    """Return the signature of a model that changes itself: joined requests would change it once."""
    because = signature.not_batchable_because or "it changes the model with every run"
    return replace(signature, batchable=False, not_batchable_because=because)
