"""The data plane: one way from a request to an answer - resolve, check or plan, queue, answer.

Services see it through :class:`~navi_core.contracts.planes.DataPlane`. It knows no protocol.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Protocol, Self

import msgspec
import structlog

from navi_core.batching.batcher import Batcher
from navi_core.batching.buffers import Lease
from navi_core.batching.prepared import Answer, Prepared
from navi_core.contracts.events import RequestFinished
from navi_core.contracts.versions import ServableState, VersionStatistics, VersionStatus
from navi_core.errors import (
    ErrorCode,
    InferenceError,
    LifecycleError,
    NaviError,
    SignatureNotFoundError,
)
from navi_core.messages import InferenceRequest, InferenceResponse, ModelRef
from navi_core.metrics.families import UNKNOWN
from navi_core.metrics.metrics import Metrics, SignatureMetrics
from navi_core.metrics.tallies import Tallies, VersionTally
from navi_core.models.keeper import VersionKeeper
from navi_core.models.records import VersionRecord
from navi_core.models.served import LoadedVersion
from navi_core.plugins.observers import Observers
from navi_core.request_ids import id_fields
from navi_core.signature import DEFAULT_SIGNATURE, Signature
from navi_core.types import Array

__all__ = ["Handle", "HostDataPlane", "own_outputs"]

log = structlog.get_logger(__name__)


class Handle(msgspec.Struct, eq=False):
    """The right to use one version: a :class:`~navi_core.contracts.planes.ModelHandle`."""

    plane: HostDataPlane
    record: VersionRecord
    loaded: LoadedVersion
    is_released: bool = False

    @property
    def model(self) -> str:
        """The model's name."""
        return self.record.artifact.name

    @property
    def version(self) -> int:
        """The resolved version."""
        return self.record.version

    @property
    def platform(self) -> str:
        """The runtime's name and the artifact's kind."""
        return f"{self.loaded.runtime}_{self.loaded.kind}"

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """What clients send and get."""
        return self.loaded.client_signatures

    @property
    def max_batch_rows(self) -> int:
        """The most rows that requests are joined to."""
        return self.loaded.policy.max_batch_rows

    @property
    def priority_levels(self) -> int:
        """Levels that requests may ask to be queued at."""
        return self.loaded.policy.priority_levels

    @property
    def default_priority_level(self) -> int:
        """The level of requests that ask for none."""
        policy = self.loaded.policy
        return policy.level_of(0) + 1 if policy.priority_levels else 0

    @property
    def service_options(self) -> Mapping[str, Any]:
        """What the model says to services."""
        return self.loaded.service_options

    def model_signature(self, name: str) -> Signature:
        """Return the model's own signature; raises SignatureNotFoundError."""
        served = self.loaded.signatures.get(name or DEFAULT_SIGNATURE)
        if served is None:
            raise SignatureNotFoundError(name, model=self.model, known=tuple(self.loaded.signatures))
        return served.model

    def infer(self, request: InferenceRequest) -> Coroutine[Any, Any, InferenceResponse]:
        """Run one request on this version; raises typed errors."""
        batcher = self.record.batcher
        if batcher is None:
            msg = f"version {self.version} of model '{self.model}' was used after its handle was given back"
            raise LifecycleError(msg)
        return self.plane.run(batcher, request)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.is_released:
            self.is_released = True
            self.plane.manager.release(self.record)


class AllWorkers(Protocol):
    """What a worker knows of all of them; None: nobody answers in time, and it speaks for itself."""

    is_complete: bool
    """Every one has come up."""

    async def whole_page(self, accept: str) -> tuple[str, bytes] | None:
        """Return the metrics page of all."""
        ...

    async def whole_statistics(self, model: str) -> Sequence[VersionStatistics] | None:
        """Return a model's statistics of all."""
        ...


class HostDataPlane:
    """What services see of one host: a :class:`~navi_core.contracts.planes.DataPlane`.

    Parameters
    ----------
    manager
        The loaded versions.
    metrics, observers
        Who is told.
    now
        The monotonic clock, in seconds.
    workers
        The others, in a worker of several; None: this process is the host.
    """

    def __init__(
        self,
        manager: VersionKeeper,
        *,
        metrics: Metrics,
        observers: Observers,
        now: Callable[[], float],
        workers: AllWorkers | None = None,
    ) -> None:
        self.manager: Final = manager
        self._workers = workers
        self._metrics = metrics
        self._observers = observers
        self._now = now
        self._is_draining = False
        self._tallies = Tallies()
        self._callbacks: dict[object, Callable[[], None]] = {}
        manager.on_change(self._changed)

    # --- inference -------------------------------------------------------------------------------

    def acquire(self, ref: ModelRef) -> Handle:
        """Resolve a reference to a version that is available now; raises ModelError."""
        record = self.manager.acquire(ref)
        if record.loaded is None:
            msg = (
                f"a handle of version {record.version} of model '{record.artifact.name}', which is not loaded"
            )
            raise LifecycleError(msg)
        return Handle(self, record, record.loaded)

    async def infer(self, ref: ModelRef, request: InferenceRequest) -> InferenceResponse:
        """Acquire, infer, release; raises typed errors."""
        try:
            handle = self.acquire(ref)
        except NaviError as error:
            self.refused(
                ref,
                error,
                service=request.service,
                transport=request.transport,
                method=request.method,
            )
            raise
        with handle:
            return await handle.infer(request)

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
        """Count a request that was refused on its way here.

        Its model is a label only if it has loaded, its signature only if the model has it.
        """
        version: int | None = None
        known = UNKNOWN
        name = "" if signature is None else signature or DEFAULT_SIGNATURE
        if ref is not None:
            with suppress(NaviError), self.acquire(ref) as handle:
                version = handle.version
                known = name if name in handle.signatures else UNKNOWN
        if ref is None or version is None:
            self._metrics.unresolved_request(service, transport, method, error.code, error.reason)
        else:
            self._metrics.for_signature(ref.name, version, known).request_finished(
                service, transport, method, error.code, error.reason, None, 0
            )
        if self._observers.any_request_finished:
            self._observers.request_finished(
                RequestFinished(
                    model=ref.name if ref is not None else "",
                    version=version or 0,
                    signature=name,
                    service=service,
                    transport=transport,
                    method=method,
                    code=error.code,
                    reason=error.reason,
                    num_rows=0,
                    batch_rows=0,
                    queue_seconds=0.0,
                    run_seconds=0.0,
                    total_seconds=0.0,
                )
            )

    def read_finished(
        self, ref: ModelRef | None, code: ErrorCode, *, service: str, total_seconds: float
    ) -> None:
        """Count a call that looked something up; its model is a label only if it is configured."""
        name = UNKNOWN
        if ref is not None:
            with suppress(NaviError):
                self.manager.is_available(ref.name)  # raises for a model that is not there
                name = ref.name
        self._metrics.read_finished(name, service, code, total_seconds)

    async def run(self, batcher: Batcher, request: InferenceRequest) -> InferenceResponse:
        """Run one request on a version that a handle keeps loaded; for :class:`Handle`."""
        now = self._now
        started = now()
        prepared: Prepared | None = None
        try:
            prepared = batcher.prepare(request)
            prepared_at = now()
            answer = batcher.run_now(prepared)
            if answer is None:
                answer = await batcher.submit(prepared)
        except NaviError as error:
            self._failed(batcher, request, prepared, error.code, error.reason, now() - started)
            raise
        except Exception as error:  # a converter's bug, or ours: the client gets an answer, the log the rest
            self._failed(batcher, request, prepared, ErrorCode.INTERNAL, "", now() - started)
            at = batcher.loaded.artifact
            log.exception("request_failed_unexpectedly", model=at.name, version=at.version, **id_fields())
            text = f"the request failed inside the host: {type(error).__name__}"
            raise InferenceError(text, model=at.name) from error
        except BaseException:
            self._failed(batcher, request, prepared, ErrorCode.CANCELLED, "", now() - started)
            raise
        return self._succeeded(batcher, request, prepared, answer, started, prepared_at)

    def _succeeded(
        self,
        batcher: Batcher,
        request: InferenceRequest,
        prepared: Prepared,
        answer: Answer,
        started: float,
        prepared_at: float,
    ) -> InferenceResponse:
        """Count an answer, and hand it over."""
        ended = self._now()
        total_seconds = ended - started
        artifact = batcher.loaded.artifact
        name = prepared.served.name
        tally = self._tallies.of(artifact.name, artifact.version)
        tally.succeeded(
            num_rows=prepared.num_rows,
            batch_rows=answer.batch_rows,
            total_seconds=total_seconds,
            prepare_seconds=prepared_at - started,
            queue_seconds=answer.queue_seconds,
            run_seconds=answer.run_seconds,
            now_ms=time.time_ns() // 1_000_000,
        )
        metrics = batcher.lane(name).metrics
        metrics.request_finished(
            request.service,
            request.transport,
            request.method,
            ErrorCode.OK,
            "",
            total_seconds,
            prepared.num_rows,
        )
        if self._observers.any_request_finished:
            self._observe(batcher, request, name, prepared, answer, ErrorCode.OK, "", total_seconds)
        outputs = answer.outputs
        if request.outputs and tuple(outputs) != request.outputs:
            outputs = {name: outputs[name] for name in request.outputs}
        return InferenceResponse(
            outputs=outputs,
            model=artifact.name,
            version=artifact.version,
            signature=name,
            release=_Release(answer.lease, metrics, tally, self._now, ended),
        )

    def _failed(
        self,
        batcher: Batcher,
        request: InferenceRequest,
        prepared: Prepared | None,
        code: ErrorCode,
        reason: str,
        total_seconds: float,
    ) -> None:
        """Count a request that got an error; its signature is a label only if the model has it."""
        loaded = batcher.loaded
        artifact = loaded.artifact
        name = request.signature or DEFAULT_SIGNATURE
        self._tallies.of(artifact.name, artifact.version).failed(total_seconds)
        self._metrics.for_signature(
            artifact.name, artifact.version, name if name in loaded.signatures else UNKNOWN
        ).request_finished(
            request.service,
            request.transport,
            request.method,
            code,
            reason,
            total_seconds,
            prepared.num_rows if prepared else 0,
        )
        if self._observers.any_request_finished:
            self._observe(batcher, request, name, prepared, None, code, reason, total_seconds)

    def _observe(
        self,
        batcher: Batcher,
        request: InferenceRequest,
        signature: str,
        prepared: Prepared | None,
        answer: Answer | None,
        code: ErrorCode,
        reason: str,
        total_seconds: float,
    ) -> None:
        artifact = batcher.loaded.artifact
        self._observers.request_finished(
            RequestFinished(
                model=artifact.name,
                version=artifact.version,
                signature=signature,
                service=request.service,
                transport=request.transport,
                method=request.method,
                code=code,
                reason=reason,
                num_rows=prepared.num_rows if prepared else 0,
                batch_rows=answer.batch_rows if answer else 0,
                queue_seconds=answer.queue_seconds if answer else 0.0,
                run_seconds=answer.run_seconds if answer else 0.0,
                total_seconds=total_seconds,
            )
        )

    # --- what there is -----------------------------------------------------------------------------

    def models(self) -> Sequence[str]:
        """Return the names of all configured models, in order."""
        return self.manager.names()

    def status(self, model: str) -> Sequence[VersionStatus]:
        """Return every known version, oldest first; raises ModelNotFoundError."""
        return self.manager.status(model)

    async def statistics(self, model: str) -> Sequence[VersionStatistics]:
        """Return what every version that can answer has answered, oldest first; raises ModelNotFoundError."""
        if self._workers is not None:
            self.manager.status(model)  # raises
            whole = await self._workers.whole_statistics(model)
            if whole is not None:
                return whole
        return self.own_statistics(model)

    def own_statistics(self, model: str) -> Sequence[VersionStatistics]:
        """Return what this process has answered; raises ModelNotFoundError."""
        found = []
        for status in self.manager.status(model):
            if status.state is ServableState.AVAILABLE:
                tally = self._tallies.get(model, status.version)
                empty = VersionStatistics(version=status.version)
                found.append(empty if tally is None else tally.snapshot(status.version))
        return found

    def is_live(self) -> bool:
        """Tell whether the process is worth keeping."""
        return True

    def is_ready(self, model: str | None = None) -> bool:
        """Tell whether the host, or one model, can answer now; False while draining.

        The host can once each model has, beside a version that answers, tried all that it began with.
        """
        if model is not None:
            return self.manager.is_available(model) and not self._is_draining
        if self._is_draining or (self._workers is not None and not self._workers.is_complete):
            return False
        return all(
            self.manager.is_available(name) and self.manager.was_tried(name) for name in self.manager.names()
        )

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have ``callback`` called after states or readiness changed; returns the undo."""
        token = object()
        self._callbacks[token] = callback

        def undo() -> None:
            self._callbacks.pop(token, None)

        return undo

    def begin_drain(self) -> None:
        """Be ready no more."""
        self._is_draining = True
        self._changed()

    def _changed(self) -> None:
        self._tallies.keep(
            {(name, status.version) for name in self.manager.names() for status in self.manager.status(name)}
        )
        for callback in list(self._callbacks.values()):
            callback()

    async def render_metrics(self, accept: str = "") -> tuple[str, bytes]:
        """Return content type and body of the metrics page, of all workers."""
        whole = None if self._workers is None else await self._workers.whole_page(accept)
        return self._metrics.render(accept) if whole is None else whole


class _Release(msgspec.Struct, eq=False):
    """Gives an answer's buffers back, once, and notes how long encoding took."""

    lease: Lease | None
    metrics: SignatureMetrics
    tally: VersionTally
    now: Callable[[], float]
    started: float
    is_released: bool = False

    @property
    def is_pooled(self) -> bool:
        """Whether the outputs may be views of buffers that will be reused."""
        return self.lease is not None and not self.is_released

    def __call__(self) -> None:
        if self.is_released:
            return
        self.is_released = True
        seconds = self.now() - self.started
        self.metrics.encoded(seconds)
        self.tally.encoded(seconds)
        if self.lease is not None:
            self.lease.release()


def own_outputs(response: InferenceResponse) -> dict[str, Array]:
    """Return outputs that are the caller's to keep and to change, and release the response."""
    release = response.release
    pooled = isinstance(release, _Release) and release.is_pooled
    outputs = {name: array.copy() if pooled else array for name, array in response.outputs.items()}
    release()
    return outputs
