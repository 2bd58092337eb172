"""What to run together and when: the batching decisions, pure.

Rules of this file: no clock (``now`` is handed in), no threads, no event loop, no arrays. The driver
is :mod:`navi_core.batching.batcher`.

Theory. Entries may share a run only if their *keys* are equal (signature, outputs, present inputs, row
shapes...); those of one key form a group, in order of arrival. When a worker is free,
:meth:`BatchQueue.take` turns to the groups in turn, and from the first that is ready takes the oldest entry and
younger ones after it, until a limit is reached or the next does not fit. Groups take turns, so that a busy
key never starves another. With no linger a group is ready at once: batches form while
workers are busy, and nothing waits that need not. With a linger, a group is ready when it is full or when its
oldest entry has waited that long.

Where a policy has priority levels, groups of the first level have their turns before those of the second, and so on;
a batch holds the higher levels' entries of its key first, and lower ones fill what they leave. That is strict, as in
Triton: while one level keeps every worker busy, those below it wait, until their deadline or their age ends them.
Within a level the order of arrival holds. Levels change nothing about what the queue takes and refuses.

An entry of more rows than ``max_batch_rows`` runs alone and whole. Entries that are cancelled, past their
deadline, or stale are handed back instead of run; they never take their neighbours with them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from navi_core.errors import QueueFullError

if TYPE_CHECKING:
    from navi_core.config.records import BatchingSettings

__all__ = [
    "BatchPolicy",
    "BatchQueue",
    "CloseReason",
    "Decision",
    "DropReason",
    "Entry",
    "pad_rows",
    "split_rows",
]

T = TypeVar("T")


class CloseReason(StrEnum):
    """Why a batch was closed where it was."""

    FREE_WORKER = "free_worker"
    ROWS = "rows"
    REQUESTS = "requests"
    TIMEOUT = "timeout"
    ALONE = "alone"
    DRAIN = "drain"


class DropReason(StrEnum):
    """Why an entry was handed back instead of run."""

    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    STALE = "stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """The limits of one servable's queue; see :class:`~navi_core.config.records.BatchingSettings`.

    Parameters
    ----------
    enabled
        False: every entry runs alone.
    max_batch_rows, max_batch_requests
        Limits of one batch.
    batch_timeout_s
        The linger; 0: none.
    batch_drop_s
        Age at which a waiting entry is stale; None: never.
    allowed_batch_rows
        Increasing row counts to pad to; empty: no padding.
    split_large_requests
        Whether the driver splits requests of more than ``max_batch_rows`` rows.
    max_queue_rows, max_queue_requests, max_queue_bytes
        Limits of the queue.
    max_concurrent_batches
        Batches that run at once.
    max_inline_run_us
        The longest run, in microseconds, that may happen on the event loop; 0: none.
    priority_levels
        Levels that requests may ask for, 1 is served first; 0: there is but one, whatever they ask for.
    default_priority_level
        The level of requests that ask for none, or for one that there is not; None: the last one.
    """

    enabled: bool = True
    max_batch_rows: int = 1024
    max_batch_requests: int = 1024
    batch_timeout_s: float = 0.0
    batch_drop_s: float | None = None
    allowed_batch_rows: tuple[int, ...] = ()
    split_large_requests: bool = False
    max_queue_rows: int = 262_144
    max_queue_requests: int = 4096
    max_queue_bytes: int = 1 << 30
    max_concurrent_batches: int = 4
    max_inline_run_us: int = 200
    priority_levels: int = 0
    default_priority_level: int | None = None

    @classmethod
    def from_settings(cls, settings: BatchingSettings, *, max_concurrent_batches: int) -> BatchPolicy:
        """Return the policy that the configuration describes; what it does not say has the default.

        Parameters
        ----------
        settings
            Merged settings of one model.
        max_concurrent_batches
            The default for what the settings leave open.
        """
        said = {
            name: value
            for name in (
                "enabled",
                "max_batch_rows",
                "max_batch_requests",
                "allowed_batch_rows",
                "split_large_requests",
                "max_queue_rows",
                "max_queue_requests",
                "max_queue_bytes",
                "max_concurrent_batches",
                "max_inline_run_us",
                "priority_levels",
                "default_priority_level",
            )
            if (value := getattr(settings, name)) is not None
        }
        said.setdefault("max_concurrent_batches", max_concurrent_batches)
        allowed = said.get("allowed_batch_rows")
        if allowed and "max_batch_rows" not in said:
            said["max_batch_rows"] = allowed[-1]
        if settings.batch_timeout_ms is not None:
            said["batch_timeout_s"] = settings.batch_timeout_ms / 1000
        if settings.batch_drop_ms is not None:
            said["batch_drop_s"] = settings.batch_drop_ms / 1000
        return cls(**said)

    def level_of(self, priority: int) -> int:
        """Return where a request of a priority queues, counted from 0; a priority of 0 asks for the default level."""
        levels = self.priority_levels
        if not levels:
            return 0
        if not 0 < priority <= levels:
            priority = min(self.default_priority_level or levels, levels)
        return priority - 1

    def with_max_rows(self, max_rows: int | None) -> BatchPolicy:
        """Return the policy for a model that takes no more than so many rows in a run; None: any number."""
        if max_rows is None or max_rows >= self.max_batch_rows:
            return self
        allowed = tuple(rows for rows in self.allowed_batch_rows if rows <= max_rows)
        return replace(self, max_batch_rows=max_rows, allowed_batch_rows=allowed)


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """One waiting request, or one part of a split one.

    Parameters
    ----------
    item
        The driver's own object.
    key
        Entries with equal keys may share a run; None: runs alone.
    num_rows
        Rows it adds to a batch.
    size_bytes
        Bytes that it holds while it waits.
    enqueued_at
        When it came, in seconds.
    deadline
        When its caller gives up, in seconds; None: never.
    level
        Its priority level, from :meth:`BatchPolicy.level_of`: 0 is served first.
    """

    item: T
    key: Hashable
    num_rows: int
    size_bytes: int
    enqueued_at: float
    deadline: float | None = None
    level: int = 0
    dropped: DropReason | None = field(default=None, init=False)
    queued: bool = field(default=False, init=False)


@dataclass(slots=True)
class Decision(Generic[T]):
    """What to do now.

    Parameters
    ----------
    batch
        Entries to run together, oldest first within each level; empty: nothing to run now.
    reason
        Why the batch ends where it does.
    dropped
        Entries to be refused; their ``dropped`` says why.
    wake_at
        When to ask again, in seconds; None: when something changes.
    """

    batch: list[Entry[T]] = field(default_factory=list)
    reason: CloseReason = CloseReason.FREE_WORKER
    dropped: list[Entry[T]] = field(default_factory=list)
    wake_at: float | None = None


class _Alone:
    """The key of an entry that runs alone: equal to nothing else."""

    __slots__ = ()


class BatchQueue(Generic[T]):
    """The bounded queue of one servable. Not thread-safe; its owner serialises calls.

    Parameters
    ----------
    policy
        The limits.
    model
        For error texts.
    """

    def __init__(self, policy: BatchPolicy, model: str = "") -> None:
        self.policy: Final = policy
        self._model = model
        self._levels: Final[Sequence[dict[Hashable, deque[Entry[T]]]]] = [
            {} for _ in range(max(policy.priority_levels, 1))
        ]
        self._is_flat: Final = len(self._levels) == 1
        self._swept_at = 0.0
        self._draining = False
        self._num_dead = 0
        self.num_rows = 0
        self.num_requests = 0
        self.size_bytes = 0

    def __len__(self) -> int:
        return self.num_requests

    def offer(self, entry: Entry[T]) -> None:
        """Add an entry.

        A request that alone exceeds a limit is still taken by an empty queue: it can be served.

        Raises
        ------
        QueueFullError
            One of the three limits; the queue is unchanged.
        """
        policy = self.policy
        if self.num_requests:
            if self.num_requests >= policy.max_queue_requests:
                raise QueueFullError(limit="requests", maximum=policy.max_queue_requests, model=self._model)
            if self.num_rows + entry.num_rows > policy.max_queue_rows:
                raise QueueFullError(limit="rows", maximum=policy.max_queue_rows, model=self._model)
            if self.size_bytes + entry.size_bytes > policy.max_queue_bytes:
                raise QueueFullError(limit="bytes", maximum=policy.max_queue_bytes, model=self._model)
        if entry.key is None or not policy.enabled:
            entry.key = _Alone()
        entry.queued = True
        groups = self._levels[entry.level]
        group = groups.get(entry.key)
        if group is None:
            groups[entry.key] = deque((entry,))
        else:
            group.append(entry)
        self.num_requests += 1
        self.num_rows += entry.num_rows
        self.size_bytes += entry.size_bytes

    def drop(self, entry: Entry[T], reason: DropReason) -> bool:
        """Give up a waiting entry; tells whether it was still waiting. It costs no run any more."""
        if not entry.queued:
            return False
        entry.dropped = reason
        self._leave(entry)
        self._num_dead += 1
        if self._num_dead > max(64, self.num_requests):
            self._compact()
        return True

    def drain(self) -> None:
        """Linger no more: what is queued is ready at once."""
        self._draining = True

    def take(self, now: float) -> Decision[T]:
        """Decide what a free worker runs now.

        Parameters
        ----------
        now
            The current time, in seconds.

        Returns
        -------
        decision
            A batch to run, or when to ask again. Entries that turned out late or stale are in ``dropped``.
        """
        decision: Decision[T] = Decision()
        for level, key in self._turns():
            groups = self._levels[level]
            group = groups[key]
            self._discard_dead(group, now, decision)
            if not group:
                del groups[key]
                continue
            lines = [group]
            if not self._is_flat:
                lines += [lower[key] for lower in self._levels[level + 1 :] if key in lower]
            reason, ready_at = self._readiness(lines, now)
            if reason is None:
                if decision.wake_at is None or ready_at < decision.wake_at:
                    decision.wake_at = ready_at
                continue
            self._close(lines, reason, now, decision)
            del groups[key]
            if group:
                groups[key] = group
            decision.wake_at = None
            break
        drop_s = self.policy.batch_drop_s
        if not self._is_flat and drop_s is not None and now >= self._swept_at + drop_s / 4:
            self._swept_at = now
            self._sweep(now, decision)
        return decision

    def _sweep(self, now: float, decision: Decision[T]) -> None:
        """Hand back what is too old on every level: the turn of the lower ones may never come."""
        for groups in self._levels:
            for key, group in list(groups.items()):
                self._discard_dead(group, now, decision)
                if not group:
                    del groups[key]

    def _turns(self) -> Iterator[tuple[int, Hashable]]:
        """Yield level and key of the groups in turn, the first level first; the caller removes groups as it goes."""
        if self.policy.batch_timeout_s > 0 and not self._draining:
            for level, groups in enumerate(self._levels):
                for key in list(groups):
                    # one that stands in a higher level too was judged there, with all that it has
                    if not level or not any(key in higher for higher in self._levels[:level]):
                        yield level, key
            return
        for level, groups in enumerate(self._levels):
            while groups:  # whoever is first is ready, or is removed: no list of them all is made
                yield level, next(iter(groups))

    def _readiness(self, lines: Sequence[deque[Entry[T]]], now: float) -> tuple[CloseReason | None, float]:
        """Tell why a key's entries are ready, or None and when they will be; the first line's head is to be run."""
        linger = self.policy.batch_timeout_s
        head = lines[0][0]
        if linger <= 0 or isinstance(head.key, _Alone):
            return CloseReason.FREE_WORKER, now
        if self._draining:
            return CloseReason.DRAIN, now
        waiting = [entry for line in lines for entry in line if entry.queued]
        ready_at = min(self._patience_ends(entry) for entry in waiting)
        if now >= ready_at:
            return CloseReason.TIMEOUT, now
        if len(waiting) >= self.policy.max_batch_requests:
            return CloseReason.REQUESTS, now
        if sum(entry.num_rows for entry in waiting) >= self.policy.max_batch_rows:
            return CloseReason.ROWS, now
        return None, ready_at

    def _patience_ends(self, entry: Entry[T]) -> float:
        """Return until when an entry may linger: never beyond half the time that it has, or the wait would lose it."""
        patience = self.policy.batch_timeout_s
        if self.policy.batch_drop_s is not None:
            patience = min(patience, self.policy.batch_drop_s / 2)
        if entry.deadline is not None:
            patience = min(patience, (entry.deadline - entry.enqueued_at) / 2)
        return entry.enqueued_at + patience

    def _close(
        self, lines: Sequence[deque[Entry[T]]], reason: CloseReason, now: float, decision: Decision[T]
    ) -> None:
        """Move entries from the lines into the batch, in order, up to the limits."""
        policy, batch = self.policy, decision.batch
        head = lines[0][0]
        if isinstance(head.key, _Alone) or head.num_rows > policy.max_batch_rows:
            batch.append(self._pop(lines[0]))
            decision.reason = CloseReason.ALONE
            return
        rows = 0
        for line in lines:
            while line:
                self._discard_dead(line, now, decision)
                if not line:
                    break
                if len(batch) >= policy.max_batch_requests:
                    reason = CloseReason.REQUESTS
                    break
                if batch and rows + line[0].num_rows > policy.max_batch_rows:
                    reason = CloseReason.ROWS
                    break
                entry = self._pop(line)
                rows += entry.num_rows
                batch.append(entry)
            if line:  # its next one does not fit, and those below do not overtake it
                break
        if rows == policy.max_batch_rows:
            reason = CloseReason.ROWS
        decision.reason = reason

    def _pop(self, group: deque[Entry[T]]) -> Entry[T]:
        entry = group.popleft()
        self._leave(entry)
        return entry

    def _discard_dead(self, group: deque[Entry[T]], now: float, decision: Decision[T]) -> None:
        """Remove what must not run from the front of the group."""
        while group:
            entry = group[0]
            if not entry.queued:
                group.popleft()
                self._num_dead -= 1
                continue
            reason = self._why_dead(entry, now)
            if reason is None:
                return
            group.popleft()
            entry.dropped = reason
            self._leave(entry)
            decision.dropped.append(entry)

    def _why_dead(self, entry: Entry[T], now: float) -> DropReason | None:
        if entry.deadline is not None and now >= entry.deadline:
            return DropReason.DEADLINE
        drop_s = self.policy.batch_drop_s
        if drop_s is not None and now - entry.enqueued_at >= drop_s:
            return DropReason.STALE
        return None

    def _compact(self) -> None:
        """Forget dropped entries that still stand in their groups: they hold memory.

        Groups are changed in place: a caller may be walking through one.
        """
        for groups in self._levels:
            for group in groups.values():
                live = [entry for entry in group if entry.queued]
                group.clear()
                group.extend(live)
        self._num_dead = 0

    def _leave(self, entry: Entry[T]) -> None:
        entry.queued = False
        self.num_requests -= 1
        self.num_rows -= entry.num_rows
        self.size_bytes -= entry.size_bytes


def pad_rows(num_rows: int, allowed: Sequence[int]) -> int:
    """Return the row count to run ``num_rows`` rows with: the next allowed one, or itself if there is none."""
    index = bisect_left(allowed, num_rows)
    return allowed[index] if index < len(allowed) and num_rows > 0 else num_rows


def split_rows(num_rows: int, max_rows: int) -> list[tuple[int, int]]:
    """Return the [start, stop) parts of a large request, each of at most ``max_rows`` rows, in order."""
    return [(start, min(start + max_rows, num_rows)) for start in range(0, num_rows, max_rows)]
