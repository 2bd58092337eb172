"""EnvoyServer: what it refuses before Envoy is started, and what Envoy refuses."""

from __future__ import annotations

import socket

import pytest
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


async def test_a_server_that_was_not_started_can_be_stopped():
    launched = server()
    await launched.begin_drain()
    await launched.drain(1.0)
    await launched.stop()
    assert await launched.wait() == "Envoy was not started"
