"""A data plane in memory: a few models with every kind of signature, and models that fail in every way.

It checks requests with the host's own checks, so its errors are the real ones; it computes at once.
"""

from __future__ import annotations

import numpy as np

from navi_core.clock import ManualClock
from navi_core.config.records import BatchingSettings, ModelConfig
from navi_core.contracts.service_context import ServiceContext, ServiceOptions
from navi_core.contracts.versions import ServableState, VersionStatus
from navi_core.errors import (
    DeadlineExceededError,
    DecodeError,
    ErrorCode,
    InferenceError,
    LabelNotFoundError,
    ModelLoadError,
    ModelNotFoundError,
    ModelNotReadyError,
    QueueFullError,
    SignatureNotFoundError,
    StaleRequestError,
    VersionNotFoundError,
)
from navi_core.messages import InferenceResponse
from navi_core.signature import DEFAULT_SIGNATURE, Signature, TensorSpec, check_inputs, check_outputs
from navi_core.tensors import DType


def spec(name, dtype, shape=("batch",), **kwargs):
    return TensorSpec(name=name, dtype=DType(dtype), shape=shape, **kwargs)


def signature(inputs, outputs, **kwargs):
    return Signature(
        inputs={each.name: each for each in inputs},
        outputs={each.name: each for each in outputs},
        **kwargs,
    )


def _strings(*items):
    out = np.empty(len(items), dtype=object)
    out[:] = items
    return out


X = spec("x", "float32", ("batch", 2))
DEFAULT_B = np.array([7], dtype=np.float32)

SIGNATURES = {
    DEFAULT_SIGNATURE: signature([X], [spec("y", "float32", ("batch", 2)), spec("z", "int64")]),
    "two": signature([spec("a", "float32"), spec("b", "int32")], [spec("s", "float32")]),
    "defaults": signature(
        [spec("a", "float32"), spec("b", "float32", default=DEFAULT_B)], [spec("s", "float32")]
    ),
    "text": signature([spec("t", "string")], [spec("u", "string"), spec("u_bytes", "string")]),
    "half": signature([spec("h", "float16")], [spec("o", "float16")]),
    "nothing": signature([], [spec("y", "float32")]),
    "scalar": signature([spec("x", "float32")], [spec("y", "float32", ())]),
    "uneven": signature([spec("x", "float32")], [spec("y", "float32"), spec("z", "float32")]),
    "to_half": signature([spec("x", "float32")], [spec("y", "float16")]),
    "any": signature(
        [spec("x", "int64", None)], [spec("y", "int64", None)], method_name="tensorflow/serving/other"
    ),
}


LABELS_OF = _strings(b"cat", "é".encode(), b"\xff")


def _labels(rows):
    return np.tile(LABELS_OF, (rows, 1))


def _scores(rows):
    return (np.arange(rows * 3, dtype=np.float32).reshape(rows, 3) + np.float32(0.2)).astype(np.float32)


EXAMPLES = spec("examples", "string")
CLASSES, SCORES = spec("classes", "string", ("batch", None)), spec("scores", "float32", ("batch", None))
VALUES = spec("outputs", "float32", ("batch", 1))
TAKES_EXAMPLES = {
    "classify": ([CLASSES, SCORES], lambda n: {"classes": _labels(n), "scores": _scores(n)}),
    "classes": ([CLASSES], lambda n: {"classes": _labels(n)}),
    "scores": ([SCORES], lambda n: {"scores": _scores(n)}),
    "flat_classes": ([CLASSES], lambda n: {"classes": _labels(n)[:, 0]}),
    "numbered_classes": ([CLASSES], lambda n: {"classes": _scores(n)}),
    "few_classes": ([CLASSES], lambda n: {"classes": _labels(n)[1:]}),
    "flat_scores": ([SCORES], lambda n: {"scores": _scores(n)[:, 0]}),
    "double_scores": ([SCORES], lambda n: {"scores": _scores(n).astype(np.float64)}),
    "few_scores": ([SCORES], lambda n: {"scores": _scores(n)[1:]}),
    "uneven_classes": (
        [CLASSES, SCORES],
        lambda n: {"classes": _labels(n)[:, 1:], "scores": _scores(n)},
    ),
    "three_outputs": ([CLASSES, SCORES, VALUES], None),
    "other_outputs": ([spec("y", "float32"), spec("z", "float32")], None),
    "regress": ([VALUES], lambda n: {"outputs": _scores(n)[:, :1]}),
    "regress_flat": ([VALUES], lambda n: {"outputs": _scores(n)[:, 0]}),
    "regress_wide": ([VALUES], lambda n: {"outputs": _scores(n)}),
    "regress_few": ([VALUES], lambda n: {"outputs": _scores(n)[1:, 0]}),
    "regress_double": ([VALUES], lambda n: {"outputs": _scores(n)[:, 0].astype(np.float64)}),
    "regress_other": ([spec("y", "float32")], None),
}
"""Signature for classify or regress -> its outputs, and what it computes for so many examples."""

SIGNATURES.update({name: signature([EXAMPLES], outputs) for name, (outputs, _) in TAKES_EXAMPLES.items()})
SIGNATURES["classify_made"] = signature([EXAMPLES], [SCORES], method_name="tensorflow/serving/classify")
SIGNATURES["other_examples"] = signature([spec("more", "string")], [SCORES])


def compute(name, inputs):
    if name in TAKES_EXAMPLES:
        return TAKES_EXAMPLES[name][1](len(inputs["examples"]))
    if name == "classify_made":
        return {"scores": _scores(len(inputs["examples"]))}
    if name == DEFAULT_SIGNATURE:
        x = inputs["x"]
        return {"y": x * 2, "z": np.arange(len(x))}
    if name in ("two", "defaults"):
        return {"s": inputs["a"] + inputs.get("b", DEFAULT_B).astype(np.float32)}
    if name == "text":
        return {"u": inputs["t"], "u_bytes": inputs["t"]}
    if name == "half":
        return {"o": inputs["h"]}
    if name == "scalar":
        return {"y": inputs["x"].sum()}
    if name == "uneven":
        return {"y": inputs["x"], "z": np.concatenate([inputs["x"]] * 2)}
    if name == "to_half":
        return {"y": inputs["x"].astype(np.float16)}
    return {"y": inputs["x"]}


FAILURES = {
    "full": lambda: QueueFullError(limit="rows", maximum=64, model="full"),
    "stale": lambda: StaleRequestError("waited 50 ms"),
    "late": lambda: DeadlineExceededError("the deadline passed in the queue", reason="queue"),
    "failing": lambda: InferenceError("division by zero in node Div_3", model="failing"),
    "payload": lambda: DecodeError("field type 77", offset=12, row=0, model="payload", tensor="x"),
}
"""Model -> what each of its requests ends in."""

ANYTHING = {DEFAULT_SIGNATURE: signature([spec("x", "float32", None)], [spec("y", "float32", None)])}

MODELS = {"m": SIGNATURES, "no_default": {"other": SIGNATURES["two"]}, "loading": {}}
MODELS["numbered_from_0"] = SIGNATURES
MODELS.update(dict.fromkeys(FAILURES, ANYTHING))

STATUSES = {
    "m": (
        VersionStatus(
            version=1,
            state=ServableState.END,
            error_code=ErrorCode.FAILED_PRECONDITION,
            error_message="no model.onnx",
            labels=("gone",),
        ),
        VersionStatus(version=2, state=ServableState.AVAILABLE, labels=("stable",)),
        VersionStatus(version=3, state=ServableState.AVAILABLE),
    ),
    "loading": (VersionStatus(version=1, state=ServableState.LOADING),),
    "numbered_from_0": (
        VersionStatus(version=0, state=ServableState.END),
        VersionStatus(version=3, state=ServableState.AVAILABLE),
    ),
}

LABELS = {"stable": 2, "gone": 1}


class FakeHandle:
    def __init__(self, plane, model, version):
        self.model = model
        self.version = version
        self.platform = "fake"
        self.signatures = MODELS[model]
        self.service_options = plane.service_options
        self._plane = plane

    def model_signature(self, name):
        return self.signatures[name]

    async def infer(self, request):
        self._plane.requests.append(request)
        failure = FAILURES.get(self.model)
        if failure is not None:
            raise failure()
        name = request.signature or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise SignatureNotFoundError(name, model=self.model, known=tuple(self.signatures))
        served = self.signatures[name]
        wanted = check_outputs(served, request.outputs, model=self.model, signature_name=name)
        check_inputs(served, request.inputs, model=self.model, signature_name=name)
        outputs = compute(name, request.inputs)
        return InferenceResponse(
            outputs={each: np.asarray(outputs[each]) for each in wanted},
            model=self.model,
            version=self.version,
            signature=name,
            release=self._plane.released,
        )

    def __enter__(self):
        self._plane.open_handles += 1
        return self

    def __exit__(self, *_):
        self._plane.open_handles -= 1


class FakePlane:
    """Remembers its requests and what it is told was refused, and counts open handles and released answers."""

    def __init__(self):
        self.requests = []
        self.open_handles = 0
        self.num_released = 0
        self.refusals = []
        self.reads = []
        self.service_options = {}

    @property
    def num_counted(self):
        return len(self.requests) + len(self.refusals)

    def released(self):
        self.num_released += 1

    def acquire(self, ref):
        if ref.name not in MODELS:
            raise ModelNotFoundError(ref.name)
        if ref.name == "loading":
            raise ModelNotReadyError("model 'loading' is not loaded yet", model="loading")
        version = ref.version
        if ref.label is not None:
            if ref.label not in LABELS:
                raise LabelNotFoundError(ref.name, ref.label)
            version = LABELS[ref.label]
        if version is None:
            version = 3
        if version not in (2, 3):
            raise VersionNotFoundError(ref.name, version)
        return FakeHandle(self, ref.name, version)

    async def infer(self, ref, request):
        with self.acquire(ref) as handle:
            return await handle.infer(request)

    def refused(self, ref, error, **call):
        self.refusals.append((ref, error, call))

    def read_finished(self, ref, code, *, service, total_seconds):
        assert service == "tf_serving"
        assert total_seconds >= 0
        self.reads.append((ref, code.value))

    def models(self):
        return tuple(STATUSES)

    def status(self, model):
        if model not in STATUSES:
            raise ModelNotFoundError(model)
        return STATUSES[model]

    def is_live(self):
        return True

    def is_ready(self, model=None):
        return model != "loading"

    def on_change(self, callback):
        return lambda: None

    async def render_metrics(self, accept=""):
        return "text/plain", b""


class FakeAdmin:
    """An admin that serves one model, notes what it is to serve, and cannot load one."""

    def __init__(self, *served, error=None):
        self.served = {config.model_name: config for config in served or (SERVED,)}
        self.error = error
        self.applied = None

    def config_of(self, model):
        if model not in self.served:
            raise ModelNotFoundError(model)
        return self.served[model]

    async def apply_config(self, models):
        if self.error is not None:
            raise self.error
        if any(config.model_name == "broken" for config in models):
            raise ModelLoadError("no model.onnx", model="broken", version=1)
        self.applied = list(models)


SERVED = ModelConfig(path="/models/m", labels={"stable": 2}, batching=BatchingSettings(max_batch_rows=7))


def context_of(plane, clock=None, *, max_tensor_bytes=1_000_000, table=None, default_deadline_ms=30_000):
    clock = clock or ManualClock()
    return ServiceContext(
        plane=plane,
        admin=FakeAdmin(),
        now=clock.now,
        new_signal=None,
        options=ServiceOptions(
            max_tensor_bytes=max_tensor_bytes,
            default_deadline_ms=default_deadline_ms,
            tables={"tf_serving": table or {}},
        ),
    )
