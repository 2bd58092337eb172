"""What a service is built from: the planes, its settings, and what the host does for it beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from navi_core.contracts.planes import Admin, DataPlane
from navi_core.types import Bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = [
    "OFF_LOOP_BYTES",
    "AnswerStream",
    "OffLoop",
    "OwnMemory",
    "ServiceContext",
    "ServiceMemory",
    "ServiceOptions",
    "Signal",
    "answer_one_by_one",
    "run_at_once",
]

T = TypeVar("T")


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
