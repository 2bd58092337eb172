"""FilesystemSource: watches model directories on disk and emits the versions that are complete.

Every model has a task of its own, which looks in a thread of its own; so storage that hangs holds up its
own model and nobody else's. A model is looked at

- at every poll, after ``before_scan``;
- when a directory that was seen half-copied could have come to rest, whatever the poll interval;
- when it is newly watched, or watched differently;
- when somebody asks for it (``rescan``).

A set is emitted when it differs from the last one. The first set of a model is emitted also when it is
empty, but not while a directory is still coming to rest: whoever waits for the model would take "nothing
there" for an answer two seconds before there is something.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import structlog

from navi_core.background import run_in_daemon_thread
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.source import Emit, ModelSource, WatchedModel
from navi_core.errors import ConfigError
from navi_core.sources.directory_scan import ModelListing, scan_model
from navi_core.sources.model_watch import ModelWatch, Verdict

__all__ = ["FilesystemSource", "local_path"]

log = structlog.get_logger(__name__)

_MAX_SCANS: Final = 16
_SLOW_SCAN_S: Final = 5.0


def local_path(location: str) -> Path:
    """Return the path of a location: a plain path, or a ``file`` URL.

    Raises
    ------
    ConfigError
        It is empty, or a URL of another scheme or another machine.
    """
    if "://" not in location:
        if not location or "\0" in location:
            raise ConfigError(f"model directory: expected a path, got {location!r}")
        return Path(location)
    url = urlsplit(location)
    if url.scheme != "file" or url.netloc not in {"", "localhost"} or not url.path:
        raise ConfigError(f"model directory: expected a path or file:///PATH, got '{location}'")
    return Path(unquote(url.path))


class FilesystemSource(ModelSource):
    """Watches ``MODEL_DIR/VERSION/...`` on a file system. See :class:`~navi_core.ModelSource`.

    Parameters
    ----------
    poll_interval_s
        Seconds between looks; 0: look once (and once more at what was still being copied).
    now
        The monotonic clock, in seconds.
    wall_ns
        The wall clock, in nanoseconds since the epoch; asked at the first look at a model only.

    Attributes
    ----------
    before_scan
        Awaited before every poll and every ``rescan``; it may call ``watch`` and ``unwatch``. When it
        raises, that is logged and the look is taken all the same.
    """

    name = "filesystem"
    schemes = frozenset({"", "file"})

    def __init__(
        self,
        *,
        poll_interval_s: float,
        now: Callable[[], float],
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.before_scan: Callable[[], Awaitable[None]] | None = None
        self._poll_interval_s = poll_interval_s
        self._now = now
        self._wall_ns = wall_ns
        self._models: dict[str, _Watched] = {}
        self._emit: Emit | None = None
        self._scans = asyncio.Semaphore(_MAX_SCANS)

    @classmethod
    def create(cls, *, poll_interval_s: float, now: Callable[[], float]) -> Self:
        """Build the source."""
        return cls(poll_interval_s=poll_interval_s, now=now)

    def watch(self, model: WatchedModel) -> None:
        """Watch one more model, or watch it differently from now on.

        Raises
        ------
        ConfigError
            Its location is not on this machine's file system.
        """
        path = local_path(model.location)
        watched = self._models.get(model.name)
        if watched is not None:
            watched.watch.change(model, path)
            if self._emit is not None:
                watched.request()
            return
        watched = self._models[model.name] = _Watched(ModelWatch(model, path))
        if self._emit is not None:
            watched.begin(self._follow(watched))
            watched.request()

    def unwatch(self, name: str) -> None:
        """Forget a model; nothing is emitted for it any more."""
        watched = self._models.pop(name, None)
        if watched is not None:
            watched.stop()

    async def run(self, emit: Emit) -> None:
        """Emit aspired sets until cancelled."""
        self._emit = emit
        try:
            for watched in self._models.values():
                watched.begin(self._follow(watched))
            while True:
                await self._prepare()
                for watched in self._models.values():
                    watched.request()
                if self._poll_interval_s <= 0:
                    await asyncio.get_running_loop().create_future()  # until cancelled
                await asyncio.sleep(self._poll_interval_s)
        finally:
            self._emit = None
            tasks = [watched.stop() for watched in self._models.values()]
            await asyncio.gather(*filter(None, tasks), return_exceptions=True)

    async def rescan(self, model: str | None = None) -> None:
        """Look again now, at one model or at all; returns when the result was emitted.

        Does nothing for a model that is not watched, and while the source does not run.
        """
        if self._emit is None:
            return
        await self._prepare()
        names = list(self._models) if model is None else [model]
        await asyncio.gather(*(self._models[name].look_done() for name in names if name in self._models))

    async def _prepare(self) -> None:
        if self.before_scan is None:
            return
        try:
            await self.before_scan()
        except Exception:  # somebody else's code: a look must not depend on it
            log.exception("before_scan_failed")

    # --- one model --------------------------------------------------------------------------------

    async def _follow(self, watched: _Watched) -> None:
        """Look at one model whenever that is due, until cancelled."""
        due: float | None = None
        while True:
            async with watched.next_look(None if due is None else max(due - self._now(), 0.0)) as is_asked:
                try:
                    due = await self._look(watched, is_asked=is_asked)
                except Exception:  # one look's failure must not end the watch
                    log.exception("look_failed", model=watched.name)
                    due = None

    async def _look(self, watched: _Watched, *, is_asked: bool) -> float | None:
        """Look once, emit what came out, and return when the next look is due."""
        watch = watched.watch
        while True:
            model = watch.model
            began, wall_ns = self._now(), self._wall_ns()
            listing = await self._scan(watch)
            if watch.model is model:  # else watched differently meanwhile: the look was the wrong one
                break
        verdict = watch.judge(listing, began=began, ended=self._now(), wall_ns=wall_ns)
        watched.tell(verdict)
        if self._emit is not None:
            watched.send(verdict, self._emit, is_asked=is_asked)
        return verdict.next_look

    async def _scan(self, watch: ModelWatch) -> ModelListing:
        """List in a thread. Few scans run at once; one that hangs gives its place up after a while."""
        name = watch.model.name
        await self._scans.acquire()
        scan = asyncio.ensure_future(
            run_in_daemon_thread(scan_model, watch.path, watch.rule, watch.known(), name=f"navi-scan-{name}")
        )
        try:
            try:
                await asyncio.wait({scan}, timeout=_SLOW_SCAN_S)
            finally:
                self._scans.release()
            if not scan.done():
                log.warning("model_directory_slow", model=name, path=str(watch.path), seconds=_SLOW_SCAN_S)
            return await scan
        finally:
            scan.cancel()


class _Watched:
    """One model's task, who waits for it, and what was said of it last."""

    def __init__(self, watch: ModelWatch) -> None:
        self.watch = watch
        self._wake = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._emitted: tuple[Artifact, ...] | None = None
        self._problems: tuple[str, ...] = ()
        self._waiting: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.watch.model.name

    def begin(self, follow: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(follow, name=f"navi-watch-{self.name}")

    def stop(self) -> asyncio.Task[None] | None:
        """Stop looking; whoever waits for a look waits no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self._release(self._take_waiters())
        return task

    def request(self) -> None:
        """Have a look taken soon."""
        self._wake.set()

    async def look_done(self) -> None:
        """Have a look taken that begins from now on, and wait until its result was emitted, or the model left."""
        if self._task is None:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self.request()
        await waiter

    @asynccontextmanager
    async def next_look(self, timeout_s: float | None) -> AsyncIterator[bool]:
        """Wait until a look is asked for or the time has passed; tells whether somebody waits for it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        self._wake.clear()
        waiters = self._take_waiters()
        try:
            yield bool(waiters)
        finally:
            self._release(waiters)

    def _take_waiters(self) -> list[asyncio.Future[None]]:
        waiters, self._waiters = self._waiters, []
        return waiters

    @staticmethod
    def _release(waiters: list[asyncio.Future[None]]) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def tell(self, verdict: Verdict) -> None:
        """Log what is new since the last look."""
        for problem in verdict.problems:
            if problem not in self._problems:
                log.warning("model_directory_problem", model=self.name, problem=problem)
        if verdict.waiting and verdict.waiting != self._waiting:
            log.info(
                "versions_incomplete",
                model=self.name,
                directories=verdict.waiting,
                wait_for=self.watch.rule.waits_for,
            )
        self._problems, self._waiting = verdict.problems, verdict.waiting

    def send(self, verdict: Verdict, emit: Emit, *, is_asked: bool) -> None:
        """Emit a set that is new, or that somebody waits for."""
        artifacts = self._emitted if verdict.aspired is None else verdict.aspired
        if artifacts is None or (artifacts == self._emitted and not is_asked):
            return
        is_settling = self._emitted is None and not artifacts and verdict.next_look is not None
        if is_settling and not is_asked:
            return
        emit(self.name, artifacts)
        if artifacts != self._emitted:
            log.info("versions_aspired", model=self.name, versions=[each.version for each in artifacts])
        self._emitted = artifacts
