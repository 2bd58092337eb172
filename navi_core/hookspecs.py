"""Every hook that a plugin may implement. The whole extension surface is this file.

A plugin is an installed package with an entry point in the group ``navi`` that names a module; the
module's functions marked with :data:`hookimpl` are called as described here. The module must import
no framework. The core version that a plugin needs is its own requirement on navi-core: it is read
before the module is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import pluggy

if TYPE_CHECKING:
    import click

    from navi_core.contracts.client import RemoteClient
    from navi_core.contracts.converter import Converter
    from navi_core.contracts.events import RequestFinished, StateChanged
    from navi_core.contracts.runtime import Runtime
    from navi_core.contracts.service import Service
    from navi_core.contracts.source import ModelSource
    from navi_core.contracts.transport import Transport

__all__ = ["ENTRY_POINT_GROUP", "PROJECT_NAME", "hookimpl", "hookspec"]

PROJECT_NAME: Final = "navi"
ENTRY_POINT_GROUP: Final = "navi"

hookspec: Final = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl: Final = pluggy.HookimplMarker(PROJECT_NAME)


# --- kinds: each returns classes; the host makes the instances ------------------------------------


@hookspec
def navi_register_runtimes() -> Sequence[type[Runtime]]:  # type: ignore[empty-body]  # a specification has no body
    """Register runtimes: classes that turn an artifact into a servable.

    Called once per host, before the configuration is applied.

    :returns: classes that implement :class:`navi_core.Runtime`.
    """


@hookspec
def navi_register_converters() -> Sequence[type[Converter]]:  # type: ignore[empty-body]  # a specification has no body
    """Register converters: classes that turn a payload into named tensors.

    Called once per host, before the configuration is applied.

    :returns: classes that implement :class:`navi_core.Converter`.
    """


@hookspec
def navi_register_transports() -> Sequence[type[Transport]]:  # type: ignore[empty-body]  # a specification has no body
    """Register transports: classes that move bytes.

    Called once per host, before the configuration is applied.

    :returns: classes that implement :class:`navi_core.Transport`.
    """


@hookspec
def navi_register_services() -> Sequence[type[Service]]:  # type: ignore[empty-body]  # a specification has no body
    """Register services: classes that speak a protocol.

    Called once per host, before the configuration is applied. Every registered service runs on every
    transport that can carry it, unless the configuration names some.

    :returns: classes that implement :class:`navi_core.Service`.
    """


@hookspec
def navi_register_sources() -> Sequence[type[ModelSource]]:  # type: ignore[empty-body]  # a specification has no body
    """Register model sources: classes that say which versions are wanted.

    Called once per host, before the configuration is applied.

    :returns: classes that implement :class:`navi_core.ModelSource`.
    """


@hookspec
def navi_register_clients() -> Sequence[type[RemoteClient]]:  # type: ignore[empty-body]  # a specification has no body
    """Register clients: classes that ask running servers, for ``navi-host predict`` and ``models``.

    Called once per host, before the configuration is applied.

    :returns: classes that implement :class:`navi_core.RemoteClient`; importing them imports no client library.
    """


@hookspec
def navi_register_commands() -> Sequence[click.Command]:  # type: ignore[empty-body]  # a specification has no body
    """Register commands of ``navi-host``.

    Called once per invocation of the command line. A command imports what it needs when it runs.

    :returns: click commands; a name that is taken already is refused and reported.
    """


@hookspec
def navi_plugin_status() -> Mapping[str, str]:  # type: ignore[empty-body]  # a specification has no body
    """Say how things are with what the plugin keeps outside of the host: a cache, a device, a licence.

    Called by ``navi-host plugins`` alone. Quick: it imports no framework, opens no connection, makes nothing.

    :returns: what it is about -> one line; ``{"kernel_cache": "warm: 2 kernels in /var/cache/navi"}``.
    """


# --- observers: never fail anything; one that raises is logged -------------------------------------


@hookspec
def navi_servable_state_changed(event: StateChanged) -> None:
    """Observe that a version moved to another state.

    Called on the host's loop after the change is visible; must not block.

    :param event: the model, the version, the state before and after, and the error if there was one.
    """


@hookspec
def navi_request_finished(event: RequestFinished) -> None:
    """Observe that a request was answered.

    Called on the host's loop after the answer was made; must not block. Nothing is built or called
    when no plugin implements it.

    :param event: the target, the outcome, and where the time went.
    """
