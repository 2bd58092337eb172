"""Every transport of navi-core under the suite that plugin authors get."""

from __future__ import annotations

import pytest

from navi_core.testing import TransportConformance
from navi_core.testing.asgi_clients import AsgiHarness
from navi_core.testing.transport_probe import HTTP_PREFIX, RPC_PREFIX
from navi_core.transports.asgi.options import AsgiOptions
from navi_core.transports.asgi.transport import AsgiTransport
from navi_core.transports.grpc.options import GrpcOptions
from navi_core.transports.grpc.transport import GrpcTransport
from navi_core.transports.http.transport import HttpTransport

pytestmark = pytest.mark.integration

FAULTY = "mine-7"
HOSTILE = "two words"


class CarriesRpc:
    """What else transports of navi-core do that carry RPCs."""

    @pytest.mark.parametrize("said", [FAULTY, HOSTILE])
    async def test_rpc_the_answer_to_a_fault_has_the_call_s_id(self, said: str) -> None:
        async with self.rpc() as (_, client):
            reply = await client.unary(RPC_PREFIX + "Raise", metadata=(("x-request-id", said),))
        assert reply.status == 13
        assert reply.trailers.get("x-request-id") == (said if said == FAULTY else None)


class CarriesHttp:
    """What else transports of navi-core do that carry HTTP."""

    @pytest.mark.parametrize("said", [FAULTY, HOSTILE])
    async def test_http_the_answer_to_a_fault_has_the_call_s_id(self, said: str) -> None:
        async with self.http() as (_, client):
            reply = await client.request("GET", HTTP_PREFIX + "raise", headers={"x-request-id": said})
        assert reply.status == 500
        assert reply.headers.get("x-request-id") == (said if said == FAULTY else None)


class TestGrpc(CarriesRpc, TransportConformance):
    plugin_module = "navi_core.plugins.builtin"
    transport_type = GrpcTransport


class TestGrpcThatCompresses(TransportConformance):
    transport_type = GrpcTransport
    transport_options = GrpcOptions(compression="gzip")
    compresses_answers = True


class TestHttp(CarriesHttp, TransportConformance):
    plugin_module = "navi_core.plugins.builtin"
    transport_type = HttpTransport
    compresses_answers = True


@pytest.mark.uvloop
class TestGrpcOnUvloop(TestGrpc):
    """On the event loop that the command line uses where it exists."""


@pytest.mark.uvloop
class TestHttpOnUvloop(TestHttp):
    """On the event loop that the command line uses where it exists."""


class TestAsgi(CarriesRpc, CarriesHttp, TransportConformance):
    """Under a server with the habits of Envoy's Python module: nothing waits, nothing is cancelled."""

    plugin_module = "navi_core.plugins.builtin"
    transport_type = AsgiTransport
    transport_options = AsgiOptions(compression="gzip", disconnect_poll_ms=20.0)
    compresses_answers = True
    limits_headers = False

    def make_harness(self, settings):
        return AsgiHarness(settings, own=self.transport_options)


class TestAsgiByTheBook(TestAsgi):
    """Under a server that waits in receive until the client goes."""

    transport_options = AsgiOptions(disconnect_poll_ms=20.0)
    compresses_answers = False

    def make_harness(self, settings):
        return AsgiHarness(
            settings, own=self.transport_options, waits_for_disconnect=True, offers_trailers=True
        )


class TestAsgiThatCancels(TestAsgi):
    """Under a server that cancels the application when the client goes."""

    def make_harness(self, settings):
        return AsgiHarness(
            settings, own=self.transport_options, waits_for_disconnect=True, cancels_on_disconnect=True
        )
