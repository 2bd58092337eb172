"""DataPlane and Admin: what services may ask of the host, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.versions import VersionStatistics, VersionStatus
from navi_core.errors import ErrorCode, NaviError
from navi_core.messages import InferenceRequest, InferenceResponse, ModelRef
from navi_core.signature import Signature

if TYPE_CHECKING:
    from types import TracebackType

    from navi_core.config.records import ModelConfig

__all__ = ["Admin", "DataPlane", "ModelHandle"]


class ModelHandle(Protocol):
    """The right to use one version for a while: it stays loaded until the handle is left.

    A context manager; short-lived, one per request.
    """

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    @property
    def version(self) -> int:
        """The resolved version."""
        ...

    @property
    def platform(self) -> str:
        """The runtime's name and the artifact's kind, ``onnx_onnx``..."""
        ...

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """What clients send and get: the model's signatures, a converter's where one is bound."""
        ...

    @property
    def max_batch_rows(self) -> int:
        """The most rows that requests are joined to, where the signature allows it at all."""
        ...

    @property
    def priority_levels(self) -> int:
        """Levels that requests may ask to be queued at, 1 is served first; 0: there is but one."""
        ...

    @property
    def default_priority_level(self) -> int:
        """The level of requests that ask for none; 0 where there are no levels."""
        ...

    @property
    def service_options(self) -> Mapping[str, Any]:
        """Service name -> an instance of its ``model_options_type``; a service that the model does not name is not there."""
        ...

    def model_signature(self, name: str) -> Signature:
        """Return the model's own signature behind a converter's; the same one where there is none.

        Raises
        ------
        SignatureNotFoundError
            There is none of that name.
        """
        ...

    async def infer(self, request: InferenceRequest) -> InferenceResponse:
        """Run one request on this version.

        Raises
        ------
        NaviError
            Typed; see :mod:`navi_core.errors`.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class DataPlane(Protocol):
    """What services see of the host. On the loop; no call blocks: what asks other processes is a coroutine."""

    def acquire(self, ref: ModelRef) -> ModelHandle:
        """Resolve a reference to a version that is available now.

        Raises
        ------
        ModelNotFoundError, VersionNotFoundError, LabelNotFoundError, ModelNotReadyError
            It cannot be resolved.
        """
        ...

    async def infer(self, ref: ModelRef, request: InferenceRequest) -> InferenceResponse:
        """Acquire, infer, release."""
        ...

    def refused(
        self,
        ref: ModelRef | None,
        error: NaviError,
        *,
        service: str,
        transport: str,
        method: str,
        signature: str | None = None,
    ) -> None:
        """Count an inference request that its service refuses before it hands it to an ``infer``.

        So every inference request is counted once: by the ``infer`` that gets it, or by this.

        Parameters
        ----------
        ref
            What it asked for; None: it does not say.
        error
            What the client is told.
        service, transport, method
            Who asked, as in :class:`~navi_core.messages.InferenceRequest`.
        signature
            The signature that was asked for; empty: the default one; None: that is not known.
        """
        ...

    def read_finished(
        self, ref: ModelRef | None, code: ErrorCode, *, service: str, total_seconds: float
    ) -> None:
        """Count a call that looked something up (a status, metadata), for the families of servers that count those.

        navi's own families count inference requests alone.

        Parameters
        ----------
        ref
            What it asked about; None: it does not say.
        code
            What came out.
        service
            Who was asked.
        total_seconds
            From the call to its answer.
        """
        ...

    def models(self) -> Sequence[str]:
        """Return the names of all configured models, in order."""
        ...

    def status(self, model: str) -> Sequence[VersionStatus]:
        """Return every version that is known, oldest first.

        Raises
        ------
        ModelNotFoundError
            No such model.
        """
        ...

    async def statistics(self, model: str) -> Sequence[VersionStatistics]:
        """Return what every version that can answer has answered, in all workers together, oldest first.

        Raises
        ------
        ModelNotFoundError
            No such model.
        """
        ...

    def is_live(self) -> bool:
        """Tell whether the process is worth keeping."""
        ...

    def is_ready(self, model: str | None = None) -> bool:
        """Tell whether the host (every configured model), or one model, can answer now.

        False while draining.

        Raises
        ------
        ModelNotFoundError
            ``model`` is given and unknown.
        """
        ...

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have ``callback`` called, on the loop, after states or readiness changed; returns the undo."""
        ...

    async def render_metrics(self, accept: str = "") -> tuple[str, bytes]:
        """Return content type and body of the metrics page of all workers, in the format that ``accept`` asks for."""
        ...


class Admin(Protocol):
    """What admin operations may do; given only to handlers that passed the authorisation check."""

    async def load(self, config: ModelConfig) -> None:
        """Start to serve a model; returns once a version is available.

        Raises
        ------
        ModelConflictError
            The name is taken.
        ModelLoadError
            No version could be loaded.
        """
        ...

    async def unload(self, model: str) -> None:
        """Stop to serve a model; returns once its versions are unloaded.

        Raises
        ------
        ModelNotFoundError
            No such model.
        """
        ...

    async def replace(self, artifact: Artifact) -> None:
        """Serve ``artifact`` as its model's only version, in one step; in-flight work finishes on the old one.

        Raises
        ------
        ModelLoadError
            It cannot be loaded; the old version serves on.
        """
        ...

    def config_of(self, model: str) -> ModelConfig:
        """Return a model's configuration, with which it can be loaded again.

        Raises
        ------
        ModelNotFoundError
            No such model.
        """
        ...

    async def apply_config(self, models: Sequence[ModelConfig]) -> None:
        """Serve exactly these models: all or nothing, the last good configuration is kept.

        Raises
        ------
        ConfigError
            The set is refused as a whole; nothing changed.
        ModelLoadError
            A new model could not be loaded; nothing changed.
        """
        ...

    async def rescan(self, model: str | None = None) -> None:
        """Have the sources look again now."""
        ...
