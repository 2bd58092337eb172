"""The registry of one host: name -> what plugins registered, for every kind.

What is wrong with a registration is noted in the plugin's record; it is raised, with its cause, only
when somebody asks for the name. A plugin whose registration is wrong in one place registers nothing:
half a plugin would serve models in a way that its author did not mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.client import RemoteClient
from navi_core.contracts.converter import Converter
from navi_core.contracts.runtime import Runtime
from navi_core.contracts.service import Service
from navi_core.contracts.source import ModelSource
from navi_core.contracts.transport import Transport
from navi_core.errors import PluginConflictError, PluginNotFoundError
from navi_core.plugins.commands import collect_commands
from navi_core.plugins.discovery import HookCall, PluginRecord, Plugins, PluginState, describe
from navi_core.plugins.instances import Instances
from navi_core.plugins.kinds import KINDS, Kind, problem_of_class
from navi_core.plugins.observers import OBSERVER_HOOKS
from navi_core.plugins.shelf import Shelf, returned_by

if TYPE_CHECKING:
    import click

__all__ = ["Recognised", "Registry"]

_log = structlog.get_logger(__name__)

_MAX_NAMES: Final = 5
"""Files of a version that an error names."""


class Recognised(NamedTuple):
    """A runtime that takes an artifact, and what kind of artifact it says it is."""

    runtime: Runtime
    kind: str


class Registry:
    """What the plugins of one host provide.

    Parameters
    ----------
    plugins
        What was discovered; their records are completed with what they provide.
    """

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._shelves: dict[str, Shelf[Any]] = {word: Shelf(word, plugins) for word in KINDS}
        self._schemes: Shelf[type[ModelSource]] = Shelf("source for URL scheme", plugins)
        self._commands: Shelf[click.Command] | None = None
        self._collect()
        self._runtimes: Instances[Runtime] = Instances(self._shelves["runtime"])
        self._converters: Instances[Converter] = Instances(self._shelves["converter"])

    @property
    def plugins(self) -> Plugins:
        """The plugins that this registry was filled from."""
        return self._plugins

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """What became of every plugin."""
        return self._plugins.records

    # --- runtimes and converters: one instance per host ---------------------------------------

    def runtime(self, name: str) -> Runtime:
        """Return the runtime of that name.

        Raises
        ------
        PluginNotFoundError, PluginConflictError, PluginLoadError
            There is none that can be used.
        """
        return self._runtimes.get(name)

    def runtimes(self) -> Sequence[Runtime]:
        """Return all runtimes, the highest priority first."""
        return sorted(self._runtimes.all(), key=lambda runtime: (-runtime.priority, runtime.name))

    def select_runtime(self, artifact: Artifact) -> Recognised:
        """Return the runtime of the highest priority among those that recognise the artifact.

        May read files: call it on a loader thread.

        Raises
        ------
        PluginNotFoundError
            None recognises it.
        PluginConflictError
            Several of the same priority do.
        """
        runtimes = self.runtimes()
        kinds = self._recognisers(artifact, runtimes)
        if not kinds:
            known = ", ".join(f"'{runtime.name}'" for runtime in runtimes) or "none"
            broken = ", ".join(
                f"'{record.name}' of {record.source}"
                for record in self.records
                if record.state in (PluginState.FAILED, PluginState.REFUSED)
            )
            advice = f"; plugins that cannot be used: {broken}" if broken else ""
            raise PluginNotFoundError(
                f"no runtime recognises version {artifact.version} of model '{artifact.name}' "
                f"in {artifact.where} (it holds {_contents(artifact)}; installed runtimes: {known}{advice})"
            )
        best = [each for each in kinds if each.runtime.priority == kinds[0].runtime.priority]
        if len(best) > 1:
            names = " and ".join(f"'{each.runtime.name}'" for each in best)
            raise PluginConflictError(
                f"runtimes {names} both take model '{artifact.name}' in {artifact.where} with priority "
                f"{best[0].runtime.priority}: name one in navi.toml"
            )
        return best[0]

    def _recognisers(self, artifact: Artifact, runtimes: Iterable[Runtime]) -> list[Recognised]:
        found = []
        for runtime in runtimes:
            kind = _ask(runtime.recognise, runtime.name, artifact)
            if kind:
                found.append(Recognised(runtime, str(kind)))
        return found

    def converter(self, name: str) -> Converter:
        """Return the converter of that name or alias.

        Raises
        ------
        PluginNotFoundError, PluginConflictError, PluginLoadError
            There is none that can be used.
        """
        return self._converters.get(name)

    def converters(self) -> Sequence[Converter]:
        """Return all converters, by name."""
        return sorted(self._converters.all(), key=lambda converter: converter.name)

    def select_converter(self, artifact: Artifact) -> Converter | None:
        """Return the converter that recognises the artifact; None: no converter does.

        May read files: call it on a loader thread.

        Raises
        ------
        PluginConflictError
            Several do.
        """
        found = [each for each in self.converters() if _ask(each.recognise, each.name, artifact)]
        if len(found) > 1:
            names = " and ".join(f"'{each.name}'" for each in found)
            raise PluginConflictError(
                f"converters {names} both recognise model '{artifact.name}' in {artifact.where}: "
                "name one in navi.toml"
            )
        return found[0] if found else None

    # --- classes that the host makes instances of --------------------------------------------

    def transport(self, name: str) -> type[Transport]:
        """Return the transport class of that name; raises like :meth:`runtime`."""
        found: type[Transport] = self._shelves["transport"].get(name)
        return found

    def transports(self) -> Mapping[str, type[Transport]]:
        """Return name -> transport class."""
        return self._shelves["transport"].usable()

    def service(self, name: str) -> type[Service]:
        """Return the service class of that name; raises like :meth:`runtime`."""
        found: type[Service] = self._shelves["service"].get(name)
        return found

    def services(self) -> Mapping[str, type[Service]]:
        """Return name -> service class."""
        return self._shelves["service"].usable()

    def source(self, name: str) -> type[ModelSource]:
        """Return the source class of that name; raises like :meth:`runtime`."""
        found: type[ModelSource] = self._shelves["source"].get(name)
        return found

    def sources(self) -> Mapping[str, type[ModelSource]]:
        """Return name -> source class."""
        return self._shelves["source"].usable()

    def client(self, name: str) -> type[RemoteClient]:
        """Return the client class of that name; raises like :meth:`runtime`."""
        found: type[RemoteClient] = self._shelves["client"].get(name)
        return found

    def clients(self) -> Mapping[str, type[RemoteClient]]:
        """Return name -> client class."""
        return self._shelves["client"].usable()

    def source_for_scheme(self, scheme: str) -> type[ModelSource]:
        """Return the source that takes locations of a URL scheme, empty for a plain path; raises like :meth:`runtime`."""
        return self._schemes.get(scheme)

    # --- commands: asked for only by the command line ------------------------------------------

    def commands(self, reserved: frozenset[str] = frozenset()) -> Mapping[str, click.Command]:
        """Return name -> command. The plugins are asked once, at the first call.

        Parameters
        ----------
        reserved
            Names that the command line itself has: a plugin's command of that name is refused.
        """
        if self._commands is None:
            self._commands = collect_commands(self._plugins, reserved)
        return self._commands.usable()

    def command(self, name: str) -> click.Command:
        """Return the command of that name; raises like :meth:`runtime`."""
        if self._commands is None:
            self._commands = collect_commands(self._plugins)
        return self._commands.get(name)

    # --- collecting -----------------------------------------------------------------------------

    def _collect(self) -> None:
        kinds = {kind.hook: kind for kind in KINDS.values()}
        for record in self.records:
            offered: list[tuple[Kind, type[Any]]] = []
            for hook, call in self._plugins.hooks_of(record):
                if (kind := kinds.get(hook)) is not None:
                    offered.extend((kind, cls) for cls in _registered_classes(record, kind, call))
            _refuse_own_duplicates(record, offered)
            if record.state is not PluginState.LOADED:
                self._plugins.withdraw(record)
                continue
            for kind, cls in offered:
                self._enter(kind, cls, record)
        for shelf in self._shelves.values():
            shelf.settle()
        self._schemes.settle(listed=False)
        for record in self.records:
            hooks = {hook for hook, _ in self._plugins.hooks_of(record)}
            record.provides.extend(("observer", hook) for hook in OBSERVER_HOOKS if hook in hooks)

    def _enter(self, kind: Kind, cls: type[Any], record: PluginRecord) -> None:
        for name in _names(kind, cls):
            self._shelves[kind.word].claim(name, cls, record)
        if issubclass(cls, ModelSource):
            for scheme in sorted(cls.schemes):
                self._schemes.claim(scheme, cls, record)


def _names(kind: Kind, cls: type[Any]) -> Sequence[str]:
    return tuple(dict.fromkeys((cls.name, *cls.aliases))) if kind.base is Converter else (cls.name,)


def _registered_classes(record: PluginRecord, kind: Kind, call: HookCall) -> list[type[Any]]:
    good = []
    for item in returned_by(record, kind.hook, call):
        if problem := problem_of_class(item, kind):
            record.fail(f"{kind.hook}: {problem}")
        elif item not in good:
            good.append(item)
    return good


def _refuse_own_duplicates(record: PluginRecord, offered: Sequence[tuple[Kind, type[Any]]]) -> None:
    seen: dict[tuple[str, str], type[Any]] = {}
    for kind, cls in offered:
        for name in _names(kind, cls):
            other = seen.setdefault((kind.word, name), cls)
            if other is not cls:
                record.fail(f"{kind.word} '{name}' is both {other.__qualname__} and {cls.__qualname__}")


def _ask(recognise: Callable[[Artifact], Any], name: str, artifact: Artifact) -> Any:
    """Ask one plugin whether it takes an artifact; one that raises does not."""
    try:
        return recognise(artifact)
    except Exception as error:  # one plugin's failure must not hide another's artifact
        _log.warning(
            "recognise_failed",
            plugin=name,
            model=artifact.name,
            version=artifact.version,
            error=describe(error),
        )
        return None


def _contents(artifact: Artifact) -> str:
    """Return the first few names that a version has: which plugin is missing, they tell better than anything else."""
    try:
        names = artifact.names()
    except OSError as error:
        return f"what cannot be listed: {error.strerror}"
    shown = ", ".join(f"'{name}'" for name in names[:_MAX_NAMES])
    return (shown or "nothing") + (f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else "")
