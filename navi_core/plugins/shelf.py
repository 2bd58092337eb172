"""The names of one kind of plugin, and what happens when two plugins claim one or nobody does."""

from __future__ import annotations

import threading
from typing import Generic, NoReturn, TypeVar

import structlog
from packaging.utils import canonicalize_name

from navi_core.contracts.converter import Converter
from navi_core.contracts.runtime import Runtime
from navi_core.errors import PluginConflictError, PluginLoadError, PluginNotFoundError
from navi_core.plugins.discovery import PluginRecord, Plugins, PluginState, describe

__all__ = ["Instances", "Shelf"]

_T = TypeVar("_T")
_I = TypeVar("_I", Runtime, Converter)

_log = structlog.get_logger(__name__)


class Shelf(Generic[_T]):
    """The names of one kind. A name that two plugins claim is usable by neither.

    Parameters
    ----------
    word
        What the kind is called in texts.
    plugins
        Searched for a broken plugin that may be the one meant.
    """

    def __init__(self, word: str, plugins: Plugins) -> None:
        self._word = word
        self._plugins = plugins
        self._claims: dict[str, list[tuple[PluginRecord, _T]]] = {}

    def claim(self, name: str, item: _T, record: PluginRecord) -> None:
        """Enter one name of one item."""
        self._claims.setdefault(name, []).append((record, item))

    def settle(self, *, listed: bool = True) -> None:
        """Write which names can be used (unless not ``listed``), and which clash, into the records."""
        for name, claims in self._claims.items():
            for record, _ in claims:
                if len(claims) > 1:
                    record.conflict(self._clash(name))
                elif listed:
                    record.provides.append((self._word, name))

    def usable(self) -> dict[str, _T]:
        """Return what can be used, in the order of registration."""
        return {name: claims[0][1] for name, claims in self._claims.items() if len(claims) == 1}

    def record_of(self, name: str) -> PluginRecord:
        """Return the plugin that registered a usable name."""
        return self._claims[name][0][0]

    def get(self, name: str) -> _T:
        """Return what is registered under a name.

        Raises
        ------
        PluginConflictError
            More than one plugin registered it.
        PluginNotFoundError
            None did; its cause is the failure of the plugin that looks like the one meant.
        """
        claims = self._claims.get(name, ())
        if len(claims) > 1:
            raise PluginConflictError(self._clash(name))
        if not claims:
            self._not_found(name)
        return claims[0][1]

    def _clash(self, name: str) -> str:
        owners = " and ".join(f"{record.source} (plugin '{record.name}')" for record, _ in self._claims[name])
        return f"{self._word} '{name}' is registered by {owners}: uninstall one, or leave it out with NAVI_PLUGINS"

    def _not_found(self, name: str) -> NoReturn:
        known = ", ".join(f"'{each}'" for each in sorted(self.usable())) or "none"
        text = f"no {self._word} is called '{name}' (installed: {known})"
        plain = canonicalize_name(name)
        for record in self._plugins.records:
            names = {record.name, canonicalize_name(record.distribution)}
            if record.state is not PluginState.LOADED and names & {name, plain, f"navi-{plain}"}:
                raise PluginNotFoundError(
                    f"{text}; plugin '{record.name}' of {record.source} is {record.state}: {record.reason}"
                ) from record.error
        raise PluginNotFoundError(text)


class Instances(Generic[_I]):
    """One instance of each class on a shelf, made when it is first asked for, from any thread.

    Parameters
    ----------
    shelf
        The classes.
    """

    def __init__(self, shelf: Shelf[type[_I]]) -> None:
        self._shelf: Shelf[type[_I]] = shelf
        self._lock = threading.Lock()
        self._made: dict[type[_I], _I] = {}
        self._failed: dict[type[_I], Exception] = {}

    def get(self, name: str) -> _I:
        """Return the instance of the class with that name or alias.

        Raises
        ------
        PluginNotFoundError, PluginConflictError
            See :meth:`Shelf.get`.
        PluginLoadError
            The constructor raised.
        """
        cls = self._shelf.get(name)
        with self._lock:
            if cls not in self._made and cls not in self._failed:
                self._make(name, cls)
            if cls in self._made:
                return self._made[cls]
        record = self._shelf.record_of(name)
        cause = self._failed[cls]
        raise PluginLoadError(
            f"making {cls.__qualname__} of {record.source} raised {describe(cause)}",
            plugin=record.name,
            distribution=record.source,
        ) from cause

    def all(self) -> list[_I]:
        """Return every instance that could be made, once each."""
        found: dict[int, _I] = {}
        for name in self._shelf.usable():
            try:
                instance = self.get(name)
            except PluginLoadError:
                continue  # reported when it was made
            found[id(instance)] = instance
        return list(found.values())

    def _make(self, name: str, cls: type[_I]) -> None:
        try:
            self._made[cls] = cls()
        except Exception as error:  # a stranger's constructor: its failure is its own
            self._failed[cls] = error
            record = self._shelf.record_of(name)
            record.fail(f"making {cls.__qualname__} raised {describe(error)}", error)
            _log.warning(
                "plugin_failed", plugin=record.name, distribution=record.source, reason=record.reason
            )
