"""A directory of model directories, all of which are served (``--model-repository``): those that come, too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from navi_core.config.records import ModelConfig
from navi_core.errors import ConfigError, NaviError
from navi_core.sources.directory_scan import model_directories

if TYPE_CHECKING:
    from navi_core.cli.tf_serving_follow import Followed

__all__ = ["REPOSITORY_FLAG", "follow_repositories", "models_in"]

log = structlog.get_logger(__name__)

REPOSITORY_FLAG: Final = "--model-repository"
_FIRST_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 300.0


def models_in(folders: Iterable[Path], known: Iterable[str] = ()) -> tuple[ModelConfig, ...]:
    """Return the models of directories of models, sorted by name.

    Parameters
    ----------
    folders
        Directories that hold ``NAME/VERSION/...``. What else is in them is no model.
    known
        Names that are configured already: what is said of these by name holds.

    Raises
    ------
    ConfigError
        One of them cannot be listed, or two hold models of one name.
    """
    places: dict[str, Path] = {}
    for folder in folders:
        for name in _names(folder):
            if name in places:
                msg = f"expected names of their own, got '{name}' in {places[name]} and in {folder}"
                raise ConfigError(msg, path=REPOSITORY_FLAG)
            places[name] = folder
    configured = frozenset(known)
    return tuple(
        ModelConfig(path=str(places[name] / name)) for name in sorted(places) if name not in configured
    )


def _names(folder: Path) -> Sequence[str]:
    try:
        return model_directories(folder, at_most=None)
    except OSError as error:
        msg = f"expected a directory of model directories, got '{folder}': {error.strerror}"
        raise ConfigError(msg, path=REPOSITORY_FLAG) from None


@dataclass(slots=True)
class _Failed:
    """A model that came and could not be loaded: when it is tried again."""

    due: float
    pause_s: float


async def follow_repositories(
    host: Followed,
    folders: Sequence[Path],
    poll_interval_s: float,
    *,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Serve models whose directories come, and stop to serve those whose directories go; never returns.

    A model that a client unloaded stays unloaded, and one that cannot be loaded is tried again with growing pauses. A
    directory that cannot be listed changes nothing: storage that is away for a while takes no model with it.

    Parameters
    ----------
    host
        Running, with the models that were there when it started.
    folders
        Directories of model directories.
    poll_interval_s
        Seconds between looks; 0: none are taken.
    now
        The monotonic clock, in seconds.
    """
    if poll_interval_s <= 0:
        return
    taken = {
        name: config.path
        for name in host.models()
        if Path((config := host.admin.config_of(name)).path).parent in folders
    }
    failed: dict[str, _Failed] = {}
    told = ""
    while True:
        await asyncio.sleep(poll_interval_s)
        try:
            found = await asyncio.to_thread(models_in, folders)
            gone = [name for name, path in taken.items() if not await asyncio.to_thread(Path(path).is_dir)]
        except (NaviError, OSError) as error:
            if str(error) != told:
                told = str(error)
                log.warning("model_repository_problem", error=told)
            continue
        told = ""
        for name in gone:
            del taken[name]
            await _unload(host, name)
        for config in found:
            name = config.model_name
            is_new = name not in taken and name not in host.models()
            before = failed.get(name)
            if not is_new or (before is not None and now() < before.due):
                continue
            pause_s = await _load(host, config, before)
            if pause_s is None:
                failed.pop(name, None)
                taken[name] = config.path
            else:
                failed[name] = _Failed(now() + pause_s, pause_s)


async def _load(host: Followed, config: ModelConfig, before: _Failed | None) -> float | None:
    """Load a model, and return after how many seconds to try again; None: it serves."""
    name = config.model_name
    try:
        await host.admin.load(config)
    except NaviError as error:
        pause_s = _FIRST_PAUSE_S if before is None else min(before.pause_s * 2, _LONGEST_PAUSE_S)
        log.error("model_refused", model=name, error=error.message, retry_in_s=pause_s)  # noqa: TRY400 - the text says it all
        return pause_s
    log.info("model_added", model=name, path=config.path)
    return None


async def _unload(host: Followed, name: str) -> None:
    try:
        await host.admin.unload(name)
    except NaviError:  # a client was quicker
        return
    log.info("model_removed", model=name)
