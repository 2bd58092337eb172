"""ModelSource: says which versions of which models are wanted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from navi_core.contracts.artifact import Artifact

__all__ = ["Emit", "ModelSource", "VersionChoice", "WatchedModel"]

Emit: TypeAlias = Callable[[str, Sequence[Artifact]], None]
"""``emit(model, artifacts)``: the **whole** aspired set of one model; a version left out is unloaded."""


@dataclass(frozen=True, slots=True)
class VersionChoice:
    """Which of the versions that exist are wanted.

    Parameters
    ----------
    kind
        ``latest``: the ``num_latest`` largest numbers; ``all``; ``specific``: those listed that exist.
    num_latest
        At least 1; read for ``latest``.
    versions
        Read for ``specific``.
    """

    kind: Literal["latest", "all", "specific"] = "latest"
    num_latest: int = 1
    versions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedModel:
    """One model that a source watches.

    Parameters
    ----------
    name
        The model's name.
    location
        Where its version directories are: a path, or a URL of one of the source's schemes.
    choice
        Which versions are wanted.
    completeness
        ``stable``: a directory counts once no name, size or mtime in it changed for ``stable_ms``;
        ``marker``: once it holds the file ``marker``.
    stable_ms
        See ``completeness``; at start-up, directories that are older than this count at once.
    marker
        The marker file's name.
    """

    name: str
    location: str
    choice: VersionChoice = VersionChoice()
    completeness: Literal["stable", "marker"] = "stable"
    stable_ms: float = 2000.0
    marker: str = "_SUCCESS"


class ModelSource(ABC):
    """Watches something and emits whole aspired sets. It loads nothing. One instance per host.

    The host calls ``watch`` for each model, then runs ``run`` as one task on its loop; blocking work
    belongs in a thread, so that slow storage never stops the host.

    Attributes
    ----------
    name
        The word used in configuration; unique.
    schemes
        URL schemes of locations that it takes; the empty one is a plain path.
    before_scan
        Set by the host: to be awaited before every look (it may call ``watch`` and ``unwatch``); None: nothing.
    """

    name: ClassVar[str]
    schemes: ClassVar[frozenset[str]]
    before_scan: Callable[[], Awaitable[None]] | None = None

    @classmethod
    @abstractmethod
    def create(cls, *, poll_interval_s: float, now: Callable[[], float]) -> ModelSource:
        """Build the source.

        Parameters
        ----------
        poll_interval_s
            Seconds between looks; 0: look once; the first look is always taken.
        now
            The monotonic clock, in seconds.
        """

    @abstractmethod
    def watch(self, model: WatchedModel) -> None:
        """Watch one more model, or watch it differently from now on."""

    @abstractmethod
    def unwatch(self, name: str) -> None:
        """Forget a model; nothing is emitted for it any more."""

    @abstractmethod
    async def run(self, emit: Emit) -> None:
        """Emit aspired sets until cancelled.

        The first look at every model is emitted, also when it is empty; but not while a version that is
        being written could still become complete: whoever waits for the model takes an empty set for an answer.
        """

    @abstractmethod
    async def rescan(self, model: str | None = None) -> None:
        """Look again now, at one model or at all; returns when the result was emitted."""
