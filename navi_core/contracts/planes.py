"""DataPlane and Admin: what services may ask of the host, and nothing more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

from navi_core.contracts.artifact import Artifact
from navi_core.errors import ErrorCode, NaviError
from navi_core.messages import InferenceRequest, InferenceResponse, ModelRef
from navi_core.signature import Signature
from navi_core.types import Bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import TracebackType

    from navi_core.config.records import ModelConfig

__all__ = [
    "OFF_LOOP_BYTES",
    "Admin",
    "AnswerStream",
    "BatchTally",
    "DataPlane",
    "ModelHandle",
    "OffLoop",
    "OwnMemory",
    "ServableState",
    "ServiceContext",
    "ServiceMemory",
    "ServiceOptions",
    "Signal",
    "Tally",
    "VersionStatistics",
    "VersionStatus",
    "answer_one_by_one",
    "run_at_once",
]


T = TypeVar("T")


class ServableState(StrEnum):
    """The public states of a version; they only move forward. An error stands beside END."""

    START = "START"
    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    UNLOADING = "UNLOADING"
    END = "END"


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionStatus:
    """One version's state, as status calls show it.

    Parameters
    ----------
    version
        The version's number.
    state
        Where it is in its life.
    error_code, error_message
        Why it ended, where it ended badly.
    labels
        The version labels that point here.
    """

    version: int
    state: ServableState
    error_code: ErrorCode = ErrorCode.OK
    error_message: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something happened, and how many nanoseconds it took altogether."""

    count: int = 0
    ns: int = 0


@dataclass(frozen=True, slots=True)
class BatchTally:
    """The runs of batches of ``num_rows`` rows."""

    num_rows: int
    run: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionStatistics:
    """What one version answered since it was first asked.

    Parameters
    ----------
    version
        The version's number.
    num_rows
        Rows answered; a request that does not batch is one.
    num_runs
        Runs of the model that they took.
    last_request_ms
        When the last answer was made, in milliseconds since 1970; 0: there was none.
    success, fail
        Requests, from their arrival at the data plane to the answer or error.
    queue, prepare, run, encode
        Parts of the successful ones: waiting, checking and planning, the model's run (of the whole batch),
        writing the answer.
    batches
        Runs by batch size, smallest first.
    """

    version: int
    num_rows: int = 0
    num_runs: int = 0
    last_request_ms: int = 0
    success: Tally = Tally()
    fail: Tally = Tally()
    queue: Tally = Tally()
    prepare: Tally = Tally()
    run: Tally = Tally()
    encode: Tally = Tally()
    batches: tuple[BatchTally, ...] = ()


class ModelHandle(Protocol):
    """The right to use one version for a while: it stays loaded until the handle is left.

    A context manager; short-lived, one per request.
    """

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    @property
    def version(self) -> int:
        """The resolved version."""
        ...

    @property
    def platform(self) -> str:
        """The runtime's name and the artifact's kind, ``onnx_onnx``..."""
        ...

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """What clients send and get: the model's signatures, a converter's where one is bound."""
        ...

    @property
    def max_batch_rows(self) -> int:
        """The most rows that requests are joined to, where the signature allows it at all."""
        ...

    @property
    def priority_levels(self) -> int:
        """Levels that requests may ask to be queued at, 1 is served first; 0: there is but one."""
        ...

    @property
    def default_priority_level(self) -> int:
        """The level of requests that ask for none; 0 where there are no levels."""
        ...

    @property
    def service_options(self) -> Mapping[str, Any]:
        """Service name -> an instance of its ``model_options_type``; a service that the model does not name is not there."""
        ...

    def model_signature(self, name: str) -> Signature:
        """Return the model's own signature behind a converter's; the same one where there is none.

        Raises
        ------
        SignatureNotFoundError
            There is none of that name.
        """
        ...

    async def infer(self, request: InferenceRequest) -> InferenceResponse:
        """Run one request on this version.

        Raises
        ------
        NaviError
            Typed; see :mod:`navi_core.errors`.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class DataPlane(Protocol):
    """What services see of the host. On the loop; no call blocks: what asks other processes is a coroutine."""

    def acquire(self, ref: ModelRef) -> ModelHandle:
        """Resolve a reference to a version that is available now.

        Raises
        ------
        ModelNotFoundError, VersionNotFoundError, LabelNotFoundError, ModelNotReadyError
            It cannot be resolved.
        """
        ...

    async def infer(self, ref: ModelRef, request: InferenceRequest) -> InferenceResponse:
        """Acquire, infer, release."""
        ...

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
        """Count an inference request that its service refuses before it hands it to an ``infer``.

        So every inference request is counted once: by the ``infer`` that gets it, or by this.

        Parameters
        ----------
        ref
            What it asked for; None: it does not say.
        error
            What the client is told.
        service, transport, method
            Who asked, as in :class:`~navi_core.messages.InferenceRequest`.
        signature
            The signature that was asked for; empty: the default one; None: that is not known.
        """
        ...

    def models(self) -> Sequence[str]:
        """Return the names of all configured models, in order."""
        ...

    def status(self, model: str) -> Sequence[VersionStatus]:
        """Return every version that is known, oldest first.

        Raises
        ------
        ModelNotFoundError
            No such model.
        """
        ...

    async def statistics(self, model: str) -> Sequence[VersionStatistics]:
        """Return what every version that can answer has answered, in all workers together, oldest first.

        Raises
        ------
        ModelNotFoundError
            No such model.
        """
        ...

    def is_live(self) -> bool:
        """Tell whether the process is worth keeping."""
        ...

    def is_ready(self, model: str | None = None) -> bool:
        """Tell whether the host (every configured model), or one model, can answer now.

        False while draining.

        Raises
        ------
        ModelNotFoundError
            ``model`` is given and unknown.
        """
        ...

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have ``callback`` called, on the loop, after states or readiness changed; returns the undo."""
        ...

    async def render_metrics(self, accept: str = "") -> tuple[str, bytes]:
        """Return content type and body of the metrics page of all workers, in the format that ``accept`` asks for."""
        ...


class Admin(Protocol):
    """What admin operations may do; given only to handlers that passed the authorisation check."""

    async def load(self, config: ModelConfig) -> None:
        """Start to serve a model; returns once a version is available.

        Raises
        ------
        ModelConflictError
            The name is taken.
        ModelLoadError
            No version could be loaded.
        """
        ...

    async def unload(self, model: str) -> None:
        """Stop to serve a model; returns once its versions are unloaded.

        Raises
        ------
        ModelNotFoundError
            No such model.
        """
        ...

    async def replace(self, artifact: Artifact) -> None:
        """Serve ``artifact`` as its model's only version, in one step; in-flight work finishes on the old one.

        Raises
        ------
        ModelLoadError
            It cannot be loaded; the old version serves on.
        """
        ...

    def config_of(self, model: str) -> ModelConfig:
        """Return a model's configuration, with which it can be loaded again.

        Raises
        ------
        ModelNotFoundError
            No such model.
        """
        ...

    async def apply_config(self, models: Sequence[ModelConfig]) -> None:
        """Serve exactly these models: all or nothing, the last good configuration is kept.

        Raises
        ------
        ConfigError
            The set is refused as a whole; nothing changed.
        ModelLoadError
            A new model could not be loaded; nothing changed.
        """
        ...

    async def rescan(self, model: str | None = None) -> None:
        """Have the sources look again now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """The host-wide settings that concern protocols.

    Parameters
    ----------
    default_deadline_ms
        Deadline of HTTP requests that bring none (TensorFlow Serving's 30 000); 0: none.
    max_tensor_bytes
        The largest tensor that a request may describe (a broadcast value expands).
    metrics_paths
        Paths that serve the metrics page.
    tables
        The service's own table in the configuration, by service name.
    """

    default_deadline_ms: float = 30_000.0
    max_tensor_bytes: int = 2**31 - 1
    metrics_paths: tuple[str, ...] = ("/metrics",)
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class ServiceMemory(Protocol):
    """What a service keeps from one call for another, which may come to another worker."""

    def recall(self) -> Mapping[str, bytes]:
        """Return everything that is kept; keys begin with the service's name."""
        ...

    async def keep(self, key: str, value: bytes | None) -> None:
        """Keep a value, in all workers when it returns; None: forget it."""
        ...


class OwnMemory:
    """A :class:`ServiceMemory` of one process."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def recall(self) -> Mapping[str, bytes]:
        """Return everything that is kept."""
        return self._kept

    async def keep(self, key: str, value: bytes | None) -> None:
        """Keep a value; None: forget it."""
        if value is None:
            self._kept.pop(key, None)
        else:
            self._kept[key] = value


class Signal(Protocol):
    """A wake-up call: ``set`` from the loop, ``wait`` for it (and clear it). For streams that watch."""

    def set(self) -> None:
        """Wake the waiter; any number of sets before a wait count once."""
        ...

    def wait(self) -> Awaitable[None]:
        """Wait for a set, then clear it."""
        ...


class OffLoop(Protocol):
    """Runs a function elsewhere than on the loop, and waits for it."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """Return what ``work`` returns, or raise what it raises; when the caller is cancelled, it runs on."""
        ...


OFF_LOOP_BYTES: Final = 256 * 1024
"""From this size on, a document is read or written elsewhere than on the loop: that takes a millisecond and more."""


async def run_at_once(work: Callable[[], T], /) -> T:
    """Run a function here and now: an :class:`OffLoop` that is none, for hosts without threads."""
    return work()


class AnswerStream(Protocol):
    """Answers the messages of a stream, several at once, so that they can share batches."""

    def __call__(
        self,
        messages: AsyncIterator[Bytes],
        answer: Callable[[Bytes], Awaitable[T]],
        /,
        *,
        limit: int,
    ) -> AsyncIterator[T]:
        """Yield the answers in the order of the messages, so many messages taken and not yet answered at most.

        What reading or answering raises comes in its turn, and ends it.
        """
        ...


async def answer_one_by_one(
    messages: AsyncIterator[Bytes], answer: Callable[[Bytes], Awaitable[T]], /, *, limit: int
) -> AsyncIterator[T]:
    """Answer one message after the other: an :class:`AnswerStream` for hosts without tasks."""
    del limit
    async for message in messages:
        yield await answer(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceContext:
    """What a service is built from.

    Parameters
    ----------
    plane
        The data plane.
    admin
        Admin operations; the router refuses ADMIN handlers where they are not allowed.
    now
        The monotonic clock, in seconds.
    options
        Settings that concern protocols.
    rpc_services
        Names of all RPC services of the host (``package.Service``), filled before the first call.
    descriptor_sets
        Service name -> its ``descriptor_set``, of all services of the host that have one; filled like
        ``rpc_services``.
    openapi
        Makes the OpenAPI document of what the host offers over HTTP, when all services are there.
    new_signal
        Makes a wake-up call for a stream that watches, so that services import no event loop.
    run_off_loop
        Runs what takes long, the text of a large body say, while others are served. The function must touch
        nothing that belongs to the loop: no plane, no handle.
    answer_ahead
        Answers a stream's messages side by side.
    memory
        Where a service keeps what later calls need; small, and changed by admin operations only.
    """

    plane: DataPlane
    admin: Admin
    now: Callable[[], float]
    new_signal: Callable[[], Signal]
    options: ServiceOptions = field(default_factory=ServiceOptions)
    rpc_services: Callable[[], Sequence[str]] = tuple
    descriptor_sets: Callable[[], Mapping[str, bytes]] = dict
    openapi: Callable[[], Mapping[str, Any]] = dict
    run_off_loop: OffLoop = run_at_once
    answer_ahead: AnswerStream = answer_one_by_one
    memory: ServiceMemory = field(default_factory=OwnMemory)
