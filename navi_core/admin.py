"""Admin operations: models come, go and change while the host serves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from navi_core.config.checks import check_models
from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.models.manager import ServableManager
from navi_core.models.watching import Watcher

__all__ = ["HostAdmin"]

log = structlog.get_logger(__name__)


class HostAdmin:
    """A :class:`~navi_core.contracts.planes.Admin` for one host.

    Parameters
    ----------
    manager
        The loaded versions.
    watcher
        The sources.
    """

    def __init__(self, manager: ServableManager, watcher: Watcher) -> None:
        self._manager = manager
        self._watcher = watcher
        self._lock = asyncio.Lock()

    async def load(self, config: ModelConfig) -> None:
        """Start to serve a model; returns once a version is available, and leaves nothing behind if none is."""
        async with self._lock:
            await self._add((config,))

    async def unload(self, model: str) -> None:
        """Stop to serve a model; returns once its versions are unloaded."""
        async with self._lock:
            await self._remove(model)

    async def replace(self, artifact: Artifact) -> None:
        """Serve ``artifact`` as its model's only version, in one step; a new name becomes a new model."""
        async with self._lock:
            is_new = artifact.name not in self._manager.names()
            if is_new:
                self._manager.add_model(ModelConfig(path=f"memory:{artifact.name}", name=artifact.name))
            try:
                await self._manager.replace(artifact)
            except (
                BaseException
            ):  # also where the caller went away while it loaded: no name without a version
                if is_new:
                    await asyncio.shield(self._manager.remove_model(artifact.name))
                raise
            self._watcher.unwatch(artifact.name)

    def config_of(self, model: str) -> ModelConfig:
        """Return a model's configuration; raises ModelNotFoundError."""
        return self._manager.config_of(model)

    async def apply_config(self, models: Sequence[ModelConfig]) -> None:
        """Serve exactly these models, or change nothing."""
        check_models(models)
        async with self._lock:
            wanted = {config.model_name: config for config in models}
            known = set(self._manager.names())
            await self._add([config for name, config in wanted.items() if name not in known])
            for name in known - set(wanted):
                await self._remove(name)
            for name in known & set(wanted):
                if self._manager.config_of(name) != wanted[name]:
                    self._manager.reconfigure_model(wanted[name])
                    self._watcher.watch(wanted[name])
            log.info("config_applied", models=list(wanted))

    async def rescan(self, model: str | None = None) -> None:
        """Have the sources look again now."""
        await self._watcher.rescan(model)

    async def _add(self, configs: Sequence[ModelConfig]) -> None:
        """Add models and wait for each; takes all of them back if one fails."""
        added: list[str] = []
        try:
            for config in configs:
                self._manager.add_model(config)
                added.append(config.model_name)
                self._watcher.watch(config)
            await asyncio.gather(*(self._manager.wait_available(name) for name in added))
        except BaseException:
            for name in added:
                await asyncio.shield(self._remove(name))
            raise

    async def _remove(self, name: str) -> None:
        self._watcher.unwatch(name)
        await self._manager.remove_model(name)
