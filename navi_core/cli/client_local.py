"""A model on disk, asked like a running host: loaded, warmed up, converted and batched as a host does it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from navi_core.config.records import HostConfig
from navi_core.contracts.client import Prediction
from navi_core.host import Host
from navi_core.messages import ModelRef
from navi_core.models.loading import artifact_at
from navi_core.plugins.registry import Registry
from navi_core.signature import Signature
from navi_core.types import NamedArrays

__all__ = ["LocalModel"]


class LocalModel:
    """A host in this process with one model and no listener; a context manager.

    Parameters
    ----------
    path
        A model directory (its newest version), a version directory, or a file.
    registry
        The installed plugins.
    name
        The model's name.
    timeout_s
        How long one request may take.
    """

    def __init__(self, path: Path, registry: Registry, *, name: str, timeout_s: float) -> None:
        self._artifact = dataclasses.replace(artifact_at(path), name=name)
        self._host = Host(HostConfig(), registry=registry)
        self._runner = asyncio.Runner()
        self._timeout_s = timeout_s

    def __enter__(self) -> Self:
        try:
            self._runner.run(self._start())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    async def _start(self) -> None:
        await self._host.start()
        await self._host.admin.replace(self._artifact)

    def _stop(self) -> None:
        try:
            self._runner.run(self._host.stop())
        finally:
            self._runner.close()

    def signatures(self, model: ModelRef) -> Mapping[str, Signature]:
        """Return the signatures of the version that a request would go to."""
        with self._host.plane.acquire(model) as handle:
            return dict(handle.signatures)

    def predict(self, model: ModelRef, inputs: NamedArrays, signature: str) -> Prediction:
        """Run one request."""
        with self._host.plane.acquire(model) as handle:
            version = handle.version
        outputs = self._runner.run(
            self._host.predict(
                model.name,
                inputs,
                version=version,
                signature=signature,
                timeout_s=self._timeout_s,
            )
        )
        return Prediction(outputs, version)
