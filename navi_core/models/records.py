"""What the manager knows: every configured model, and every life of its versions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from navi_core.batching.batcher import Batcher
from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.versions import ServableState, VersionStatus
from navi_core.errors import (
    ErrorCode,
    LabelNotFoundError,
    ModelLoadError,
    ModelNotReadyError,
    NaviError,
    VersionNotFoundError,
)
from navi_core.messages import ModelRef
from navi_core.models.served import LoadedVersion

__all__ = ["ModelRecord", "VersionRecord", "not_ready", "nothing_found"]

MAX_ENDED: Final = 16
"""Ended versions that status calls still show, per model."""


@dataclass(slots=True, eq=False)
class VersionRecord:
    """One life of one version.

    Parameters
    ----------
    artifact
        What it is loaded from.
    attempts
        Loads of this version that failed before this life.

    Attributes
    ----------
    error
        Why this life ended, where it ended badly.
    renewal_error
        Why what its contents were replaced with could not be loaded when that was tried last; it serves what it was
        loaded from.
    """

    artifact: Artifact
    attempts: int = 0
    state: ServableState = ServableState.START
    loaded: LoadedVersion | None = None
    batcher: Batcher | None = None
    handles: int = 0
    error: NaviError | None = None
    renewal_error: NaviError | None = None
    retry: asyncio.TimerHandle | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def version(self) -> int:
        """The version's number."""
        return self.artifact.version

    @property
    def fault(self) -> NaviError | None:
        """What status calls say is wrong with it; None: nothing."""
        return self.renewal_error if self.state is ServableState.AVAILABLE else self.error


@dataclass(slots=True, eq=False)
class ModelRecord:
    """One configured model: its versions, what is wanted of it, and who waits for it.

    Parameters
    ----------
    config
        Its configuration.
    name
        Its name.
    """

    config: ModelConfig
    name: str
    versions: dict[int, VersionRecord] = field(default_factory=dict)
    retiring: set[VersionRecord] = field(default_factory=set)
    aspired: dict[int, Artifact] = field(default_factory=dict)
    current: VersionRecord | None = None
    was_looked_at: bool = False
    is_leaving: bool = False
    was_tried: bool = False
    """Whether every version that was wanted at first has been loaded, or could not be."""
    waiters: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def is_busy(self) -> bool:
        """Whether a version is about to load, or loading."""
        return any(
            record.state in (ServableState.START, ServableState.LOADING) for record in self.versions.values()
        )

    @property
    def last_failure(self) -> NaviError | None:
        """The error of the version that failed last; None: none has."""
        return next(
            (record.error for record in reversed(self.versions.values()) if record.error is not None), None
        )

    def choose_current(self) -> None:
        """Move the traffic: the newest available version that is wanted, else the newest available one."""
        self.current = max(
            (record for record in self.versions.values() if record.state is ServableState.AVAILABLE),
            key=lambda record: (record.version in self.aspired, record.version),
            default=None,
        )

    def trim(self) -> None:
        """Forget the oldest of the ended versions that nobody wants."""
        ended = [
            record
            for record in self.versions.values()
            if record.state is ServableState.END and record.version not in self.aspired
        ]
        for record in ended[:-MAX_ENDED]:
            del self.versions[record.version]

    def statuses(self) -> list[VersionStatus]:
        """Return every known version, oldest first."""
        labels: dict[int, list[str]] = {}
        for label, version in self.config.labels.items():
            labels.setdefault(version, []).append(label)
        return [
            VersionStatus(
                version=record.version,
                state=record.state,
                error_code=record.fault.code if record.fault else ErrorCode.OK,
                error_message=record.fault.message if record.fault else "",
                labels=tuple(labels.get(record.version, ())),
            )
            for record in sorted(self.versions.values(), key=lambda one: one.version)
        ]

    def resolve(self, ref: ModelRef) -> VersionRecord:
        """Return the version that a reference means.

        Raises
        ------
        VersionNotFoundError, LabelNotFoundError, ModelNotReadyError
            There is none that can answer.
        """
        version = ref.version
        if ref.label is not None:
            version = self.config.labels.get(ref.label)
            if version is None:
                raise LabelNotFoundError(ref.name, ref.label)
        if version is None:
            if self.current is None:
                raise self._not_ready()
            return self.current
        record = self.versions.get(version)
        if record is None or record.state is not ServableState.AVAILABLE:
            raise VersionNotFoundError(ref.name, version)
        return record

    def _not_ready(self) -> ModelNotReadyError:
        return not_ready(
            self.name,
            may_come=self.is_busy or not self.was_looked_at,
            has_failed=self.last_failure is not None,
        )

    def settle(self) -> None:
        """Answer those who wait for the model, once it is clear how it went with all of its versions."""
        if self.is_busy or not self.was_looked_at:
            return
        self.was_tried = True
        if not self.waiters:
            return
        if self.current is not None:
            self.answer_waiters(None)
        else:
            self.answer_waiters(self.last_failure or nothing_found(self.name, self.config))

    def answer_waiters(self, error: NaviError | None) -> None:
        """Tell everybody who waits that a version can answer, or why none can."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)


def not_ready(model: str, *, may_come: bool, has_failed: bool) -> ModelNotReadyError:
    """Return what a request gets while no version of a model can answer.

    Parameters
    ----------
    model
        Its name.
    may_come
        A version is loading, or the source has not looked yet.
    has_failed
        A version could not be loaded.
    """
    if may_come:
        return ModelNotReadyError(f"model '{model}' is not loaded yet", model=model)
    if has_failed:
        return ModelNotReadyError(f"no version of model '{model}' could be loaded", model=model)
    return ModelNotReadyError(f"model '{model}' has no version to serve", model=model)


def nothing_found(model: str, config: ModelConfig) -> ModelLoadError:
    """Return what those get who wait for a model of which there is no version."""
    return ModelLoadError(f"no complete version of model '{model}' was found in '{config.path}'", model=model)
