"""Discovery: which plugins are installed, which of them can be used, and why the others cannot.

Every installed distribution may have entry points in the group ``navi``, each naming a module; the
built-ins are the entry point ``core`` of navi-core itself. What is wrong with one plugin is written
into its record and never stops the others: whether a plugin is needed is known only later, when the
configuration asks for a name (see :mod:`navi_core.plugins.registry`).
"""

from __future__ import annotations

import difflib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import EntryPoint
from typing import Any, Final, TypeAlias

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from navi_core import hookspecs
from navi_core.errors import PluginConflictError, PluginError, PluginLoadError

__all__ = ["HookCall", "PluginRecord", "PluginState", "Plugins", "discover", "installed_entry_points"]

CORE_DISTRIBUTION: Final = "navi-core"
CORE_ENTRY_POINT: Final = "core"
HookCall: TypeAlias = Callable[..., Any]
"""Calls one hook; its arguments by name."""

RESTRICT_VARIABLE: Final = "NAVI_PLUGINS"
TRACE_VARIABLE: Final = "NAVI_TRACE_HOOKS"


class PluginState(StrEnum):
    """What became of an entry point."""

    LOADED = "loaded"
    """Everything that it registers can be used."""
    FAILED = "failed"
    """Something is wrong with it; ``provides`` says what can be used all the same."""
    REFUSED = "refused"
    """It needs another version of navi-core; its module was not imported."""
    DISABLED = "disabled"
    """``NAVI_PLUGINS`` leaves it out; its module was not imported."""


@dataclass(slots=True, kw_only=True)
class PluginRecord:
    """One entry point, and what became of it.

    Parameters
    ----------
    name
        The entry point's name.
    distribution, version
        The installed package that it belongs to.
    state
        See :class:`PluginState`.
    reason
        Why it is not simply loaded: one line; empty where it is.
    provides
        (kind, name) of everything that it registered and that can be used.
    error
        The failure, with its cause; raised from when the configuration needs the plugin.
    """

    name: str
    distribution: str
    version: str
    state: PluginState = PluginState.LOADED
    reason: str = ""
    provides: list[tuple[str, str]] = field(default_factory=list)
    error: PluginError | None = None

    @property
    def source(self) -> str:
        """The distribution and its version, for texts."""
        return f"{self.distribution} {self.version}".strip()

    def fail(
        self, reason: str, cause: BaseException | None = None, *, state: PluginState = PluginState.FAILED
    ) -> None:
        """Note that something is wrong; a second failure is added to the first one's reason."""
        self.state = state
        self.reason = f"{self.reason}; {reason}" if self.reason else reason
        error = PluginLoadError(
            f"plugin '{self.name}' of {self.source}: {self.reason}",
            plugin=self.name,
            distribution=self.source,
        )
        error.__cause__ = cause if cause is not None else self.error
        self.error = error

    def conflict(self, reason: str) -> None:
        """Note that a name is claimed by others too."""
        self.state = PluginState.FAILED
        self.reason = f"{self.reason}; {reason}" if self.reason else reason
        self.error = PluginConflictError(reason)


class Plugins:
    """The plugins of one host: the records, and the hooks of those that could be imported.

    Parameters
    ----------
    manager
        A pluggy manager of the project ``navi``.
    """

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self._manager = manager
        self._records: list[PluginRecord] = []
        self._registered: dict[int, tuple[PluginRecord, object]] = {}

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """Every entry point that was found, the built-ins first, then by name."""
        return tuple(self._records)

    def add_record(self, record: PluginRecord) -> None:
        """Note an entry point that has nothing to call."""
        self._records.append(record)

    def register(self, record: PluginRecord, plugin: object) -> None:
        """Add a plugin (a module, or any object with hook functions); a bad one's record says why."""
        self._records.append(record)
        reason = _why_not_registered(plugin)
        if not reason and self._manager.is_registered(plugin):
            reason = "its module is another entry point's already"
        if reason:
            record.fail(reason)
            return
        self._manager.register(plugin, name=f"{record.source}:{record.name}")
        self._registered[id(record)] = (record, plugin)

    def withdraw(self, record: PluginRecord) -> None:
        """Take every hook of one plugin away: something about it turned out to be wrong."""
        found = self._registered.pop(id(record), None)
        if found is not None:
            self._manager.unregister(found[1])

    def hooks_of(self, record: PluginRecord) -> list[tuple[str, HookCall]]:
        """Return the hooks that one plugin implements, each with a call that reaches this plugin alone.

        A call answers a list with what the plugin's implementation returned, unless that is None, and
        raises what it raises.
        """
        found = self._registered.get(id(record))
        if found is None:
            return []
        plugin = found[1]
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        return [
            (caller.name, self._manager.subset_hook_caller(caller.name, others))
            for caller in self._manager.get_hookcallers(plugin) or ()
        ]

    def implementing(self, hook: str) -> list[tuple[PluginRecord, HookCall]]:
        """Return, for each plugin that implements a hook, its record and a call that reaches it alone."""
        return [
            (record, call) for record in self._records for name, call in self.hooks_of(record) if name == hook
        ]


def installed_entry_points() -> Iterable[EntryPoint]:
    """Return the entry points of all installed distributions in navi's group."""
    return importlib.metadata.entry_points(group=hookspecs.ENTRY_POINT_GROUP)


def discover(
    *,
    entry_points: Callable[[], Iterable[EntryPoint]] = installed_entry_points,
    environ: Mapping[str, str] | None = None,
    core_version: str | None = None,
) -> Plugins:
    """Find, check and import the installed plugins. Never raises because of one of them.

    Parameters
    ----------
    entry_points
        Where to look; a test hands in its own.
    environ
        Read for ``NAVI_PLUGINS`` (a comma-separated list of entry points or distributions: no other
        ones are imported; set and empty: only the built-ins) and ``NAVI_TRACE_HOOKS`` (``1``: hook
        calls are printed on stderr). None: the process's environment.
    core_version
        The version that requirements on navi-core are compared with; None: the installed one.

    Returns
    -------
    plugins
        With a record for every entry point.

    Raises
    ------
    PluginError
        navi-core runs from a source folder without being installed: not even the built-ins can be found.
    """
    environ = os.environ if environ is None else environ
    if core_version is None:
        core_version = _installed_core_version()
    manager = _new_manager()
    if environ.get(TRACE_VARIABLE, "") not in ("", "0"):
        manager.trace.root.setwriter(sys.stderr.write)
        manager.enable_tracing()
    wanted = _wanted(environ.get(RESTRICT_VARIABLE))
    plugins = Plugins(manager)
    for point in sorted(entry_points(), key=_order):
        _add(plugins, point, core_version, wanted)
    for name in sorted(wanted or ()):
        if not any(
            name in (record.name, canonicalize_name(record.distribution)) for record in plugins.records
        ):
            missing = PluginRecord(name=name, distribution="", version="")
            missing.fail(f"{RESTRICT_VARIABLE} asks for '{name}', which is not installed")
            plugins.add_record(missing)
    return plugins


def _add(plugins: Plugins, point: EntryPoint, core_version: str, wanted: frozenset[str] | None) -> None:
    distribution, version = _distribution(point)
    record = PluginRecord(name=point.name, distribution=distribution, version=version)
    names = {point.name, canonicalize_name(distribution)}
    if wanted is not None and not _is_core(point) and not names & wanted:
        record.state = PluginState.DISABLED
        record.reason = f"left out by {RESTRICT_VARIABLE}"
        plugins.add_record(record)
        return
    refusal = _why_refused(point, core_version)
    if refusal:
        record.fail(refusal, state=PluginState.REFUSED)
        plugins.add_record(record)
        return
    try:
        plugin = point.load()
    except (Exception, SystemExit) as error:  # whatever a stranger's module does at import is its own failure
        record.fail(f"importing {point.value} raised {describe(error)}", error)
        plugins.add_record(record)
        return
    plugins.register(record, plugin)


def _installed_core_version() -> str:
    try:
        return importlib.metadata.version(CORE_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError as error:
        msg = f"{CORE_DISTRIBUTION} is imported but not installed, so that no plugin can be found: pip install it"
        raise PluginError(msg) from error


def describe(error: BaseException) -> str:
    """Return an exception's class and text on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT_NAME)
    manager.add_hookspecs(hookspecs)
    return manager


def _is_core(point: EntryPoint) -> bool:
    return point.name == CORE_ENTRY_POINT and canonicalize_name(_distribution(point)[0]) == CORE_DISTRIBUTION


def _order(point: EntryPoint) -> tuple[bool, str, str]:
    return (not _is_core(point), point.name, _distribution(point)[0])


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist is not None else ("", "")


def _wanted(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    return frozenset(name for name in (part.strip() for part in text.split(",")) if name)


def _why_refused(point: EntryPoint, core_version: str) -> str:
    """Return what the distribution requires of navi-core and does not get; empty: all is well."""
    for text in (point.dist.requires or ()) if point.dist is not None else ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # pip's business; the requirement on navi-core, if that is it, binds nobody
        if canonicalize_name(requirement.name) != CORE_DISTRIBUTION:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(core_version, prereleases=True):
            return f"it needs {CORE_DISTRIBUTION}{requirement.specifier}, installed is {core_version}"
    return ""


def _why_not_registered(plugin: object) -> str:
    """Return what is wrong with a plugin's hook functions, tried in a manager of its own; empty: nothing."""
    trial = _new_manager()
    known = sorted(name for name in dir(hookspecs) if trial.parse_hookspec_opts(hookspecs, name) is not None)
    try:
        trial.register(plugin)
    except pluggy.PluginValidationError as error:
        return f"a hook function does not fit its specification: {' '.join(str(error).split())}"
    implemented = set()
    for caller in trial.get_hookcallers(plugin) or ():
        implemented.add(caller.name)
        if caller.has_spec() or all(each.optionalhook for each in caller.get_hookimpls()):
            continue
        close = difflib.get_close_matches(caller.name, known, n=1)
        advice = f"did you mean '{close[0]}'?" if close else f"the hooks are {', '.join(known)}"
        return f"there is no hook '{caller.name}': {advice}"
    for name in known:
        if name not in implemented and callable(getattr(plugin, name, None)):
            return f"its function '{name}' is not marked with @hookimpl"
    return ""
