"""Loads versions and closes them on threads of their own, a few at a time, and counts how that went."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from navi_core.background import run_in_daemon_thread
from navi_core.config.records import HostConfig, ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.errors import NaviError
from navi_core.metrics.metrics import Metrics
from navi_core.models.load_priority import LoadPriority
from navi_core.models.load_turns import short_turns
from navi_core.models.loading import load_version
from navi_core.models.replay import Replay
from navi_core.models.served import LoadedVersion
from navi_core.plugins.registry import Registry

__all__ = ["VersionLoader"]

log = structlog.get_logger(__name__)

_PRIORITY: Final = LoadPriority()
"""Threads belong to the process, whichever host's loads start them."""


class VersionLoader:
    """The loads of one host. Belongs to one event loop.

    Parameters
    ----------
    registry
        Installed runtimes and converters.
    config
        Limits and plugin options of the host.
    metrics
        Told of every load.
    max_concurrent_batches
        Batches of one model that run at once, where its settings do not say.
    """

    def __init__(
        self, registry: Registry, config: HostConfig, metrics: Metrics, *, max_concurrent_batches: int
    ) -> None:
        self._registry = registry
        self._config = config
        self._metrics = metrics
        self._max_concurrent_batches = max_concurrent_batches
        self._turns = asyncio.Semaphore(config.load_threads)

    async def load(self, model: ModelConfig, artifact: Artifact) -> LoadedVersion:
        """Load a version when it is its turn; raises NaviError."""
        name, version = artifact.name, artifact.version
        async with self._turns:
            started = time.monotonic()
            try:
                loaded = await self._load_in_thread(model, artifact)
            except NaviError:
                self._metrics.load_finished(name, version, time.monotonic() - started, ok=False)
                raise
            seconds = time.monotonic() - started
        self._metrics.load_finished(name, version, seconds, ok=True)
        more = {"converter": loaded.converter, "notes": list(loaded.notes)}
        log.info(
            "servable_loaded",
            model=name,
            version=version,
            runtime=loaded.runtime,
            seconds=round(seconds, 3),
            **{key: value for key, value in more.items() if value},
        )
        return loaded

    async def _load_in_thread(self, model: ModelConfig, artifact: Artifact) -> LoadedVersion:
        config = self._config

        def replayed(done: Replay) -> None:
            self._metrics.requests_replayed(
                artifact.name, done.path, done.code, done.seconds, done.num_records
            )

        def load() -> LoadedVersion:
            with short_turns(), _PRIORITY.lowered(artifact.name):
                return load_version(
                    self._registry,
                    artifact,
                    model,
                    runtime_tables=config.runtimes,
                    converter_tables=config.converters,
                    batching=config.batching,
                    max_model_bytes=model.max_model_bytes,
                    max_concurrent_batches=self._max_concurrent_batches,
                    on_replayed=replayed,
                )

        return await run_in_daemon_thread(load, name=f"navi-load-{artifact.name}-{artifact.version}")

    @staticmethod
    async def close(loaded: LoadedVersion) -> None:
        """Close a version; what goes wrong is logged."""
        name, version = loaded.artifact.name, loaded.artifact.version
        try:
            await run_in_daemon_thread(loaded.servable.close, name=f"navi-close-{name}-{version}")
        except Exception:
            log.exception("servable_close_failed", model=name, version=version)
