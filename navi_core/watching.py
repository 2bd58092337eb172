"""Joins model sources to the manager: which source watches which model, and what its finds become."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from navi_core.config.records import ModelConfig
from navi_core.contracts.source import ModelSource, VersionChoice, WatchedModel
from navi_core.manager import ServableManager
from navi_core.registry import Registry

__all__ = ["Watcher", "version_choice"]

log = structlog.get_logger(__name__)


def version_choice(config: ModelConfig) -> VersionChoice:
    """Return which versions a model's configuration wants."""
    said = config.versions
    if said.all:
        return VersionChoice("all")
    if said.specific is not None:
        return VersionChoice("specific", versions=said.specific)
    return VersionChoice("latest", num_latest=said.latest or 1)


def watched_model(config: ModelConfig) -> WatchedModel:
    """Return what a source needs to know of a model. A plain path is made absolute."""
    location = config.path
    if not _scheme(location):
        location = str(Path(location).expanduser().absolute())
    return WatchedModel(
        name=config.model_name,
        location=location,
        choice=version_choice(config),
        completeness=config.completeness,
        stable_ms=config.stable_ms,
        marker=config.marker,
    )


def _scheme(location: str) -> str:
    scheme, separator, _ = location.partition("://")
    return scheme if separator else ""


class Watcher:
    """The sources of one host, one of each kind that its models need.

    Parameters
    ----------
    registry
        Installed sources.
    manager
        Gets the aspired sets.
    poll_interval_s
        Seconds between looks.
    now
        The monotonic clock, in seconds.
    """

    def __init__(
        self,
        registry: Registry,
        manager: ServableManager,
        *,
        poll_interval_s: float,
        now: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._manager = manager
        self._poll_interval_s = poll_interval_s
        self._now = now
        self._sources: dict[type[ModelSource], ModelSource] = {}
        self._source_of: dict[str, ModelSource] = {}
        self._tasks: dict[ModelSource, asyncio.Task[None]] = {}
        self._is_running = False

    def watch(self, config: ModelConfig) -> None:
        """Watch a model, or watch it differently.

        Raises
        ------
        PluginNotFoundError
            No installed source takes its location.
        """
        kind = self._registry.source_for_scheme(_scheme(config.path))
        source = self._sources.get(kind)
        if source is None:
            source = kind.create(poll_interval_s=self._poll_interval_s, now=self._now)
            self._sources[kind] = source
        before = self._source_of.get(config.model_name)
        if before is not None and before is not source:
            before.unwatch(config.model_name)
        self._source_of[config.model_name] = source
        source.watch(watched_model(config))
        if self._is_running:
            self._run(source)

    def unwatch(self, name: str) -> None:
        """Forget a model."""
        source = self._source_of.pop(name, None)
        if source is not None:
            source.unwatch(name)

    def sources(self) -> tuple[ModelSource, ...]:
        """Return the sources in use."""
        return tuple(self._sources.values())

    def start(self) -> None:
        """Let every source look."""
        self._is_running = True
        for source in self._sources.values():
            self._run(source)

    def _run(self, source: ModelSource) -> None:
        task = self._tasks.get(source)
        if task is None or task.done():
            task = asyncio.get_running_loop().create_task(source.run(self._manager.set_aspired))
            task.add_done_callback(_note_end)
            self._tasks[source] = task

    async def rescan(self, name: str | None = None) -> None:
        """Look again now, at one model or at all."""
        if name is None:
            await asyncio.gather(*(source.rescan() for source in self._sources.values()))
        elif (source := self._source_of.get(name)) is not None:
            await source.rescan(name)

    async def stop(self) -> None:
        """Look no more."""
        self._is_running = False
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()


def _note_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("source_failed", exc_info=task.exception())
