"""Runtimes and converters: one instance of each class for a host."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

import structlog

from navi_core.contracts.converter import Converter
from navi_core.contracts.runtime import Runtime
from navi_core.errors import PluginLoadError
from navi_core.plugins.discovery import describe
from navi_core.plugins.shelf import Shelf

__all__ = ["Instances"]

_I = TypeVar("_I", Runtime, Converter)

_log = structlog.get_logger(__name__)


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
