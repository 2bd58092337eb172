"""A registry of chosen classes, without installing anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from navi_core.hookspecs import hookimpl
from navi_core.plugins.discovery import PluginRecord, discover
from navi_core.plugins.registry import Registry

__all__ = ["registry_of"]


class _Chosen:
    """A plugin that registers what it was given."""

    def __init__(self, classes: dict[str, Sequence[type[Any]]]) -> None:
        self._classes = classes

    @hookimpl
    def navi_register_runtimes(self) -> Sequence[type[Any]]:
        return self._classes["runtimes"]

    @hookimpl
    def navi_register_converters(self) -> Sequence[type[Any]]:
        return self._classes["converters"]

    @hookimpl
    def navi_register_transports(self) -> Sequence[type[Any]]:
        return self._classes["transports"]

    @hookimpl
    def navi_register_services(self) -> Sequence[type[Any]]:
        return self._classes["services"]

    @hookimpl
    def navi_register_sources(self) -> Sequence[type[Any]]:
        return self._classes["sources"]

    @hookimpl
    def navi_register_clients(self) -> Sequence[type[Any]]:
        return self._classes["clients"]


def registry_of(
    *,
    runtimes: Sequence[type[Any]] = (),
    converters: Sequence[type[Any]] = (),
    transports: Sequence[type[Any]] = (),
    services: Sequence[type[Any]] = (),
    sources: Sequence[type[Any]] = (),
    clients: Sequence[type[Any]] = (),
    observers: Sequence[object] = (),
    installed: Sequence[str] = (),
) -> Registry:
    """Return a registry with navi's built-ins, the classes given, and nothing else.

    Parameters
    ----------
    runtimes, converters, transports, services, sources, clients
        Classes to register.
    observers
        Objects with observer hooks.
    installed
        Entry-point names of installed plugins to add.
    """
    plugins = discover(environ={"NAVI_PLUGINS": ",".join(installed)})
    chosen = {
        "runtimes": runtimes,
        "converters": converters,
        "transports": transports,
        "services": services,
        "sources": sources,
        "clients": clients,
    }
    plugins.register(PluginRecord(name="chosen", distribution="chosen", version="0"), _Chosen(chosen))
    for index, observer in enumerate(observers):
        record = PluginRecord(name=f"observer-{index}", distribution="chosen", version="0")
        plugins.register(record, observer)
    return Registry(plugins)
