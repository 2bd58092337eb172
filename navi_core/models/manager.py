"""The manager: makes what is loaded follow what is wanted, and hands out the right to use a version.

Sources say which versions of a model are *aspired*; :func:`~navi_core.models.version_policy.next_action` says what to
do next; this file does it: loads on threads of their own, moves traffic in one step, unloads when the last
handle came back. All of it runs on the event loop except the loads and closes themselves.

Where the contents of a version are replaced (a model that is a single file), the new ones are loaded beside those that
serve: :mod:`navi_core.models.renewal`.

A failed load ends that life of the version with its error; a new life begins after a back-off, as long as the
version is wanted. The versions that serve are not touched by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

import structlog

from navi_core.batching.batcher import Batcher
from navi_core.batching.buffers import BufferPool
from navi_core.batching.threads import RunThreads
from navi_core.config.records import HostConfig, ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.events import StateChanged
from navi_core.contracts.versions import ServableState, VersionStatus
from navi_core.errors import (
    ModelConflictError,
    ModelNotFoundError,
    NaviError,
)
from navi_core.messages import ModelRef
from navi_core.metrics.metrics import Metrics
from navi_core.models.keeper import Loads
from navi_core.models.lifecycle import Event, advance
from navi_core.models.opening import Opener
from navi_core.models.records import ModelRecord, VersionRecord
from navi_core.models.renewal import Renewals, backoff_s
from navi_core.models.served import LoadedVersion
from navi_core.models.version_loader import VersionLoader
from navi_core.models.version_policy import Load, Unload, VersionSnapshot, next_action
from navi_core.plugins.observers import Observers
from navi_core.plugins.registry import Registry
from navi_core.tasks import Tasks

__all__ = ["ServableManager", "VersionRecord"]

log = structlog.get_logger(__name__)


class ServableManager:
    """All models of one host. Belongs to one event loop.

    Parameters
    ----------
    registry
        Installed runtimes and converters.
    config
        Limits, retries and plugin options of the host.
    pool
        Buffers for batches.
    threads
        Where batches run.
    metrics, observers
        Who is told.
    max_concurrent_batches
        Batches of one model that run at once, where its settings do not say.
    loader
        Loads the versions; None: threads of this process do.
    """

    def __init__(
        self,
        registry: Registry,
        config: HostConfig,
        *,
        pool: BufferPool,
        threads: RunThreads,
        metrics: Metrics,
        observers: Observers,
        max_concurrent_batches: int,
        loader: Loads | None = None,
    ) -> None:
        self._config = config
        self._opener = Opener(pool=pool, threads=threads, metrics=metrics)
        self._metrics = metrics
        self._observers = observers
        self._loader: Loads = loader or VersionLoader(
            registry, config, metrics, max_concurrent_batches=max_concurrent_batches
        )
        self._models: dict[str, ModelRecord] = {}
        self._callbacks: dict[object, Callable[[], None]] = {}
        self._tasks = Tasks(log, "manager_task_failed")
        self._loop = asyncio.get_running_loop()
        self._is_closing = False
        self._renewals = Renewals(
            loader=self._loader,
            swap=self._swap,
            on_fault=self._changed,
            spawn=self._tasks.spawn,
            interval_s=config.load_retry_interval_s,
            max_retries=config.max_load_retries,
        )

    # --- what is configured ----------------------------------------------------------------------

    def add_model(self, config: ModelConfig) -> None:
        """Know a model from now on.

        Raises
        ------
        ModelConflictError
            The name is taken.
        """
        name = config.model_name
        if name in self._models:
            msg = f"model '{name}' is served already"
            raise ModelConflictError(msg, model=name)
        self._models[name] = ModelRecord(config, name)
        self._changed()

    def reconfigure_model(self, config: ModelConfig) -> None:
        """Use another configuration for the loads that come; labels and transition count at once."""
        self._model(config.model_name).config = config
        self._changed()

    async def remove_model(self, name: str) -> None:
        """Answer no more requests for a model; returns once its versions are unloaded."""
        model = self._model(name)
        model.is_leaving = True
        self.set_aspired(name, ())
        while model.versions or model.retiring:
            record = next(iter((*model.versions.values(), *model.retiring)))
            if record.state is ServableState.END:
                model.versions.pop(record.version, None)
                model.retiring.discard(record)
                continue
            await record.gone.wait()
        self._models.pop(name, None)
        self._metrics.forget_model(name)
        model.answer_waiters(ModelNotFoundError(name))
        self._changed()

    def set_aspired(self, name: str, artifacts: Sequence[Artifact]) -> None:
        """Take a whole aspired set from a source; of an unknown model it is dropped."""
        model = self._models.get(name)
        if model is None or self._is_closing:
            return
        model.was_looked_at = True
        model.aspired = {artifact.version: artifact for artifact in artifacts}
        for version, artifact in model.aspired.items():
            record = model.versions.get(version)
            if record is None or (record.state is ServableState.END and self._is_new_life(record, artifact)):
                self._born(model, artifact)
        for version, record in list(model.versions.items()):
            if version in model.aspired:
                continue
            if record.retry is not None:
                record.retry.cancel()
                record.retry = None
            if record.state is ServableState.START:
                self._advance(model, record, Event.DROPPED)
        self._step(model)
        self._renew(model)

    def _renew(self, model: ModelRecord) -> None:
        """Begin to load anew what is not any more what it was loaded from."""
        for version, artifact in model.aspired.items():
            record = model.versions.get(version)
            if record is None or self._is_closing:
                continue
            if record.artifact.revision == artifact.revision:
                self._renewals.settle(record)
            elif record.state is ServableState.START:
                record.artifact = artifact
            elif record.state is ServableState.AVAILABLE and model.config.transition == "resource":
                self._retire(model, record)  # its next life begins when this one has ended
            elif record.state is ServableState.AVAILABLE:
                self._renewals.begin(model, record)

    @staticmethod
    def _is_new_life(record: VersionRecord, artifact: Artifact) -> bool:
        """Tell whether an ended version begins anew: it ended well, or what it is loaded from has changed."""
        return record.error is None or record.artifact != artifact

    def _born(self, model: ModelRecord, artifact: Artifact, attempts: int = 0) -> VersionRecord:
        record = VersionRecord(artifact, attempts)
        model.versions.pop(artifact.version, None)  # the newest life comes last
        model.versions[artifact.version] = record
        self._metrics.state_changed(model.name, record.version, None, record.state)
        self._tell(model, record, None)
        return record

    # --- using versions ----------------------------------------------------------------------------

    def acquire(self, ref: ModelRef) -> VersionRecord:
        """Resolve a reference and take a handle; give it back with :meth:`release`.

        Raises
        ------
        ModelNotFoundError, VersionNotFoundError, LabelNotFoundError, ModelNotReadyError
            It cannot be resolved.
        """
        model = self._models.get(ref.name)
        if model is None or model.is_leaving:
            raise ModelNotFoundError(ref.name, version=ref.version)
        record = model.resolve(ref)
        record.handles += 1
        return record

    def release(self, record: VersionRecord) -> None:
        """Give a handle back."""
        record.handles -= 1
        if record.handles == 0 and record.state is ServableState.UNLOADING:
            model = self._models.get(record.artifact.name)
            if model is not None:
                self._tasks.spawn(self._close_version(model, record))

    # --- what there is -------------------------------------------------------------------------------

    def names(self) -> Sequence[str]:
        """Return the models' names, in order of configuration."""
        return [name for name, model in self._models.items() if not model.is_leaving]

    def config_of(self, name: str) -> ModelConfig:
        """Return a model's configuration; raises ModelNotFoundError."""
        return self._model(name).config

    def was_looked_at(self, name: str) -> bool:
        """Tell whether the model's source has looked; raises ModelNotFoundError."""
        return self._model(name).was_looked_at

    def aspired_versions(self, name: str) -> frozenset[int]:
        """Return the versions that are wanted of a model; none of an unknown one."""
        model = self._models.get(name)
        return frozenset() if model is None else frozenset(model.aspired)

    def current_version(self, name: str) -> int | None:
        """Return the version that answers when none is asked for; None: none does."""
        model = self._models.get(name)
        return model.current.version if model is not None and model.current is not None else None

    def is_available(self, name: str) -> bool:
        """Tell whether a version of the model can answer; raises ModelNotFoundError."""
        return self._model(name).current is not None

    def was_tried(self, name: str) -> bool:
        """Tell whether all versions wanted at first were loaded or could not be; raises ModelNotFoundError."""
        return self._model(name).was_tried

    def status(self, name: str) -> Sequence[VersionStatus]:
        """Return every known version, oldest first; raises ModelNotFoundError."""
        return self._model(name).statuses()

    def batchers(self) -> Iterator[tuple[str, int, Batcher]]:
        """Yield model, version and batcher of everything that is loaded."""
        for model in self._models.values():
            for record in (*model.versions.values(), *model.retiring):
                if record.batcher is not None:
                    yield model.name, record.version, record.batcher

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have ``callback`` called after any change; returns the undo."""
        token = object()
        self._callbacks[token] = callback
        return lambda: self._callbacks.pop(token, None) and None

    async def wait_available(self, name: str) -> None:
        """Return once every wanted version of the model was loaded, or could not be, and one can answer.

        Raises
        ------
        ModelLoadError
            The first look found no version, or none of those found could be loaded.
        ModelNotFoundError
            No such model, or it was removed meanwhile.
        """
        model = self._model(name)
        waiter = self._loop.create_future()
        model.waiters.append(waiter)
        model.settle()
        await waiter

    # --- moving ----------------------------------------------------------------------------------------

    def _step(self, model: ModelRecord) -> None:
        """Do what the policy says until it says nothing."""
        while True:
            snapshots = [
                VersionSnapshot(record.version, record.state, record.version in model.aspired)
                for record in model.versions.values()
            ]
            match next_action(snapshots, model.config.transition):
                case Load(version):
                    record = model.versions[version]
                    self._advance(model, record, Event.LOAD_STARTED)
                    self._tasks.spawn(self._load(model, record))
                case Unload(version):
                    self._retire(model, model.versions[version])
                case _:
                    break
        was_tried = model.was_tried
        model.settle()
        if model.was_tried and not was_tried:
            self._changed()

    async def _load(self, model: ModelRecord, record: VersionRecord) -> None:
        """Load one version and make it available, or end its life."""
        try:
            loaded = await self._loader.load(model.config, record.artifact)
        except NaviError as error:
            self._failed(model, record, error)
        else:
            self._opener.open(record, loaded)
            self._advance(model, record, Event.LOAD_SUCCEEDED)
        self._step(model)
        self._renew(model)

    def _failed(self, model: ModelRecord, record: VersionRecord, error: NaviError) -> None:
        """End a life that could not begin, and plan the next one."""
        record.error = error
        attempts = record.attempts + 1
        limit = self._config.max_load_retries
        retries_left = (limit is None or attempts <= limit) and record.version in model.aspired
        delay_s = backoff_s(self._config.load_retry_interval_s, attempts)
        log.error(
            "servable_load_failed",
            model=model.name,
            version=record.version,
            error=error.message,
            attempt=attempts,
            retry_in_s=delay_s if retries_left else None,
            serving_version=model.current.version if model.current else None,
        )
        if retries_left and not self._is_closing:
            record.retry = self._loop.call_later(delay_s, self._try_again, model, record)
        self._advance(model, record, Event.LOAD_FAILED)

    def _try_again(self, model: ModelRecord, record: VersionRecord) -> None:
        record.retry = None
        artifact = model.aspired.get(record.version)
        if artifact is not None and model.versions.get(record.version) is record and not self._is_closing:
            self._born(model, artifact, record.attempts + 1)
            self._step(model)

    def _retire(self, model: ModelRecord, record: VersionRecord) -> None:
        """Take a version out of the traffic; it is closed when its last handle came back."""
        self._advance(model, record, Event.UNLOAD_STARTED)
        if record.handles == 0:
            self._tasks.spawn(self._close_version(model, record))

    async def _close_version(self, model: ModelRecord, record: VersionRecord) -> None:
        if record.state is not ServableState.UNLOADING or record.loaded is None or record.batcher is None:
            return
        loaded, batcher = record.loaded, record.batcher
        record.loaded = record.batcher = None
        await batcher.close()
        await self._loader.close(loaded)
        self._advance(model, record, Event.UNLOAD_FINISHED)
        if record in model.retiring:
            model.retiring.discard(record)
        else:
            self._metrics.forget(model.name, record.version)
        log.info("servable_unloaded", model=model.name, version=record.version)
        wanted = model.aspired.get(record.version)
        if wanted is not None and model.versions.get(record.version) is record and not self._is_closing:
            self._born(model, wanted)  # it was wanted again, or anew, while it went
        self._step(model)

    async def replace(self, artifact: Artifact) -> None:
        """Serve ``artifact`` as its model's only version, in one step.

        Raises
        ------
        ModelNotFoundError
            No such model.
        ModelLoadError
            It cannot be loaded; what served goes on serving.
        """
        model = self._model(artifact.name)
        loaded = await self._loader.load(model.config, artifact)
        model.was_looked_at = True  # what is wanted of it is known, without a source
        model.aspired = {artifact.version: artifact}
        self._swap(model, artifact, loaded)

    def _swap(self, model: ModelRecord, artifact: Artifact, loaded: LoadedVersion) -> None:
        """Serve what was loaded; a version of its number, and those that nobody wants, go once they are idle."""
        old = [record for record in model.versions.values() if record.state is ServableState.AVAILABLE]
        same = model.versions.pop(artifact.version, None)
        record = self._born(model, artifact)
        self._advance(model, record, Event.LOAD_STARTED)
        self._opener.open(record, loaded)
        self._advance(model, record, Event.LOAD_SUCCEEDED)
        for each in old:
            if each is same:
                model.retiring.add(each)
            if each is same or each.version not in model.aspired:
                self._retire(model, each)
        self._step(model)
        self._renew(model)

    def _advance(self, model: ModelRecord, record: VersionRecord, event: Event) -> None:
        before = record.state
        record.state = advance(before, event)
        if record.state is ServableState.END:
            record.gone.set()
            model.trim()
        model.choose_current()
        if record not in model.retiring:
            self._metrics.state_changed(model.name, record.version, before, record.state)
        self._tell(model, record, before)

    def _tell(self, model: ModelRecord, record: VersionRecord, before: ServableState | None) -> None:
        if self._observers.any_state_changed:
            self._observers.state_changed(
                StateChanged(
                    model=model.name,
                    version=record.version,
                    before=before,
                    after=record.state,
                    error=record.error.message if record.error else "",
                )
            )
        self._changed()

    def _changed(self) -> None:
        for callback in list(self._callbacks.values()):
            callback()

    # --- the end -----------------------------------------------------------------------------------------

    async def close(self, timeout_s: float) -> None:
        """Unload everything that is loaded, within the time; loads, and runs that do not end, are abandoned."""
        self._is_closing = True
        for model in self._models.values():
            for record in model.versions.values():
                if record.retry is not None:
                    record.retry.cancel()
                    record.retry = None
                if record.state is ServableState.AVAILABLE:
                    self._retire(model, record)
        pending = [
            asyncio.ensure_future(record.gone.wait())
            for model in self._models.values()
            for record in (*model.versions.values(), *model.retiring)
            if record.state is ServableState.UNLOADING
        ]
        if pending:
            _, stuck = await asyncio.wait(pending, timeout=timeout_s)
            if stuck:
                log.warning("runs_abandoned", versions=len(stuck), timeout_s=timeout_s)
            for each in stuck:
                each.cancel()
        for task in list(self._tasks.running):
            task.cancel()
        await asyncio.gather(*self._tasks.running, return_exceptions=True)

    def _model(self, name: str) -> ModelRecord:
        model = self._models.get(name)
        if model is None:
            raise ModelNotFoundError(name)
        return model
