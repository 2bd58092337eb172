"""A host as GraphServer's replacement: its port, its file, its start line."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType

import click

from navi_core import Host, HostConfig, ModelConfig, TransportSettings
from navi_graphserver.naming import model_name
from navi_graphserver.operations.names import num_operations
from navi_graphserver.state import StateDirectory

__all__ = ["serve"]

_NO_ROOT = "graphserver://"
"""Admin operations of other protocols, which this host offers too, must not serve files of the machine."""


def serve(*, port: int, file: Path | None, host: str, rest_port: int | None, state_dir: Path | None) -> None:
    """Serve graphs until SIGINT or SIGTERM.

    Parameters
    ----------
    port, rest_port
        Where to listen; 0: any free port. None: no REST.
    file
        A graph to serve from the start, as graph 0 whatever its own id is; None: none.
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
    with Host(_config(port, file, host, rest_port, state_dir)) as running:
        (address,) = running.addresses["grpc"]
        line = f"Server listening on: [{address.host}:{address.port}]; Number of operations: [{num_operations()}]"
        click.echo(line, err=True)
        stop.wait()


def _config(
    port: int, file: Path | None, host: str, rest_port: int | None, state_dir: Path | None
) -> HostConfig:
    models = {}
    if state_dir is not None:
        for path in StateDirectory(state_dir).models():
            models[path.name] = ModelConfig(path=str(path), name=path.name, stable_ms=0.0)
    if file is not None:
        models[model_name(0)] = ModelConfig(path=str(file), name=model_name(0), stable_ms=0.0)
    transports = {"grpc": TransportSettings(port=port)}
    if rest_port is not None:
        transports["http"] = TransportSettings(port=rest_port)
    return HostConfig(
        models=tuple(models.values()),
        host=host,
        transports=transports,
        service_options={} if state_dir is None else {"graphserver": {"state_dir": str(state_dir)}},
        admin=True,
        model_roots=(_NO_ROOT,),
    )
