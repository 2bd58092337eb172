"""What becomes of a version whose contents are replaced while it serves: they are loaded beside it, then swapped in.

Only places without version numbers have this (a model that is a single file): its artifact has another revision then.
The version that serves is not touched until the new contents have loaded and are warm. Contents that cannot be loaded
are tried again after a back-off, and at once when they have changed again or somebody asks for the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.versions import ServableState
from navi_core.errors import NaviError
from navi_core.models.keeper import Loads
from navi_core.models.records import ModelRecord, VersionRecord
from navi_core.models.served import LoadedVersion

__all__ = ["Renewals", "backoff_s"]

log = structlog.get_logger(__name__)

_MAX_BACKOFF_S: Final = 300.0


def backoff_s(interval_s: float, attempts: int) -> float:
    """Return how long to wait after so many attempts, the first being 1."""
    return min(interval_s * 2.0 ** min(attempts - 1, 16), _MAX_BACKOFF_S)


class Renewals:
    """The renewals of one manager. On its loop.

    Parameters
    ----------
    loader
        Loads, and closes what was loaded in vain.
    swap
        Serves what was loaded in place of a version, in one step.
    on_fault
        Called when a version's ``renewal_error`` has changed.
    spawn
        Runs work for as long as the manager.
    interval_s, max_retries
        The first back-off, and how often contents are tried again; None: for ever.
    """

    def __init__(
        self,
        *,
        loader: Loads,
        swap: Callable[[ModelRecord, Artifact, LoadedVersion], None],
        on_fault: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        interval_s: float,
        max_retries: int | None,
    ) -> None:
        self._loader = loader
        self._swap = swap
        self._on_fault = on_fault
        self._spawn = spawn
        self._interval_s = interval_s
        self._max_retries = max_retries
        self._running: dict[VersionRecord, asyncio.Event] = {}

    def begin(self, model: ModelRecord, record: VersionRecord) -> None:
        """Load what a version that serves has become, unless that is under way; then it does not wait any longer."""
        wake = self._running.get(record)
        if wake is not None:
            wake.set()
            return
        wake = self._running[record] = asyncio.Event()
        self._spawn(self._renew(model, record, wake))

    def settle(self, record: VersionRecord) -> None:
        """Take note that a version is wanted as it is: what its contents were replaced with is gone again."""
        self._set_fault(record, None)

    async def _renew(self, model: ModelRecord, record: VersionRecord, wake: asyncio.Event) -> None:
        try:
            attempts = 0
            last = record.artifact.revision
            while (artifact := _wanted(model, record)) is not None:
                attempts = attempts + 1 if artifact.revision == last else 1
                last = artifact.revision
                wake.clear()
                try:
                    loaded = await self._loader.load(model.config, artifact)
                except NaviError as error:
                    if _wanted(model, record) is not None:
                        self._set_fault(record, error)
                    if not await self._rest(record, error, attempts, wake):
                        return
                    continue
                if _wanted(model, record) is None:
                    await self._loader.close(loaded)
                else:  # it may have changed once more: the swap looks
                    del self._running[record]
                    self._swap(model, artifact, loaded)
                    return
        finally:
            self._running.pop(record, None)

    def _set_fault(self, record: VersionRecord, error: NaviError | None) -> None:
        if record.renewal_error is not error:
            record.renewal_error = error
            self._on_fault()

    async def _rest(
        self, record: VersionRecord, error: NaviError, attempts: int, wake: asyncio.Event
    ) -> bool:
        """Wait before the next attempt; False: there is none."""
        is_last = self._max_retries is not None and attempts > self._max_retries
        delay_s = None if is_last else backoff_s(self._interval_s, attempts)
        log.error(
            "servable_renewal_failed",
            model=record.artifact.name,
            version=record.version,
            error=error.message,
            attempt=attempts,
            retry_in_s=delay_s,
        )
        if delay_s is None:
            return wake.is_set()
        try:
            async with asyncio.timeout(delay_s):
                await wake.wait()
        except TimeoutError:
            pass
        return True


def _wanted(model: ModelRecord, record: VersionRecord) -> Artifact | None:
    """Return what a version should be loaded from instead; None: it is as it should be, or does not serve."""
    artifact = model.aspired.get(record.version)
    if (
        artifact is None
        or model.versions.get(record.version) is not record
        or record.state is not ServableState.AVAILABLE
        or record.artifact.revision == artifact.revision
    ):
        return None
    return artifact
