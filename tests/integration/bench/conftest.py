"""A host in this process, and ``navi-host bench`` beside it."""

from __future__ import annotations

import json
import logging
import subprocess
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from navi_core import Host, HostConfig, ModelConfig, TransportSettings
from navi_core.cli.main import run
from navi_core.cli.state import CliState
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of


@pytest.fixture(scope="module")
def urls(tmp_path_factory) -> Iterator[dict[str, str]]:
    """Return scheme -> the URL of a host with ``m`` (twice its input) and ``slow`` (50 ms, one at a time)."""
    folder = tmp_path_factory.mktemp("models")
    write_affine(folder / "m", 1, scale=2.0)
    write_affine(folder / "slow", 1, run_seconds=0.05)
    write_affine(folder / "bad", 1, poison=13.0)
    for name in ("m", "slow"):  # one output says how large the batch was: it would be another in every answer
        (folder / name / "navi.toml").write_text("[batching]\nenabled = false\nmax_concurrent_batches = 1\n")
    config = HostConfig(
        models=tuple(ModelConfig(path=str(folder / name), stable_ms=0) for name in ("m", "slow", "bad")),
        transports={"grpc": TransportSettings(port=0), "http": TransportSettings(port=0)},
    )
    with Host(config, registry=registry_of(runtimes=[AffineRuntime])) as host:
        yield {
            scheme: f"{scheme}://127.0.0.1:{listeners[0].port}"
            for scheme, listeners in host.addresses.items()
        }


@pytest.fixture
def bench(capsys) -> Iterator[Callable[..., Any]]:
    """Run one ``navi-host bench`` in this process; short, unless the words say otherwise."""
    root = logging.getLogger()
    handlers, level, showwarning = list(root.handlers), root.level, warnings.showwarning

    def invoke(*words: str, clients: tuple[type, ...] = ()) -> subprocess.CompletedProcess:
        registry = registry_of(clients=clients, installed=() if clients else ("client",))
        if any("grpc://" in word for word in words) and "oip+grpc" not in registry.clients():
            pytest.skip("no client over gRPC is installed: pip install 'navi-core[client]'")
        # the last of two counts for click: what a test says
        defaults = ("--warm-up-s=0.1", "--no-ceiling", "--processes=1")
        status = run(["bench", *defaults, *words], CliState(lambda: registry))
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(words, status, captured.out, captured.err)

    yield invoke
    logging.captureWarnings(capture=False)
    warnings.showwarning = showwarning
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def measurement(bench) -> Callable[..., dict[str, Any]]:
    """Run one measurement and return its figures; it ends well."""

    def invoke(*words: str, **more: Any) -> dict[str, Any]:
        ended = bench(*words, "--json", **more)
        assert ended.returncode == 0, ended.stderr
        [found] = json.loads(ended.stdout)["measurements"]
        return found

    return invoke
