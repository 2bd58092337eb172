"""A data plane in memory for Proton's service: what it can serve, what it cannot, and models that fail."""

from __future__ import annotations

import numpy as np

from navi_core.errors import (
    DeadlineExceededError,
    InferenceError,
    ModelNotFoundError,
    ModelNotReadyError,
    QueueFullError,
)
from navi_core.messages import InferenceResponse
from navi_core.signature import DEFAULT_SIGNATURE, Signature, TensorSpec, check_inputs, check_outputs
from navi_core.tensors import DType


def _signature(inputs, outputs):
    def specs(named):
        return {each.name: each for each in named}

    return Signature(inputs=specs(inputs), outputs=specs(outputs))


def _spec(name, dtype="float32", shape=None, **kwargs):
    return TensorSpec(name=name, dtype=DType(dtype), shape=shape, **kwargs)


ANY = _signature([_spec("x")], [_spec("y")])

MODELS = {
    "m": {
        DEFAULT_SIGNATURE: _signature(
            [_spec("x", shape=("batch", 2))], [_spec("y", shape=("batch", 2)), _spec("rows", "int64")]
        )
    },
    "any": {DEFAULT_SIGNATURE: ANY},
    "two": {DEFAULT_SIGNATURE: _signature([_spec("a"), _spec("b")], [_spec("y")])},
    "one_needed": {DEFAULT_SIGNATURE: _signature([_spec("a", optional=True), _spec("x")], [_spec("y")])},
    "both_optional": {
        DEFAULT_SIGNATURE: _signature([_spec("a", optional=True), _spec("b", optional=True)], [_spec("y")])
    },
    "counts": {DEFAULT_SIGNATURE: _signature([_spec("x")], [_spec("y", "int64")])},
    "integers": {DEFAULT_SIGNATURE: _signature([_spec("x", "int64")], [_spec("y")])},
    "no_default": {"other": ANY},
    **{name: {DEFAULT_SIGNATURE: ANY} for name in ("loading", "full", "late", "failing")},
}

FAILURES = {
    "full": lambda: QueueFullError(limit="rows", maximum=64, model="full"),
    "late": lambda: DeadlineExceededError("the deadline passed in the queue", reason="queue"),
    "failing": lambda: InferenceError("division by zero in node Div_3", model="failing"),
}


class _Handle:
    def __init__(self, plane, model):
        self.model = model
        self.signatures = MODELS[model]
        self._plane = plane

    async def infer(self, request):
        self._plane.requests.append(request)
        failure = FAILURES.get(self.model)
        if failure is not None:
            raise failure()
        served = self.signatures[DEFAULT_SIGNATURE]
        check_inputs(served, request.inputs, model=self.model)
        outputs = check_outputs(served, request.outputs, model=self.model)
        assert outputs == ("y",)
        return InferenceResponse(
            outputs={"y": np.asarray(request.inputs["x"] * np.float32(2), np.float32)},
            model=self.model,
            version=3,
            signature=DEFAULT_SIGNATURE,
            release=self._plane.released,
        )

    def __enter__(self):
        self._plane.num_open += 1
        return self

    def __exit__(self, *_):
        self._plane.num_open -= 1


class SmallPlane:
    """Counts what it is told, and what is given back."""

    def __init__(self):
        self.requests = []
        self.refusals = []
        self.num_open = 0
        self.num_released = 0
        self.ready = True

    @property
    def num_counted(self):
        return len(self.requests) + len(self.refusals)

    def released(self):
        self.num_released += 1

    def acquire(self, ref):
        assert ref.version is None
        assert ref.label is None
        if ref.name not in MODELS:
            raise ModelNotFoundError(ref.name)
        if ref.name == "loading":
            raise ModelNotReadyError("model 'loading' is not loaded yet", model="loading")
        return _Handle(self, ref.name)

    def refused(self, ref, error, **call):
        self.refusals.append((ref, error, call))

    def models(self):
        return tuple(MODELS)

    def is_ready(self, model=None):
        assert model is None
        return self.ready
