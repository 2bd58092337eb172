"""A data plane in memory: models of every kind, and models that fail in every way.

It checks requests with the host's own checks, so its errors are the real ones; it computes at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from navi_core.clock import ManualClock
from navi_core.config.records import ModelConfig
from navi_core.contracts.service_context import ServiceContext, ServiceOptions
from navi_core.contracts.versions import BatchTally, ServableState, Tally, VersionStatistics, VersionStatus
from navi_core.errors import (
    DeadlineExceededError,
    ErrorCode,
    InferenceError,
    MemoryBudgetError,
    ModelConflictError,
    ModelLoadError,
    ModelNotFoundError,
    ModelNotReadyError,
    QueueFullError,
    RequestTooLargeError,
    StaleRequestError,
    VersionNotFoundError,
)
from navi_core.messages import InferenceResponse
from navi_core.signature import DEFAULT_SIGNATURE, Signature, TensorSpec, check_inputs, check_outputs
from navi_core.tensors import DType

AVAILABLE, LOADING, END = ServableState.AVAILABLE, ServableState.LOADING, ServableState.END


def spec(name, dtype, shape=("batch",), **kwargs):
    return TensorSpec(name=name, dtype=DType(dtype), shape=shape, **kwargs)


def signature(inputs, outputs, **kwargs):
    return Signature(
        inputs={each.name: each for each in inputs},
        outputs={each.name: each for each in outputs},
        **kwargs,
    )


def echo(dtype, shape=None):
    """Return a model whose output is its input, of one type and any shape."""
    return Model(signature([spec("x", dtype, shape)], [spec("y", dtype, shape)]), lambda x: {"y": x["x"]})


@dataclass
class Model:
    """A model: its signature (or signatures), what it computes, and what each of its requests ends in."""

    signature: Signature | dict
    compute: object = None
    failure: object = None
    versions: tuple[VersionStatus, ...] = (VersionStatus(version=3, state=AVAILABLE),)
    statistics: tuple[VersionStatistics, ...] = ()

    @property
    def signatures(self):
        if isinstance(self.signature, dict):
            return self.signature
        return {DEFAULT_SIGNATURE: self.signature}


ANYTHING = signature([spec("x", "float32", None)], [spec("y", "float32", None)])


def failing(failure):
    return Model(ANYTHING, failure=failure)


def _doubled(inputs):
    x = inputs["x"]
    return {"y": x * 2, "z": np.arange(len(x))}


def _scores(inputs):
    return {
        "score": inputs["x"],
        "flag": inputs["x"] > 0,
        "text": np.array([b"a"] * len(inputs["x"]), object),
    }


def models():
    """Return the models of the tests, by name."""
    return {
        "m": Model(
            signature(
                [spec("x", "float32", ("batch", 2))],
                [spec("y", "float32", ("batch", 2)), spec("z", "int64")],
                batchable=True,
            ),
            _doubled,
            versions=(
                VersionStatus(
                    version=1,
                    state=END,
                    error_code=ErrorCode.FAILED_PRECONDITION,
                    error_message="no model.onnx",
                ),
                VersionStatus(version=2, state=AVAILABLE, labels=("stable",)),
                VersionStatus(version=3, state=AVAILABLE),
                VersionStatus(version=4, state=LOADING),
            ),
            statistics=(
                VersionStatistics(version=2),
                VersionStatistics(
                    version=3,
                    num_rows=6,
                    num_runs=2,
                    last_request_ms=1_700_000_000_123,
                    success=Tally(4, 4000),
                    fail=Tally(1, 70),
                    queue=Tally(4, 400),
                    prepare=Tally(4, 40),
                    run=Tally(4, 2000),
                    encode=Tally(4, 10),
                    batches=(BatchTally(2, Tally(1, 300)), BatchTally(4, Tally(1, 900))),
                ),
            ),
        ),
        "two": Model(
            signature([spec("a", "float32"), spec("b", "int32")], [spec("s", "float32")], batchable=True),
            lambda inputs: {"s": inputs["a"] + inputs["b"]},
        ),
        "optional": Model(
            signature([spec("a", "float32"), spec("b", "float32", optional=True)], [spec("s", "float32")]),
            lambda inputs: {"s": inputs["a"]},
        ),
        "text": echo("string"),
        "half": echo("float16"),
        "brain": echo("bfloat16"),
        "scalar": echo("float32", ()),
        "row": echo("float32", (1, None)),
        "scores": Model(
            signature(
                [spec("x", "float32", ("batch", None))],
                [spec("score", "float32", None), spec("flag", "bool", None), spec("text", "string", None)],
                batchable=True,
            ),
            _scores,
        ),
        "flat_scores": Model(
            signature([spec("x", "float32", None)], [spec("score", "float32", None)]),
            lambda inputs: {"score": inputs["x"]},
        ),
        "to_complex": Model(
            signature([spec("x", "float32")], [spec("c", "complex64")]),
            lambda inputs: {"c": inputs["x"].astype(np.complex64)},
        ),
        "lone": Model(
            {"other": signature([spec("x", "float32")], [spec("y", "float32")])}, lambda x: {"y": x["x"]}
        ),
        "ambiguous": Model({"a": ANYTHING, "b": ANYTHING}),
        "loading": Model(ANYTHING, versions=(VersionStatus(version=1, state=LOADING),)),
        "full": failing(lambda: QueueFullError(limit="rows", maximum=64, model="full")),
        "stale": failing(lambda: StaleRequestError("waited 50 ms")),
        "late": failing(lambda: DeadlineExceededError("the deadline passed in the queue", reason="queue")),
        "crashing": failing(lambda: InferenceError("division by zero in node Div_3", model="crashing")),
        "no_memory": failing(lambda: MemoryBudgetError("no memory for the body")),
        "too_large": failing(lambda: RequestTooLargeError("9 rows: expected at most 8")),
    }


class FakeHandle:
    def __init__(self, plane, name, version):
        self.model = name
        self.version = version
        self.platform = "fake_kind"
        self.max_batch_rows = 32
        self.priority_levels, self.default_priority_level = plane.priorities
        self._plane = plane

    @property
    def signatures(self):
        return self._plane.served[self.model].signatures

    def model_signature(self, name):
        return self.signatures[name]

    async def infer(self, request):
        self._plane.requests.append(request)
        model = self._plane.served[self.model]
        if model.failure is not None:
            raise model.failure()
        served = self.signatures[request.signature]
        wanted = check_outputs(served, request.outputs, model=self.model, signature_name=request.signature)
        check_inputs(served, request.inputs, model=self.model, signature_name=request.signature)
        outputs = model.compute(request.inputs)
        self._plane.num_open_answers += 1
        return InferenceResponse(
            outputs={each: np.asarray(outputs[each]) for each in wanted},
            model=self.model,
            version=self.version,
            signature=request.signature,
            release=self._plane.released,
        )

    def __enter__(self):
        self._plane.open_handles += 1
        return self

    def __exit__(self, *_):
        self._plane.open_handles -= 1


@dataclass
class FakePlane:
    """Remembers its requests and what it is told was refused; counts open handles and answers."""

    served: dict = field(default_factory=models)
    requests: list = field(default_factory=list)
    refusals: list = field(default_factory=list)
    open_handles: int = 0
    num_open_answers: int = 0
    draining: bool = False
    priorities: tuple = (0, 0)

    @property
    def num_counted(self):
        return len(self.requests) + len(self.refusals)

    def released(self):
        self.num_open_answers -= 1

    def acquire(self, ref):
        if ref.name not in self.served:
            raise ModelNotFoundError(ref.name, version=ref.version)
        available = [each.version for each in self.served[ref.name].versions if each.state is AVAILABLE]
        if ref.version is not None:
            if ref.version not in available:
                raise VersionNotFoundError(ref.name, ref.version)
            return FakeHandle(self, ref.name, ref.version)
        if not available:
            raise ModelNotReadyError(f"model '{ref.name}' is not loaded yet", model=ref.name)
        return FakeHandle(self, ref.name, max(available))

    async def infer(self, ref, request):
        with self.acquire(ref) as handle:
            return await handle.infer(request)

    def refused(self, ref, error, **call):
        self.refusals.append((ref, error, call))

    def models(self):
        return tuple(self.served)

    def status(self, model):
        if model not in self.served:
            raise ModelNotFoundError(model)
        return self.served[model].versions

    async def statistics(self, model):
        if model not in self.served:
            raise ModelNotFoundError(model)
        return self.served[model].statistics

    def is_live(self):
        return True

    def is_ready(self, model=None):
        if self.draining:
            return False
        if model is not None:
            return any(each.state is AVAILABLE for each in self.status(model))
        return all(self.is_ready(name) for name in self.served)


class FakeAdmin:
    """Loads and unloads models of the plane, whatever their files are; remembers what it did."""

    def __init__(self, plane):
        self.plane = plane
        self.configs = {name: ModelConfig(path=f"/models/{name}", name=name) for name in plane.served}
        self.known = dict(plane.served)
        self.calls = []

    async def load(self, config):
        self.calls.append(("load", config.model_name, config.path))
        if config.model_name in self.plane.served:
            raise ModelConflictError(f"model '{config.model_name}' is served already")
        if config.model_name == "loading":
            raise ModelLoadError("the file is cut short", model="loading")
        self.plane.served[config.model_name] = self.known[config.model_name]
        self.configs[config.model_name] = config

    async def unload(self, model):
        self.calls.append(("unload", model))
        if model not in self.plane.served:
            raise ModelNotFoundError(model)
        del self.plane.served[model]

    async def replace(self, artifact):
        self.calls.append(("replace", artifact.name, artifact.version, dict(artifact.files)))
        if b"broken" in artifact.files.values():
            raise ModelLoadError("model.onnx: expected an ONNX model", model=artifact.name)
        self.configs.setdefault(
            artifact.name, ModelConfig(path=f"memory:{artifact.name}", name=artifact.name)
        )
        versions = (VersionStatus(version=artifact.version, state=AVAILABLE),)
        self.plane.served[artifact.name] = Model(ANYTHING, lambda x: {"y": x["x"]}, versions=versions)

    def config_of(self, model):
        if model not in self.plane.served:
            raise ModelNotFoundError(model)
        return self.configs[model]

    async def rescan(self, model=None):
        self.calls.append(("rescan", model))


def context_of(
    plane, *, admin=None, clock=None, table=None, max_tensor_bytes=1_000_000, default_deadline_ms=0
):
    return ServiceContext(
        plane=plane,
        admin=admin or FakeAdmin(plane),
        now=(clock or ManualClock()).now,
        new_signal=None,
        options=ServiceOptions(
            max_tensor_bytes=max_tensor_bytes,
            default_deadline_ms=default_deadline_ms,
            tables={"oip": table or {}},
        ),
    )
