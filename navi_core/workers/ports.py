"""Ports that several processes listen on: reserved by their parent, so that all get the same ones.

The parent's sockets are bound and never listen: no connection comes to them. They keep the port for a worker that is
started anew, whatever else looks for a free one.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack

from msgspec.structs import replace

from navi_core.config.records import HostConfig
from navi_core.plugins.registry import Registry
from navi_core.transports.listener import bind_tcp

__all__ = ["reserve_ports"]


def reserve_ports(config: HostConfig, registry: Registry) -> tuple[HostConfig, Sequence[socket.socket]]:
    """Return the configuration with every port settled, and the sockets that keep them.

    Raises
    ------
    ConfigError
        An address cannot be used, or somebody listens there.
    PluginError
        A transport is not installed.
    """
    with ExitStack() as undo:
        kept: list[socket.socket] = []

        def reserve(host: str, port: int) -> int:
            if port:  # a port that others share by SO_REUSEPORT would be shared with us, too
                for sock in bind_tcp(host, port):
                    sock.close()
            bound = bind_tcp(host, port, reuse_port=True)
            for sock in bound:
                undo.enter_context(sock)
                kept.append(sock)
            return int(bound[0].getsockname()[1])

        transports = {}
        for name, settings in config.transports.items():
            wanted = registry.transport(name).default_port if settings.port is None else settings.port
            transports[name] = replace(settings, port=reserve(settings.host or config.host, wanted))
        metrics = config.prometheus_port
        if metrics is not None:
            metrics = reserve(config.host, metrics)
        undo.pop_all()
    return replace(config, transports=transports, prometheus_port=metrics), kept
