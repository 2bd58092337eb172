"""Joins model sources to the manager: which source watches which model, and what its finds become."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from navi_core.config.meta_json import MetaJson
from navi_core.config.records import HostConfig, ModelConfig, ModelSettings, overlay
from navi_core.contracts.source import ModelSource, VersionChoice, WatchedModel
from navi_core.models.manager import ServableManager
from navi_core.plugins.registry import Registry
from navi_core.sources.meta_watch import MetaJsonModels
from navi_core.sources.modelsync import ModelSync

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
    config
        How often to look, META.json, and the command to run before each look.
    now
        The monotonic clock, in seconds.
    """

    def __init__(
        self, registry: Registry, manager: ServableManager, config: HostConfig, *, now: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._manager = manager
        self._poll_interval_s = config.poll_interval_s
        self._now = now
        self._sources: dict[type[ModelSource], ModelSource] = {}
        self._source_of: dict[str, ModelSource] = {}
        self._tasks: dict[ModelSource, asyncio.Task[None]] = {}
        self._configs: dict[str, ModelConfig] = {}
        self._is_running = False
        self._modelsync = (
            ModelSync(
                config.modelsync_command,
                timeout_s=config.modelsync_timeout_s,
                current_versions=self._current_versions,
            )
            if config.modelsync_command is not None
            else None
        )
        self._meta = (
            MetaJsonModels(MetaJson(config.meta_json).read, self._meta_changed)
            if config.meta_json is not None
            else None
        )

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
            if self._modelsync is not None or self._meta is not None:
                source.before_scan = self._before_scan
            self._sources[kind] = source
        before = self._source_of.get(config.model_name)
        if before is not None and before is not source:
            before.unwatch(config.model_name)
        self._source_of[config.model_name] = source
        self._configs[config.model_name] = config
        source.watch(self._watched(config))
        if self._is_running:
            self._run(source)

    def unwatch(self, name: str) -> None:
        """Forget a model."""
        source = self._source_of.pop(name, None)
        self._configs.pop(name, None)
        if source is not None:
            source.unwatch(name)

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

    # --- before each look: Navi's sync command, and META.json --------------------------------------

    async def _before_scan(self) -> None:
        if self._modelsync is not None:
            await self._modelsync.run()
        if self._meta is not None:
            await self._meta.refresh()

    def _current_versions(self) -> list[tuple[str, str]]:
        versions = ((name, self._manager.current_version(name)) for name in self._configs)
        return [(name, "" if version is None else str(version)) for name, version in versions]

    def _meta_changed(self, names: frozenset[str]) -> None:
        """Apply what META.json now says: pins at once, thread counts to the loads that come."""
        for name in names & self._configs.keys():
            config = self._configs[name]
            assert self._meta is not None  # noqa: S101 - it is the caller
            meta = self._meta.meta(name)
            said = ModelSettings(
                intra_op_threads=meta.intra_op_threads, inter_op_threads=meta.inter_op_threads
            )
            self._manager.reconfigure_model(overlay(config, said))
            self._source_of[name].watch(self._watched(config))

    def _watched(self, config: ModelConfig) -> WatchedModel:
        model = watched_model(config)
        if self._meta is None:
            return model
        return replace(model, choice=self._meta.choice(config.model_name, model.choice))

    # --- looking ---------------------------------------------------------------------------------

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
