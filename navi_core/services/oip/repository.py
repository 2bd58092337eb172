"""The model repository extension: which models there are, loading and unloading them.

What ``unload`` took away, ``load`` finds again; models that came as ``file:`` parameters live in memory. The
wire formats of the two dialects are beside this (`repository_rpcs`, `rest`); here is what they share.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.planes import Admin, DataPlane
from navi_core.contracts.service_context import ServiceMemory
from navi_core.contracts.versions import ServableState, VersionStatus
from navi_core.errors import ErrorCode, InvalidRequestError, ModelNotFoundError, NaviError, UnsupportedError

__all__ = [
    "IndexEntry",
    "LoadParameters",
    "Repository",
    "check_unload_parameters",
    "read_load_parameters",
    "refuse_repository_name",
]

_FILE_PREFIX: Final = "file:"
_FILE: Final = re.compile(r"file:(?P<version>[0-9]{1,19})/(?P<name>[^\\\0]+)")
_INERT_CONFIG: Final = frozenset({"name", "platform", "backend", "runtime", "default_model_filename"})
"""Keys of a configuration that say what navi finds out by itself."""

_STATES: Final = {
    ServableState.START: "LOADING",
    ServableState.LOADING: "LOADING",
    ServableState.AVAILABLE: "READY",
    ServableState.UNLOADING: "UNLOADING",
    ServableState.END: "UNAVAILABLE",
}
"""State -> Triton's word. Total."""


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One version of a model, or a model without any.

    Parameters
    ----------
    name
        The model's.
    version, state, reason
        As Triton words them; empty: nothing to say.
    """

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LoadParameters:
    """What a load asks for besides the model.

    Parameters
    ----------
    version
        The newest version among the files.
    files
        Its files: relative name -> contents; empty: load from where the model is configured.
    """

    version: int = 0
    files: Mapping[str, bytes] = field(default_factory=dict)


def refuse_repository_name(name: str) -> None:
    """Refuse to look into one repository of several.

    Raises
    ------
    UnsupportedError
        One is named.
    """
    if name:
        raise UnsupportedError("'repository_name' specification is not supported")


def read_load_parameters(model: str, parameters: Mapping[str, Any]) -> LoadParameters:
    """Read a load's parameters.

    Parameters
    ----------
    model
        The model's name.
    parameters
        Name -> value; files as ``bytes``.

    Raises
    ------
    InvalidRequestError
        One is unknown, or of the wrong kind.
    UnsupportedError
        ``config`` overrides what cannot be overridden; the text names it.
    """
    versions: dict[int, dict[str, bytes]] = {}
    for name, value in parameters.items():
        if name == "config":
            _check_config(model, value)
        elif name.startswith(_FILE_PREFIX):
            version, path = _file(name)
            if not isinstance(value, bytes):
                raise InvalidRequestError(f"load parameter '{name[:64]}': expected bytes")
            versions.setdefault(version, {})[path] = value
        else:
            raise InvalidRequestError(f"unrecognized load parameter '{name[:64]}'")
    if not versions:
        return LoadParameters()
    newest = max(versions)
    return LoadParameters(newest, versions[newest])


def check_unload_parameters(parameters: Mapping[str, Any]) -> None:
    """Look at an unload's parameters; what they may say changes nothing, as no model here depends on another.

    Raises
    ------
    InvalidRequestError
        ``unload_dependents`` is no boolean.
    """
    if type(parameters.get("unload_dependents", False)) is not bool:
        raise InvalidRequestError("unload parameter 'unload_dependents': expected a boolean")


def _file(name: str) -> tuple[int, str]:
    """Return version and relative path of a ``file:VERSION/PATH`` parameter."""
    match = _FILE.fullmatch(name)
    if match is not None:
        version, path = int(match["version"]), match["name"]
        if version < 2**63 and not any(part in ("", ".", "..") for part in path.split("/")):
            return version, path
    raise InvalidRequestError(f"load parameter '{name[:64]}': expected 'file:VERSION/RELATIVE_PATH'")


def _check_config(model: str, text: Any) -> None:
    """Refuse a configuration that says more than navi finds out by itself."""
    try:
        config = msgspec.json.decode(text) if isinstance(text, str) else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise InvalidRequestError("load parameter 'config': expected a JSON object in a string")
    for key, value in config.items():
        if key not in _INERT_CONFIG and value not in (None, "", 0, [], {}):
            raise UnsupportedError(
                f"load parameter 'config': overriding '{key[:64]}' is not supported: "
                "it follows from the model's files"
            )
    if config.get("name") not in (None, "", model):
        raise InvalidRequestError(f"load parameter 'config': expected name '{model}'")


class _Kept(msgspec.Struct, frozen=True):
    """What is kept of one model, for whichever worker is asked next."""

    config: ModelConfig | None = None
    failure: str | None = None
    is_replaced: bool = False


_KEPT: Final = msgspec.msgpack.Decoder(_Kept)
_KEY: Final = "oip/"


class Repository:
    """The models of one host, as the extension sees them.

    Parameters
    ----------
    plane
        Knows the models.
    admin
        Loads and unloads.
    memory
        Keeps what was unloaded.
    is_triton
        Say and do what Triton does where KServe differs.
    """

    def __init__(self, plane: DataPlane, admin: Admin, memory: ServiceMemory, *, is_triton: bool) -> None:
        self._memory = memory
        self._running: Counter[str] = Counter()
        self._plane = plane
        self._admin = admin
        self._is_triton = is_triton
        self._configured: dict[str, ModelConfig] = {}
        """Models that were unloaded, or replaced by files, and where they are to be found again."""
        self._failures: dict[str, str] = {}
        """Why models that were to be found again could not be loaded."""
        self._replaced: set[str] = set()
        """Models that are served from files that came over the wire."""

    def index(self, *, only_ready: bool = False) -> list[IndexEntry]:
        """Return every version of every model."""
        self._recall()
        entries: list[IndexEntry] = []
        served = self._plane.models()
        for name in served:
            statuses = self._plane.status(name)
            entries += [_entry(name, status) for status in statuses] or [IndexEntry(name)]
        entries += [
            IndexEntry(name, "", "UNAVAILABLE", self._failures.get(name, "unloaded"))
            for name in self._configured
            if name not in served
        ]
        return [each for each in entries if each.state == "READY"] if only_ready else entries

    async def load(self, model: str, parameters: LoadParameters) -> None:
        """Load a model, or see that what is loaded is the newest; returns once it can answer.

        Raises
        ------
        NaviError
            There is no such model, or it could not be loaded.
        """
        self._begin(model)
        self._failures.pop(model, None)
        try:
            if parameters.files:
                await self._load_files(model, parameters)
            elif model in self._plane.models():
                await self._load_again(model)
            elif model in self._configured:
                await self._admin.load(self._configured[model])
                self._configured.pop(model, None)
            else:
                raise self._absent(model)
        except ModelNotFoundError:
            raise
        except NaviError as error:
            if error.reason == "absent":
                raise
            if model in self._configured:
                self._failures[model] = error.message
            raise NaviError(
                f"load failed for model '{model}': {error.message}", code=error.code, reason=error.reason
            ) from error
        finally:
            await self._end(model)

    async def _load_files(self, model: str, parameters: LoadParameters) -> None:
        config = None
        if model in self._plane.models() and model not in self._replaced:
            config = self._admin.config_of(model)
        artifact = Artifact(name=model, version=parameters.version, files=dict(parameters.files))
        await self._admin.replace(artifact)
        self._replaced.add(model)
        if config is not None:
            self._configured.setdefault(model, config)

    async def _load_again(self, model: str) -> None:
        """Load a model that is known: look for newer versions, or go back from files to where it is configured."""
        if model in self._replaced:
            config = self._configured.get(model)
            if config is None:
                return
            await self._admin.unload(model)
            self._replaced.discard(model)
            await self._admin.load(config)
            self._configured.pop(model, None)
            return
        await self._admin.rescan(model)
        if any(status.state is ServableState.AVAILABLE for status in self._plane.status(model)):
            return
        # nothing answers, so nothing is lost by beginning anew, and that is waited for
        config = self._configured[model] = self._admin.config_of(model)
        await self._admin.unload(model)
        await self._admin.load(config)
        self._configured.pop(model, None)

    async def unload(self, model: str) -> None:
        """Stop to serve a model; one that was unloaded already stays so.

        Raises
        ------
        ModelNotFoundError
            There is no such model.
        """
        self._begin(model)
        try:
            if model not in self._plane.models():
                if model in self._configured or self._is_triton:
                    return
                raise ModelNotFoundError(model)
            self._failures.pop(model, None)
            if model not in self._replaced:
                self._configured[model] = self._admin.config_of(model)
            await self._admin.unload(model)
            self._replaced.discard(model)
        finally:
            await self._end(model)

    def _begin(self, model: str) -> None:
        """Begin an operation on a model: until its end, what this process knows of it counts."""
        self._recall()
        self._running[model] += 1

    async def _end(self, model: str) -> None:
        await self._keep(model)
        self._running[model] -= 1
        if not self._running[model]:
            del self._running[model]

    def _recall(self) -> None:
        """Take what any worker has kept."""
        kept = {
            key.removeprefix(_KEY): _KEPT.decode(value)
            for key, value in self._memory.recall().items()
            if key.startswith(_KEY)
        }
        kept |= {model: self._known(model) for model in self._running}
        self._configured = {model: each.config for model, each in kept.items() if each.config is not None}
        self._failures = {model: each.failure for model, each in kept.items() if each.failure is not None}
        self._replaced = {model for model, each in kept.items() if each.is_replaced}

    def _known(self, model: str) -> _Kept:
        return _Kept(self._configured.get(model), self._failures.get(model), model in self._replaced)

    async def _keep(self, model: str) -> None:
        """Keep what is known of a model now."""
        kept = self._known(model)
        value = None if kept == _Kept() else msgspec.msgpack.encode(kept)
        await self._memory.keep(f"{_KEY}{model}", value)

    def _absent(self, model: str) -> NaviError:
        if not self._is_triton:
            return ModelNotFoundError(model)
        return NaviError(
            f"failed to load '{model}', failed to poll from model repository",
            code=ErrorCode.INTERNAL,
            reason="absent",
        )


def _entry(name: str, status: VersionStatus) -> IndexEntry:
    reason = status.error_message
    if status.state is ServableState.END and not reason:
        reason = "unloaded"
    return IndexEntry(name, str(status.version), _STATES[status.state], reason)
