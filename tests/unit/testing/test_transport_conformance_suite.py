"""The suite sees what is wrong with a transport: each defect fails the case that is about it."""

from __future__ import annotations

import asyncio

import pytest

from navi_core.testing import TransportConformance
from navi_core.testing.asgi_clients import AsgiHarness
from navi_core.transports import body
from navi_core.transports.asgi import http, rpc
from navi_core.transports.asgi.channel import Channel
from navi_core.transports.asgi.skin import Skin
from navi_core.transports.asgi.transport import AsgiTransport
from navi_core.transports.in_flight import InFlight


class Suite(TransportConformance):
    __test__ = False
    transport_type = AsgiTransport
    limits_headers = False

    def make_harness(self, settings):
        return AsgiHarness(settings)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("navi_core.testing.transport_cases._WAIT_S", 0.4)


@pytest.fixture(autouse=True)
def whole_differences(monkeypatch):
    """Have pytest show differences whole, as it does on CI machines: those of large bodies take minutes."""
    monkeypatch.setenv("CI", "true")


async def test_a_sound_transport_passes(monkeypatch):
    monkeypatch.setattr("navi_core.testing.transport_cases._WAIT_S", 60)
    await Suite().test_rpc_on_written_is_called_exactly_once()
    await Suite().test_rpc_a_reset_during_the_run_cancels_the_handler()
    await Suite().test_http_on_written_is_called_exactly_once()


async def test_on_written_twice_is_seen(monkeypatch):
    def twice(response):
        if response.on_written is not None:
            response.on_written()

    monkeypatch.setattr(rpc, "run_on_written", twice)
    with pytest.raises(AssertionError):
        await Suite().test_rpc_on_written_is_called_exactly_once()


async def test_on_written_never_is_seen(monkeypatch):
    monkeypatch.setattr(http, "run_on_written", lambda response: None)
    with pytest.raises(AssertionError):
        await Suite().test_http_on_written_is_called_exactly_once()


async def test_a_handler_that_is_not_cancelled_is_seen(monkeypatch):
    monkeypatch.setattr(Channel, "interrupt_when_gone", lambda self, running: None)
    with pytest.raises(AssertionError):
        await Suite().test_rpc_a_reset_during_the_run_cancels_the_handler()
    with pytest.raises(AssertionError):
        await Suite().test_http_a_client_that_goes_cancels_the_handler()


async def test_bytes_that_stay_in_the_budget_are_seen(monkeypatch):
    monkeypatch.setattr(body.BodyHold, "release", lambda self: None)
    with pytest.raises(AssertionError):
        await Suite().test_http_echo(5000, chunked=False)


async def test_a_buffer_that_is_written_after_its_release_is_seen(monkeypatch):
    def too_early(pieces):
        return pieces if isinstance(pieces, bytes) else b"\xff" * sum(len(piece) for piece in pieces)

    monkeypatch.setattr(rpc, "join_body", too_early)
    with pytest.raises(AssertionError):
        await Suite().test_rpc_an_answer_in_pieces_is_one_message()


async def test_a_drain_that_does_not_wait_is_seen(monkeypatch):
    async def at_once(self, timeout_s):
        self.interrupt(only_reads=False)
        return True

    monkeypatch.setattr(InFlight, "finish", at_once)
    with pytest.raises(AssertionError):
        await Suite().test_rpc_draining_finishes_what_runs_and_refuses_what_comes()


async def test_a_deadline_that_nobody_keeps_is_seen(monkeypatch):
    monkeypatch.setattr(Skin, "watch_deadline", lambda self, call, running: None)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(Suite().test_http_a_deadline_shorter_than_the_run(), 1.5)


async def test_errors_that_tell_too_much_are_seen(monkeypatch):
    monkeypatch.setattr(rpc, "_INTERNAL", rpc._Failure(13, "a text that no client may see"))
    with pytest.raises(AssertionError):
        await Suite().test_rpc_a_broken_handler_is_an_opaque_error("Raise")


def test_only_the_cases_of_what_it_carries_are_collected():
    class OnlyRpc(AsgiTransport):
        carries = frozenset({"rpc"})

    class OnlyRpcSuite(Suite):
        transport_type = OnlyRpc

    names = [name for name in dir(OnlyRpcSuite) if name.startswith("test_") and getattr(OnlyRpcSuite, name)]
    assert "test_rpc_unary" in names
    assert not [name for name in names if name.startswith("test_http")]


async def test_a_plugin_module_that_imports_a_server_is_seen():
    class Heavy(Suite):
        plugin_module = "grpc"

    with pytest.raises(AssertionError, match="must not import grpc"):
        await Heavy().test_plugin_module_imports_no_server_and_no_framework()
