"""A host as GraphServer's replacement: its port, its file, its start line."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import click

from navi_core import Host, HostConfig, ModelConfig, TransportSettings
from navi_graphserver.naming import graph_id_of, model_name
from navi_graphserver.operations.names import num_operations
from navi_graphserver.state import StateDirectory

__all__ = ["serve"]

_NO_ROOT = "graphserver://"
"""Admin operations of other protocols, which this host offers too, must not serve files of the machine."""


def serve(
    *, port: int, file: Path | None, name: str, host: str, rest_port: int | None, state_dir: Path | None
) -> None:
    """Serve graphs until SIGINT or SIGTERM, and end the process.

    Parameters
    ----------
    port, rest_port
        Where to listen; 0: any free port. None: no REST.
    file
        A graph to serve from the start, as graph 0 whatever its own id is; None: none.
    name
        The model that it is besides ``graph-0``; empty: none.
    host
        The address to listen at.
    state_dir
        Where registered graphs are kept; None: nowhere.

    Raises
    ------
    NaviError
        A port is taken, or the file cannot be served.
    """
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with Host(_config(port, file, name, host, rest_port, state_dir)) as running:
        (address,) = running.addresses["grpc"]
        line = f"Server listening on: [{address.host}:{address.port}]; Number of operations: [{num_operations()}]"
        click.echo(line, err=True)
        stop.wait()


def _config(
    port: int, file: Path | None, name: str, host: str, rest_port: int | None, state_dir: Path | None
) -> HostConfig:
    paths: dict[str, Path] = {}
    table: dict[str, Any] = {}
    if state_dir is not None:
        state = StateDirectory(state_dir)
        names = state.names()
        table["state_dir"] = str(state_dir)
        for path in state.models():
            paths[path.name] = path
            if given := names.get(graph_id_of(path.name)):
                paths[given] = path
    if file is not None:
        paths[model_name(0)] = file
        if name:
            paths[name] = file
            table["names"] = {"0": name}
    transports = {"grpc": TransportSettings(port=port)}
    if rest_port is not None:
        transports["http"] = TransportSettings(port=rest_port)
    return HostConfig(
        models=tuple(ModelConfig(path=str(path), name=model, stable_ms=0.0) for model, path in paths.items()),
        host=host,
        transports=transports,
        service_options={"graphserver": table} if table else {},
        admin=True,
        model_roots=(_NO_ROOT,),
    )
