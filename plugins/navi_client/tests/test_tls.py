"""TLS and mutual TLS, with an authority made on the spot."""

from __future__ import annotations

import grpc
import pytest
from navi_client import AsyncClient, Client, ClientError, Code, Tls

pytestmark = pytest.mark.integration


def server_credentials(certificates, *, mutual):
    return grpc.ssl_server_credentials(
        [(certificates.server_key.read_bytes(), certificates.server_pem.read_bytes())],
        certificates.ca_pem.read_bytes() if mutual else None,
        require_client_auth=mutual,
    )


async def test_a_server_that_the_authority_signed(fake_with, certificates):
    server = fake_with(server_credentials(certificates, mutual=False))
    server.answers = [b""]
    tls = Tls(ca=certificates.ca_pem, server_name="ranker")
    with Client(server.address, tls=tls) as client:
        assert client.live()
    async with AsyncClient(server.address, tls=tls) as client:
        assert await client.live()
    for wrong in (Tls(ca=certificates.other_pem, server_name="ranker"), Tls(ca=certificates.ca_pem), True):
        with Client(server.address, tls=wrong) as client, pytest.raises(ClientError) as caught:
            client.live(timeout_s=60)
        assert caught.value.code is Code.UNAVAILABLE


def test_a_server_that_asks_for_a_certificate(fake_with, certificates):
    server = fake_with(server_credentials(certificates, mutual=True))
    server.answers = [b""]
    known = Tls(
        ca=str(certificates.ca_pem),
        certificate=certificates.client_pem,
        key=certificates.client_key,
        server_name="ranker",
    )
    with Client(server.address, tls=known) as client:
        assert client.live()
    unknown = Tls(ca=certificates.ca_pem, server_name="ranker")
    with Client(server.address, tls=unknown) as client, pytest.raises(ClientError) as caught:
        client.live(timeout_s=60)
    assert caught.value.code is Code.UNAVAILABLE
