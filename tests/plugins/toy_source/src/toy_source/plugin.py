"""Registers the source ``toy_list``: ``toylist:///FILE.json`` names a file with {version: directory}."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from navi_core import Artifact, Emit, ModelSource, WatchedModel, hookimpl


class ToyList(ModelSource):
    """Emits every version that the file lists."""

    name = "toy_list"
    schemes = frozenset({"toylist"})

    def __init__(self, poll_interval_s: float) -> None:
        self._poll_interval_s = poll_interval_s
        self._models: dict[str, WatchedModel] = {}
        self._emit: Emit | None = None

    @classmethod
    def create(cls, *, poll_interval_s: float, now: Callable[[], float]) -> ModelSource:
        """Build the source."""
        del now
        return cls(poll_interval_s)

    def watch(self, model: WatchedModel) -> None:
        """Watch one more file."""
        self._models[model.name] = model

    def unwatch(self, name: str) -> None:
        """Forget a file."""
        self._models.pop(name, None)

    async def run(self, emit: Emit) -> None:
        """Emit, then look again every so often."""
        self._emit = emit
        await self.rescan()
        while self._poll_interval_s > 0:
            await asyncio.sleep(self._poll_interval_s)
            await self.rescan()
        await asyncio.Event().wait()

    async def rescan(self, model: str | None = None) -> None:
        """Read the files and emit what they list."""
        for watched in [each for each in self._models.values() if model in (None, each.name)]:
            artifacts = await asyncio.to_thread(_read, watched)
            if self._emit is not None:
                self._emit(watched.name, artifacts)


def _read(watched: WatchedModel) -> list[Artifact]:
    listed = json.loads(Path(urlsplit(watched.location).path).read_text())
    return [
        Artifact(name=watched.name, version=int(version), path=Path(folder))
        for version, folder in sorted(listed.items(), key=lambda item: int(item[0]))
    ]


@hookimpl
def navi_register_sources() -> list[type[ModelSource]]:
    """Register the source."""
    return [ToyList]
