"""EnvoyServer: what it refuses before Envoy is started, and what Envoy refuses."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile

import pytest
from navi_envoy import follow_parent
from navi_envoy.options import EnvoyOptions
from navi_envoy.transport import EnvoyTransport

from navi_core import ConfigError, LaunchPlan, LifecycleError, TlsFiles


def server(**plan):
    return EnvoyTransport().launch(LaunchPlan(app="navi_core.hosted.app:app", **plan))


async def test_http3_needs_tls():
    with pytest.raises(ConfigError, match="http3: expected TLS beside it"):
        await server(options=EnvoyOptions(http3=True)).start()


async def test_http3_would_let_clients_in_without_a_certificate(tmp_path):
    files = TlsFiles(key=tmp_path / "key", certificate=tmp_path / "certificate", client_ca=(tmp_path / "ca",))
    with pytest.raises(ConfigError, match="http3: expected no client_ca beside it"):
        await server(options=EnvoyOptions(http3=True), tls=files).start()


async def test_a_port_that_is_taken_is_said_before_envoy_starts():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"
        ):
            await server(port=port).start()


async def test_certificates_are_read_before_envoy_starts(tmp_path):
    files = TlsFiles(key=tmp_path / "key", certificate=tmp_path / "certificate")
    (tmp_path / "key").write_text("rubbish")
    with pytest.raises(ConfigError, match="expected PEM text"):
        await server(tls=files).start()


@pytest.mark.integration
async def test_what_envoy_refuses_ends_the_start(capfd):
    launched = server(options=EnvoyOptions(connection_manager={"no_such_field": 1}))
    with pytest.raises(LifecycleError, match="Envoy did not start: Envoy ended with status 1"):
        await launched.start()
    assert "no_such_field" in capfd.readouterr().err


@pytest.fixture
def deaf(monkeypatch):
    """Return a program in the place of Envoy's that never listens."""
    program = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr("navi_envoy.server._command", lambda *_: (program, dict(os.environ)))


async def test_an_envoy_that_never_listens_is_ended_and_said(deaf, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    launched = server(options=EnvoyOptions(start_timeout_s=0.2))
    with pytest.raises(
        LifecycleError, match=r"within 0\.2 s \(start_timeout_s\), its admin interface does not answer"
    ):
        await launched.start()
    assert await launched.wait() == "Envoy was ended by SIGTERM"
    assert not list(tmp_path.iterdir())


async def test_how_far_envoy_came_is_said_when_it_takes_too_long(deaf, monkeypatch):
    asked = asyncio.Event()

    class StillStarting:
        def __init__(self, path):
            pass

        async def state(self):
            if asked.is_set():
                await asyncio.Event().wait()
            asked.set()
            return "INITIALIZING"

    monkeypatch.setattr("navi_envoy.server.Admin", StillStarting)
    with pytest.raises(LifecycleError, match=r"\(start_timeout_s\), it says INITIALIZING"):
        await server(options=EnvoyOptions(start_timeout_s=0.2)).start()


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux alone has SCHED_BATCH")
@pytest.mark.parametrize("is_batch", [True, False])
def test_scheduling_survives_the_change_of_program(is_batch, tmp_path):
    wanted = {
        "argv": [sys.executable, "-I", "-S", "-c", "import os; print(os.sched_getscheduler(0))"],
        "environ": dict(os.environ),
        "parent": os.getpid(),
        "is_batch": is_batch,
    }
    (tmp_path / "exec.json").write_text(json.dumps(wanted))
    command = [sys.executable, "-I", "-S", follow_parent.__file__, str(tmp_path / "exec.json")]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    before = os.sched_getscheduler(0)
    assert int(shown) == (os.SCHED_BATCH if is_batch else before)


async def test_a_server_that_was_not_started_can_be_stopped():
    launched = server()
    await launched.begin_drain()
    await launched.drain(1.0)
    await launched.stop()
    assert await launched.wait() == "Envoy was not started"
