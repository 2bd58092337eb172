"""``navi-host demo``: build, serve, ask, show, stay up."""

from __future__ import annotations

import importlib.util
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import click
import numpy as np

from navi_core import ConfigError, Host, HostConfig, ModelConfig, TransportSettings
from navi_dr_transform.options import BprOptions

if TYPE_CHECKING:
    from navi_dr_transform.demo.files import DemoFiles

__all__ = ["run"]

_NEEDED: Final = ("onnx",)


def run(port: int, rest_port: int, directory: Path | None, *, once: bool, as_json: bool) -> None:
    """Build the demo's model, serve it, rank candidates with it, and stay up.

    Parameters
    ----------
    port, rest_port
        Where to listen; 0: any free port.
    directory
        Where everything is kept; None: a temporary directory.
    once
        Return after the first answers.
    as_json
        Write the ranking as JSON.

    Raises
    ------
    NaviError
        Something is not installed, a port is taken, or the model cannot be served; says which.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        msg = f"the demo needs {' and '.join(missing)}: pip install 'navi-dr-transform[demo]'"
        raise ConfigError(msg)
    # an end from outside unwinds like Ctrl-C, so that a temporary folder is removed
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _folder(directory) as folder:
        _serve(folder, port, rest_port, once=once, as_json=as_json)


def _serve(folder: Path, port: int, rest_port: int, *, once: bool, as_json: bool) -> None:
    # these import onnx and thrift, which may be missing until run() has looked
    from navi_dr_transform.demo.client import predict  # noqa: PLC0415 - see above
    from navi_dr_transform.demo.files import MODEL_NAME, write_demo  # noqa: PLC0415 - see above
    from navi_dr_transform.demo.requests import make_requests  # noqa: PLC0415 - see above
    from navi_dr_transform.demo.show import ranking_json, ranking_table, write_table  # noqa: PLC0415 - see above

    input_name = BprOptions().input_name
    requests = make_requests()
    _note(f"writing a ranking model and its feature mapping into {folder}")
    try:
        files = write_demo(folder, requests, input_name)
    except OSError as error:  # a full disk is told without the file's name
        raise OSError(error.errno, error.strerror, error.filename or str(folder)) from None
    config = HostConfig(
        # the version is complete: there is nothing to wait for
        models=(ModelConfig(path=str(files.model_dir), stable_ms=0.0),),
        transports={"grpc": TransportSettings(port=port), "http": TransportSettings(port=rest_port)},
    )
    _note("starting a host; the first start compiles the kernels, which takes a few seconds")
    with Host(config) as host:
        grpc = host.addresses["grpc"][0]
        addresses = [str(address) for each in host.addresses.values() for address in each]
        _note(f"sending {len(requests)} BatchPredictionRequests to {grpc}")
        answers = predict(
            f"{grpc.host}:{grpc.port}", MODEL_NAME, input_name, [each.payload for each in requests]
        )
        probabilities = np.concatenate(answers)
        candidates = [candidate for request in requests for candidate in request.candidates]
        if as_json:
            click.echo(ranking_json(candidates, probabilities, addresses=addresses))
        else:
            write_table(ranking_table(candidates, probabilities))
        if not once:
            http = host.addresses["http"][0]
            _stay(files, f"http://{http.host}:{http.port}", addresses)


def _stay(files: DemoFiles, url: str, addresses: Sequence[str]) -> None:
    """Say what to try, and wait for SIGINT or SIGTERM."""
    name = files.model_dir.name
    _note(f"model '{name}' is served at {' and '.join(addresses)} until Ctrl-C; try:")
    _note(f"  curl {url}/v1/models/{name}")
    _note(f"  curl -d @{files.rest_body} {url}/v1/models/{name}:predict")
    _note(f"  navi-host transform {files.requests[0]} --version-dir {files.version_dir} -o tensors.npz")
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _folder(directory: Path | None) -> Iterator[Path]:
    """Give the demo's folder; a temporary one is removed afterwards."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        yield directory.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="navi-demo-") as temporary:
        yield Path(temporary)


def _note(text: str) -> None:
    click.echo(text, err=True)
