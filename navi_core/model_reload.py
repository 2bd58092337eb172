"""Models of a configuration that was read again: what changed is done, all of it or nothing, and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import structlog

from navi_core.config.records import HostConfig, ModelConfig
from navi_core.contracts.planes import Admin
from navi_core.errors import NaviError

__all__ = ["Reloadable", "other_settings", "reload_models"]

log = structlog.get_logger(__name__)

_MODELS: Final = "models"


class Reloadable(Protocol):
    """A running host, or the parent of several workers."""

    @property
    def admin(self) -> Admin:
        """Admin operations."""
        ...

    def models(self) -> Sequence[str]:
        """Return the names of all models."""
        ...


async def reload_models(
    host: Reloadable, before: Sequence[ModelConfig], after: Sequence[ModelConfig]
) -> bool:
    """Serve what a configuration says now, or go on as before; tell in the log which.

    Models that the configuration never had (they came by an admin operation) stay. Those of the configuration are
    served as it says, also if a client unloaded one meanwhile.

    Parameters
    ----------
    host
        Running.
    before
        The models that the configuration had when it was read last.
    after
        Those that it has now.

    Returns
    -------
    is_done
        False: it was refused, and nothing changed.
    """
    running = {name: host.admin.config_of(name) for name in host.models()}
    ours = {model.model_name for model in (*before, *after)}
    kept = [model for name, model in running.items() if name not in ours]
    try:
        changes = _changes(running, {model.model_name: model for model in (*after, *kept)})
        if not any(changes.values()):
            log.info("config_unchanged", models=list(running))
            return True
        await host.admin.apply_config((*after, *kept))
    except NaviError as error:
        log.error("config_refused", error=error.message)  # noqa: TRY400 - the text says it all
        return False
    log.info("config_reloaded", **{what: names for what, names in changes.items() if names})
    return True


def _changes(running: Mapping[str, ModelConfig], wanted: Mapping[str, ModelConfig]) -> dict[str, list[str]]:
    return {
        "added": [name for name in wanted if name not in running],
        "removed": [name for name in running if name not in wanted],
        "changed": [name for name in wanted if name in running and running[name] != wanted[name]],
    }


def other_settings(before: HostConfig, after: HostConfig) -> list[str]:
    """Return what differs between two configurations beside their models: it needs another start."""

    def of(config: HostConfig) -> dict[str, Any]:
        return {name: getattr(config, name) for name in config.__struct_fields__ if name != _MODELS}

    ours, theirs = of(before), of(after)
    return [name for name, value in ours.items() if value != theirs[name]]
