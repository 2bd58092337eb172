"""What the parent and its workers say to each other: typed records.

Their form on the socket is in :mod:`navi_core.workers.frames`. The first message of a worker is its :class:`Hello` with
the protocol's version. Both ends are of one installation, but a package may be upgraded under a running parent: a
replaced worker then says another version and is refused with that reason, rather than misunderstood.

Pure: no socket is known here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct

from navi_core import errors
from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.transport import Address
from navi_core.contracts.versions import ServableState, VersionStatistics, VersionStatus
from navi_core.errors import ErrorCode, NaviError
from navi_core.metrics.pages import Page

__all__ = [
    "PROTOCOL",
    "AdminDone",
    "AdminWanted",
    "ArtifactRecord",
    "Discard",
    "Fault",
    "FromParent",
    "FromWorker",
    "Gather",
    "Gathered",
    "Held",
    "Hello",
    "Hold",
    "ModelPicture",
    "Open",
    "Opened",
    "PageMade",
    "PageWanted",
    "Picture",
    "Ping",
    "Pong",
    "Prepare",
    "PrepareFailed",
    "Prepared",
    "Release",
    "Released",
    "Remove",
    "Removed",
    "StartFailed",
    "StatisticsMade",
    "StatisticsWanted",
    "Switch",
    "Switched",
]

PROTOCOL: Final = 2
"""The version; a worker that says another one is refused."""


class _Message(Struct, frozen=True, tag=True):
    """One message; its name is its tag."""


# --- values within messages ---------------------------------------------------------------------------


class Fault(Struct, frozen=True):
    """An error, so that it can be raised at the other end as what it was.

    Attributes
    ----------
    kinds
        Names of the error's class and those that it inherits from, of :mod:`navi_core.errors`; the first is its own.
    message, code, reason
        As in :class:`~navi_core.errors.NaviError`.
    fields
        The attributes of its class that are plain values.
    """

    kinds: tuple[str, ...]
    message: str
    code: ErrorCode
    reason: str = ""
    fields: dict[str, str | int | bool | None] = {}

    @classmethod
    def of(cls, error: NaviError) -> Fault:
        """Return an error's record."""
        known = {name for name in errors.__all__ if name != "ErrorCode"}
        return cls(
            kinds=tuple(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in known),
            message=error.message,
            code=error.code,
            reason=error.reason,
            fields={
                name: value
                for name, value in vars(error).items()
                if name not in {"code", "reason"} and (value is None or isinstance(value, str | int | bool))
            },
        )

    def error(self) -> NaviError:
        """Return the error; a class that is not known here becomes the nearest that is."""
        kind: type[NaviError] = next(
            (
                found
                for name in self.kinds
                if isinstance(found := getattr(errors, name, None), type) and issubclass(found, NaviError)
            ),
            NaviError,
        )
        error = kind.__new__(kind)
        Exception.__init__(
            error, self.message
        )  # the text is made already, so the class must not make it again
        error.code, error.reason = self.code, self.reason
        for name, value in self.fields.items():
            setattr(error, name, value)
        return error


class ArtifactRecord(Struct, frozen=True):
    """An artifact; exactly one of ``path`` and ``files`` is said."""

    name: str
    version: int
    path: str | None = None
    files: dict[str, bytes] | None = None
    revision: str = ""

    @classmethod
    def of(cls, artifact: Artifact) -> ArtifactRecord:
        """Return an artifact's record."""
        return cls(
            name=artifact.name,
            version=artifact.version,
            path=None if artifact.path is None else str(artifact.path),
            files=None if artifact.files is None else dict(artifact.files),
            revision=artifact.revision,
        )

    def artifact(self) -> Artifact:
        """Return the artifact."""
        return Artifact(
            name=self.name,
            version=self.version,
            path=None if self.path is None else Path(self.path),
            files=self.files,
            revision=self.revision,
        )


class ModelPicture(Struct, frozen=True):
    """What the parent knows of one model, for status calls of any worker.

    Attributes
    ----------
    name, config
        The model.
    was_looked_at
        Its source has looked.
    statuses
        Every known version.
    """

    name: str
    config: ModelConfig
    was_looked_at: bool = False
    statuses: tuple[VersionStatus, ...] = ()

    def state_of(self, version: int) -> ServableState | None:
        """Return a version's state; None: it is not known."""
        return next((each.state for each in self.statuses if each.version == version), None)


# --- from a worker ----------------------------------------------------------------------------------------


class Hello(_Message, frozen=True):
    """The first message of a worker."""

    protocol: int
    index: int
    pid: int


class StartFailed(_Message, frozen=True):
    """The worker cannot serve at all; it ends."""

    fault: Fault


class Opened(_Message, frozen=True):
    """The worker listens."""

    addresses: dict[str, tuple[Address, ...]]


class Prepared(_Message, frozen=True):
    """A version is loaded and warm, and not served yet.

    Attributes
    ----------
    ticket
        Which load.
    runtime, kind, converter, notes, gauges
        As in :class:`~navi_core.models.served.LoadedVersion`.
    """

    ticket: int
    runtime: str
    kind: str
    converter: str = ""
    notes: tuple[str, ...] = ()
    gauges: dict[str, float] = {}


class PrepareFailed(_Message, frozen=True):
    """A version could not be loaded."""

    ticket: int
    fault: Fault


class Held(_Message, frozen=True):
    """New requests wait from now on, and running ones have ended or had their time."""

    hold: int


class Switched(_Message, frozen=True):
    """The change is made, and requests flow again; they were held for so many seconds."""

    hold: int
    held_s: float


class Released(_Message, frozen=True):
    """Requests flow again, without any change; they were held for so many seconds."""

    held_s: float


class Removed(_Message, frozen=True):
    """A version is closed: its last request was answered."""

    ticket: int


class AdminWanted(_Message, frozen=True):
    """A client of this worker asked for an admin operation.

    Attributes
    ----------
    call
        The answer's number.
    operation
        ``load``, ``unload``, ``replace``, ``apply_config``, ``rescan``; or ``keep``, of services.
    models, model, artifact, value
        Its arguments; the key of what is kept is in ``model``.
    """

    call: int
    operation: str
    models: tuple[ModelConfig, ...] = ()
    model: str | None = None
    artifact: ArtifactRecord | None = None
    value: bytes | None = None


class PageWanted(_Message, frozen=True):
    """A client of this worker asked for the metrics page."""

    call: int
    accept: str = ""


class StatisticsWanted(_Message, frozen=True):
    """A client of this worker asked for a model's statistics."""

    call: int
    model: str


class Pong(_Message, frozen=True):
    """The worker's loop runs."""


class Gathered(_Message, frozen=True):
    """A worker's part of what the parent gathers."""

    gather: int
    page: Page | None = None
    statistics: tuple[VersionStatistics, ...] = ()


FromWorker: TypeAlias = (
    Hello
    | StartFailed
    | Opened
    | Prepared
    | PrepareFailed
    | Held
    | Switched
    | Released
    | Removed
    | AdminWanted
    | PageWanted
    | StatisticsWanted
    | Pong
    | Gathered
)


# --- from the parent ----------------------------------------------------------------------------------------


class Prepare(_Message, frozen=True):
    """Load and warm up a version, and keep it until told."""

    ticket: int
    config: ModelConfig
    artifact: ArtifactRecord


class Discard(_Message, frozen=True):
    """Close what was, or is being, loaded: it will not be served."""

    ticket: int


class Hold(_Message, frozen=True):
    """Keep new requests waiting; ``hold`` counts the tries of the barrier."""

    hold: int


class Switch(_Message, frozen=True):
    """Make a change to what is served, and let requests flow.

    Attributes
    ----------
    hold
        Which barrier is over; 0: there was none.
    add, remove
        Tickets; a version that was prepared is served, one that is served is not any more, and closed.
    current
        The versions that answer from now on where none is asked for, by model; None: none does.
    """

    hold: int
    add: tuple[int, ...] = ()
    remove: tuple[int, ...] = ()
    current: dict[str, int | None] = {}


class Release(_Message, frozen=True):
    """Let requests flow; nothing has changed."""

    hold: int


class Remove(_Message, frozen=True):
    """Serve a version no more, without a barrier: another one, or none, answers already."""

    ticket: int
    current: dict[str, int | None] = {}


class Picture(_Message, frozen=True):
    """What there is, in all workers alike; whole, or the models that changed.

    Attributes
    ----------
    names
        All models, in order.
    changed
        Those that are new or changed.
    is_complete
        Every worker has come up.
    memory
        What services keep, whole.
    """

    names: tuple[str, ...]
    changed: tuple[ModelPicture, ...]
    is_complete: bool
    memory: dict[str, bytes] = {}


class Open(_Message, frozen=True):
    """Listen: this worker serves what the others do."""


class AdminDone(_Message, frozen=True):
    """An admin operation has ended, in all workers."""

    call: int
    fault: Fault | None = None


class PageMade(_Message, frozen=True):
    """The metrics page of all workers."""

    call: int
    content_type: str
    body: bytes


class StatisticsMade(_Message, frozen=True):
    """A model's statistics, of all workers."""

    call: int
    statistics: tuple[VersionStatistics, ...] = ()
    fault: Fault | None = None


class Ping(_Message, frozen=True):
    """Say that your loop runs."""


class Gather(_Message, frozen=True):
    """Send what you counted: the page, a model's statistics, or nothing but that everything before was obeyed."""

    gather: int
    page: bool = False
    statistics_of: str | None = None


FromParent: TypeAlias = (
    Prepare
    | Discard
    | Hold
    | Switch
    | Release
    | Remove
    | Picture
    | Open
    | AdminDone
    | PageMade
    | StatisticsMade
    | Ping
    | Gather
)
