"""Replica: what one worker serves. It decides nothing: the parent says what to load, when to switch, what to drop.

It is to the data plane what the manager is in a host of one process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import structlog

from navi_core.batching.batcher import Batcher
from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.events import StateChanged
from navi_core.contracts.versions import ServableState, VersionStatus
from navi_core.errors import (
    ErrorCode,
    LabelNotFoundError,
    LifecycleError,
    ModelLoadError,
    ModelNotFoundError,
    NaviError,
    VersionNotFoundError,
)
from navi_core.messages import ModelRef
from navi_core.metrics.metrics import Metrics
from navi_core.models.keeper import Loads
from navi_core.models.opening import Opener
from navi_core.models.records import VersionRecord, not_ready, nothing_found
from navi_core.models.served import LoadedVersion
from navi_core.plugins.observers import Observers
from navi_core.tasks import Tasks
from navi_core.workers.protocol import ModelPicture

__all__ = ["Replica"]

log = structlog.get_logger(__name__)


class _Model:
    """One model: what the parent says of it, and the versions that are here."""

    def __init__(self, picture: ModelPicture) -> None:
        self.picture = picture
        self.versions: dict[int, VersionRecord] = {}
        self.current: VersionRecord | None = None
        self.was_tried = False
        self.waiters: list[asyncio.Future[None]] = []

    @property
    def _may_come(self) -> bool:
        busy = (ServableState.START, ServableState.LOADING)
        return not self.picture.was_looked_at or any(each.state in busy for each in self.picture.statuses)

    @property
    def _failure(self) -> VersionStatus | None:
        return next((each for each in self.picture.statuses if each.error_code is not ErrorCode.OK), None)

    def resolve(self, ref: ModelRef) -> VersionRecord:
        version = ref.version
        if ref.label is not None:
            version = self.picture.config.labels.get(ref.label)
            if version is None:
                raise LabelNotFoundError(ref.name, ref.label)
        if version is None:
            if self.current is None:
                raise not_ready(ref.name, may_come=self._may_come, has_failed=self._failure is not None)
            return self.current
        record = self.versions.get(version)
        if record is None:
            raise VersionNotFoundError(ref.name, version)
        return record

    def settle(self) -> None:
        """Answer those who wait, once it is clear how it went with all versions."""
        if self._may_come:
            return
        self.was_tried = True
        if self.waiters:
            self.answer(None if self.current is not None else self._why_none())

    def _why_none(self) -> NaviError:
        name, failure = self.picture.name, self._failure
        if failure is None:
            return nothing_found(name, self.picture.config)
        return ModelLoadError(
            failure.error_message, model=name, version=failure.version, code=failure.error_code
        )

    def answer(self, error: NaviError | None) -> None:
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)


class Replica:
    """The versions of one worker. Belongs to one event loop.

    Parameters
    ----------
    loader
        Loads and closes versions.
    opener
        Makes them answer.
    metrics, observers
        Who is told.
    """

    def __init__(self, loader: Loads, opener: Opener, *, metrics: Metrics, observers: Observers) -> None:
        self._loader = loader
        self._opener = opener
        self._metrics = metrics
        self._observers = observers
        self._models: dict[str, _Model] = {}
        self._prepared: dict[int, VersionRecord] = {}
        self._serving: dict[int, VersionRecord] = {}
        self._tickets: dict[VersionRecord, int] = {}
        self._loading: set[int] = set()
        self._discarded: set[int] = set()
        self._callbacks: dict[object, Callable[[], None]] = {}
        self._tasks = Tasks(log, "replica_task_failed")
        self._handles = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.on_removed: Callable[[int], None] = _nobody
        """Called with the ticket of a version that is closed."""

    # --- the parent's word ------------------------------------------------------------------------------

    async def prepare(self, ticket: int, config: ModelConfig, artifact: Artifact) -> LoadedVersion | None:
        """Load a version and keep it; None: it was discarded meanwhile, and is closed.

        Raises
        ------
        NaviError
            It cannot be loaded.
        """
        self._loading.add(ticket)
        try:
            loaded = await self._loader.load(config, artifact)
        finally:
            self._loading.discard(ticket)
            is_discarded = ticket in self._discarded
            self._discarded.discard(ticket)
        if is_discarded:
            await self._loader.close(loaded)
            return None
        record = VersionRecord(artifact, state=ServableState.LOADING)
        record.loaded = loaded
        self._prepared[ticket] = record
        return loaded

    def discard(self, ticket: int) -> None:
        """Close what was loaded in vain, or is being loaded."""
        record = self._prepared.pop(ticket, None)
        if record is None:
            if ticket in self._loading:
                self._discarded.add(ticket)
        elif record.loaded is not None:
            self._tasks.spawn(self._loader.close(record.loaded))

    def switch(
        self,
        add: Iterable[int] = (),
        remove: Iterable[int] = (),
        current: Mapping[str, int | None] | None = None,
    ) -> None:
        """Change what is served, in one step.

        Parameters
        ----------
        add, remove
            Tickets of prepared and of served versions.
        current
            Model -> the version that answers where none is asked for.
        """
        for ticket in add:
            self._add(ticket)
        for ticket in remove:
            self._remove(ticket)
        for name, version in (current or {}).items():
            model = self._models.get(name)
            if model is not None:
                model.current = None if version is None else model.versions.get(version)
        self._changed()

    def _add(self, ticket: int) -> None:
        record = self._prepared.pop(ticket, None)
        if record is None or record.loaded is None:
            raise LifecycleError(f"ticket {ticket} was not prepared here")
        model = self._models.get(record.artifact.name)
        if model is None:
            raise LifecycleError(f"model '{record.artifact.name}' is not known here")
        self._opener.open(record, record.loaded)
        record.state = ServableState.AVAILABLE
        model.versions[record.version] = record
        self._serving[ticket] = record
        self._tickets[record] = ticket

    def _remove(self, ticket: int) -> None:
        record = self._serving.pop(ticket, None)
        if record is None:  # a worker that came after it was replaced never had it
            self.on_removed(ticket)
            return
        record.state = ServableState.UNLOADING
        model = self._models.get(record.artifact.name)
        if model is not None:
            if model.versions.get(record.version) is record:
                del model.versions[record.version]
            if model.current is record:
                model.current = None
        if record.handles == 0:
            self._tasks.spawn(self._close_version(record))

    def paint(self, names: Sequence[str], changed: Iterable[ModelPicture]) -> None:
        """Take what the parent knows: all models' names, and those that changed."""
        for picture in changed:
            model = self._models.get(picture.name)
            before = None if model is None else model.picture
            if model is None:
                self._models[picture.name] = _Model(picture)
            else:
                model.picture = picture
            self._tell(before, picture)
        for name in [name for name in self._models if name not in names]:
            model = self._models.pop(name)
            self._metrics.forget_model(name)
            model.answer(ModelNotFoundError(name))
        self._models = {name: self._models[name] for name in names if name in self._models}
        self._changed()

    async def idle(self, timeout_s: float) -> None:
        """Wait until no request is running, but not for longer than this."""
        if self._handles:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._idle.wait()
            except TimeoutError:
                pass

    # --- using versions ---------------------------------------------------------------------------------

    def acquire(self, ref: ModelRef) -> VersionRecord:
        """Resolve a reference and take a handle; raises ModelError."""
        model = self._models.get(ref.name)
        if model is None:
            raise ModelNotFoundError(ref.name, version=ref.version)
        record = model.resolve(ref)
        record.handles += 1
        self._handles += 1
        if self._handles == 1:
            self._idle.clear()
        return record

    def release(self, record: VersionRecord) -> None:
        """Give a handle back."""
        record.handles -= 1
        self._handles -= 1
        if self._handles == 0:
            self._idle.set()
        if record.handles == 0 and record.state is ServableState.UNLOADING:
            self._tasks.spawn(self._close_version(record))

    # --- what there is ------------------------------------------------------------------------------------

    def names(self) -> Sequence[str]:
        """Return the models' names, in order."""
        return list(self._models)

    def config_of(self, name: str) -> ModelConfig:
        """Return a model's configuration; raises ModelNotFoundError."""
        return self._model(name).picture.config

    def is_available(self, name: str) -> bool:
        """Tell whether a version of the model can answer; raises ModelNotFoundError."""
        return self._model(name).current is not None

    def was_tried(self, name: str) -> bool:
        """Tell whether all versions wanted at first were loaded or could not be; raises ModelNotFoundError."""
        return self._model(name).was_tried

    def status(self, name: str) -> Sequence[VersionStatus]:
        """Return every known version, oldest first, as all workers say it; raises ModelNotFoundError."""
        return self._model(name).picture.statuses

    def batchers(self) -> Iterator[tuple[str, int, Batcher]]:
        """Yield model, version and batcher of everything that is loaded."""
        for record in self._tickets:
            if record.batcher is not None:
                yield record.artifact.name, record.version, record.batcher

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have ``callback`` called after any change; returns the undo."""
        token = object()
        self._callbacks[token] = callback
        return lambda: self._callbacks.pop(token, None) and None

    async def wait_available(self, name: str) -> None:
        """Return once all wanted versions were tried and one can answer; ModelLoadError, ModelNotFoundError."""
        model = self._model(name)
        waiter = asyncio.get_running_loop().create_future()
        model.waiters.append(waiter)
        model.settle()
        await waiter

    # --- the end ------------------------------------------------------------------------------------------

    async def close(self, timeout_s: float) -> None:
        """Unload everything that is loaded, within the time; loads, and runs that do not end, are abandoned."""
        for ticket in list(self._serving):
            self._remove(ticket)
        for ticket in list(self._prepared):
            self.discard(ticket)
        end = asyncio.get_running_loop().time() + timeout_s
        await self.idle(timeout_s)
        left_s = max(end - asyncio.get_running_loop().time(), 0.0)
        if self._tasks.running:
            _, stuck = await asyncio.wait(set(self._tasks.running), timeout=left_s)
            for task in stuck:
                task.cancel()
        if self._handles:
            log.warning("runs_abandoned", requests=self._handles, timeout_s=timeout_s)

    async def _close_version(self, record: VersionRecord) -> None:
        loaded, batcher = record.loaded, record.batcher
        if loaded is None or batcher is None:
            return
        record.loaded = record.batcher = None
        await batcher.close()
        await self._loader.close(loaded)
        record.state = ServableState.END
        name, version = record.artifact.name, record.version
        model = self._models.get(name)
        if model is None or version not in model.versions:
            self._metrics.forget(name, version)
        log.info("servable_unloaded", model=name, version=version)
        self.on_removed(self._tickets.pop(record))

    # --- telling --------------------------------------------------------------------------------------------

    def _tell(self, before: ModelPicture | None, after: ModelPicture) -> None:
        if not self._observers.any_state_changed:
            return
        for status in after.statuses:
            state = None if before is None else before.state_of(status.version)
            if state is not status.state:
                self._observers.state_changed(
                    StateChanged(
                        model=after.name,
                        version=status.version,
                        before=state,
                        after=status.state,
                        error=status.error_message,
                    )
                )

    def _changed(self) -> None:
        for model in self._models.values():
            model.settle()
        for callback in list(self._callbacks.values()):
            callback()

    def _model(self, name: str) -> _Model:
        model = self._models.get(name)
        if model is None:
            raise ModelNotFoundError(name)
        return model


def _nobody(ticket: int) -> None:
    del ticket
