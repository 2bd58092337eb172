"""What the service suite gives a service instead of a host: one model that answers with zeros, or as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.versions import ServableState, VersionStatus
from navi_core.errors import (
    ErrorCode,
    LabelNotFoundError,
    ModelNotFoundError,
    NaviError,
    SignatureNotFoundError,
    VersionNotFoundError,
)
from navi_core.messages import InferenceRequest, InferenceResponse, ModelRef
from navi_core.signature import DEFAULT_SIGNATURE, Signature, check_inputs, check_outputs, zero_rows

__all__ = ["LoopSignal", "ProbeAdmin", "ProbePlane"]

_VERSION: Final = 1


class LoopSignal:
    """A :class:`~navi_core.contracts.service_context.Signal` on the running loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake the waiter."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for a set, then clear it."""
        await self._event.wait()
        self._event.clear()


class ProbePlane:
    """A :class:`~navi_core.contracts.planes.DataPlane` with one model, which checks requests as the host does.

    Parameters
    ----------
    model
        The model's name; its only version is 1.
    signature
        Its only signature.
    signature_name
        What it is called.

    Attributes
    ----------
    requests
        Every request that came to ``infer``, oldest first.
    num_refused
        How many requests were refused before one of the handles' ``infer``.
    open_handles
        Handles that were not given back.
    open_answers
        Answers that were not released.
    error
        What every ``infer`` ends with; None: an answer.
    held
        ``infer`` waits, until it is cancelled.
    """

    def __init__(self, model: str, signature: Signature, signature_name: str = DEFAULT_SIGNATURE) -> None:
        self.model: Final = model
        self.signatures: Final = {signature_name: signature}
        self.requests: list[InferenceRequest] = []
        self.num_refused = 0
        self.open_handles = 0
        self.open_answers = 0
        self.error: NaviError | None = None
        self.held = False
        self._callbacks: dict[object, Callable[[], None]] = {}

    def acquire(self, ref: ModelRef) -> ProbeHandle:
        """Resolve a reference."""
        if ref.name != self.model:
            raise ModelNotFoundError(ref.name, version=ref.version)
        if ref.label is not None:
            raise LabelNotFoundError(ref.name, ref.label)
        if ref.version not in (None, _VERSION):
            raise VersionNotFoundError(ref.name, ref.version)
        return ProbeHandle(self)

    async def infer(self, ref: ModelRef, request: InferenceRequest) -> InferenceResponse:
        """Acquire, infer, release; what cannot be acquired is counted as refused."""
        try:
            handle = self.acquire(ref)
        except NaviError:
            self.num_refused += 1
            raise
        with handle:
            return await handle.infer(request)

    async def run(self, request: InferenceRequest) -> InferenceResponse:
        """Answer one request of a handle's."""
        self.requests.append(request)
        if self.held:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        name = request.signature or DEFAULT_SIGNATURE
        signature = self.signatures.get(name)
        if signature is None:
            raise SignatureNotFoundError(name, model=self.model, known=tuple(self.signatures))
        outputs = check_outputs(signature, request.outputs, model=self.model, signature_name=name)
        num_rows = check_inputs(signature, request.inputs, model=self.model, signature_name=name)
        self.open_answers += 1
        return InferenceResponse(
            outputs={each: zero_rows(signature.outputs[each], num_rows or 0) for each in outputs},
            model=self.model,
            version=_VERSION,
            signature=name,
            release=self._release_once(),
        )

    def _release_once(self) -> Callable[[], None]:
        is_open = True

        def release() -> None:
            nonlocal is_open
            self.open_answers -= is_open
            is_open = False

        return release

    def refused(
        self,
        ref: ModelRef | None,
        error: NaviError,
        *,
        service: str,
        transport: str,
        method: str,
        signature: str | None = None,
    ) -> None:
        """Count a request that the service refused."""
        del ref, error, service, transport, method, signature
        self.num_refused += 1

    def read_finished(
        self, ref: ModelRef | None, code: ErrorCode, *, service: str, total_seconds: float
    ) -> None:
        """Count nothing: this is about inference."""

    def models(self) -> Sequence[str]:
        """Return the one model's name."""
        return (self.model,)

    def status(self, model: str) -> Sequence[VersionStatus]:
        """Return the one version."""
        if model != self.model:
            raise ModelNotFoundError(model)
        return (VersionStatus(version=_VERSION, state=ServableState.AVAILABLE),)

    async def statistics(self, model: str) -> Sequence[Any]:
        """Return nothing: no version has answered yet."""
        if model != self.model:
            raise ModelNotFoundError(model)
        return ()

    def is_live(self) -> bool:
        """Say yes."""
        return True

    def is_ready(self, model: str | None = None) -> bool:
        """Say yes."""
        if model not in (None, self.model):
            raise ModelNotFoundError(model or "")
        return True

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Remember a callback, which nothing calls."""
        key = object()
        self._callbacks[key] = callback
        return lambda: self._callbacks.pop(key, None) and None

    @property
    def num_watchers(self) -> int:
        """Callbacks that were not taken back."""
        return len(self._callbacks)

    async def render_metrics(self, accept: str = "") -> tuple[str, bytes]:
        """Return an empty page."""
        del accept
        return "text/plain; version=0.0.4", b""


class ProbeHandle:
    """A :class:`~navi_core.contracts.planes.ModelHandle` of the probe's model."""

    def __init__(self, plane: ProbePlane) -> None:
        self._plane = plane

    @property
    def model(self) -> str:
        """The model's name."""
        return self._plane.model

    @property
    def version(self) -> int:
        """The version."""
        return _VERSION

    @property
    def platform(self) -> str:
        """The runtime and the kind of artifact."""
        return "probe_probe"

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """The model's signatures."""
        return self._plane.signatures

    @property
    def max_batch_rows(self) -> int:
        """How far requests are joined."""
        return 64

    @property
    def priority_levels(self) -> int:
        """Levels that requests may ask for: none."""
        return 0

    @property
    def default_priority_level(self) -> int:
        """The level of requests that ask for none: there are no levels."""
        return 0

    @property
    def service_options(self) -> Mapping[str, object]:
        """What the model says to services: nothing."""
        return {}

    def model_signature(self, name: str) -> Signature:
        """Return a signature."""
        try:
            return self._plane.signatures[name or DEFAULT_SIGNATURE]
        except KeyError:
            known = tuple(self._plane.signatures)
            raise SignatureNotFoundError(name, model=self.model, known=known) from None

    async def infer(self, request: InferenceRequest) -> InferenceResponse:
        """Run one request."""
        return await self._plane.run(request)

    def __enter__(self) -> Self:
        self._plane.open_handles += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._plane.open_handles -= 1


class ProbeAdmin:
    """A :class:`~navi_core.contracts.planes.Admin` that does nothing, or fails as it is told.

    Attributes
    ----------
    error
        What every operation ends with; None: success.
    """

    def __init__(self, plane: ProbePlane) -> None:
        self._plane = plane
        self.error: NaviError | None = None

    async def load(self, config: ModelConfig) -> None:
        """Do nothing."""
        del config
        self._end()

    async def unload(self, model: str) -> None:
        """Do nothing with the one model."""
        self._end(model)

    async def replace(self, artifact: Artifact) -> None:
        """Do nothing."""
        del artifact
        self._end()

    def config_of(self, model: str) -> ModelConfig:
        """Return the one model's configuration."""
        self._end(model)
        return ModelConfig(path=f"/models/{model}", name=model)

    async def apply_config(self, models: Sequence[ModelConfig]) -> None:
        """Do nothing."""
        del models
        self._end()

    async def rescan(self, model: str | None = None) -> None:
        """Do nothing."""
        self._end(model)

    def _end(self, model: str | None = None) -> None:
        if self.error is not None:
            raise self.error
        if model not in (None, self._plane.model):
            raise ModelNotFoundError(model or "")
