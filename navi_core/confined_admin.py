"""Admin operations of clients: models come from the configured roots and from nowhere else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.planes import Admin
from navi_core.errors import ErrorCode, ModelNotFoundError, NaviError

__all__ = ["ConfinedAdmin"]

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class ConfinedAdmin:
    """A :class:`~navi_core.contracts.planes.Admin` for services, whose arguments come from clients.

    Parameters
    ----------
    admin
        Does the work.
    roots
        Directories and URIs that models may lie in; empty: anywhere.
    """

    def __init__(self, admin: Admin, roots: Sequence[str]) -> None:
        self._admin = admin
        self._uris: Final = tuple(root.rstrip("/") for root in roots if _SCHEME.match(root))
        self._folders: Final = tuple(Path(root).resolve() for root in roots if not _SCHEME.match(root))

    async def load(self, config: ModelConfig) -> None:
        """Start to serve a model from within the roots."""
        self._check(config)
        await self._admin.load(config)

    async def unload(self, model: str) -> None:
        """Stop to serve a model."""
        await self._admin.unload(model)

    async def replace(self, artifact: Artifact) -> None:
        """Serve an artifact in memory as its model's only version."""
        await self._admin.replace(artifact)

    def config_of(self, model: str) -> ModelConfig:
        """Return a model's configuration; raises ModelNotFoundError."""
        return self._admin.config_of(model)

    async def apply_config(self, models: Sequence[ModelConfig]) -> None:
        """Serve exactly these models, those that come or move from within the roots."""
        for config in models:
            self._check(config)
        await self._admin.apply_config(models)

    async def rescan(self, model: str | None = None) -> None:
        """Have the sources look again now."""
        await self._admin.rescan(model)

    def _check(self, config: ModelConfig) -> None:
        """Refuse a model outside of the roots, unless it is served from there already.

        Raises
        ------
        NaviError
            PERMISSION_DENIED: it is outside.
        """
        if not (self._uris or self._folders) or self._is_served(config):
            return
        if _SCHEME.match(config.path):
            parts = config.path.split("/")
            inside = ".." not in parts and any(
                config.path == uri or config.path.startswith(f"{uri}/") for uri in self._uris
            )
        else:
            # resolved, so that neither '..' nor a link leads out
            path = Path(config.path).expanduser().resolve()
            inside = any(path.is_relative_to(folder) for folder in self._folders)
        if not inside:
            raise NaviError(
                f"model '{config.model_name}': expected a path within the host's model_roots, got '{config.path}'",
                code=ErrorCode.PERMISSION_DENIED,
                reason="outside_model_roots",
            )

    def _is_served(self, config: ModelConfig) -> bool:
        try:
            return self._admin.config_of(config.model_name).path == config.path
        except ModelNotFoundError:
            return False
