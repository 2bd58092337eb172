"""Certificates and authorities are renewed while a server runs; connections that are open stay."""

from __future__ import annotations

import asyncio
import shutil
import ssl

import pytest

from navi_core.contracts.transport import TlsFiles
from navi_core.transports import tls
from navi_core.transports.grpc.transport import GrpcTransport
from navi_core.transports.http.transport import HttpTransport

pytestmark = pytest.mark.integration

GREETINGS = {
    "h2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4" + bytes(5),
    "http/1.1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}
"""What a server answers at once, by protocol: a preface with empty settings, a request."""


@pytest.fixture(params=[GrpcTransport, HttpTransport], ids=["grpc", "http"])
def transport(request, monkeypatch):
    monkeypatch.setattr(tls, "LOOK_AGAIN_S", 0.0)
    return request.param()


@pytest.fixture
def files(certificates, tmp_path):
    """A server's files in a folder of their own, to be written over."""
    made = TlsFiles(
        key=tmp_path / "server.key",
        certificate=tmp_path / "server.crt",
        client_ca=(tmp_path / "clients.pem",),
    )
    put(certificates, made, server="server", clients="authority")
    return made


def put(certificates, files, *, server=None, clients=None):
    """Put other files in the place of what is there, each in one step."""
    moves = []
    if server is not None:
        moves = [
            (getattr(certificates, f"{server}_key"), files.key),
            (getattr(certificates, server), files.certificate),
        ]
    if clients is not None:
        moves.append((getattr(certificates, clients), files.client_ca[0]))
    for source, target in moves:
        new = target.with_suffix(".new")
        shutil.copyfile(source, new)
        new.rename(target)


async def connect(certificates, port, client):
    """Shake hands as a client and return the name in the server's certificate, and the connection."""
    context = ssl.create_default_context(cafile=certificates.authority)
    context.load_cert_chain(getattr(certificates, client), getattr(certificates, f"{client}_key"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    [[(_, name)]] = writer.get_extra_info("peercert")["subject"]
    writer.write(GREETINGS[writer.get_extra_info("ssl_object").selected_alpn_protocol() or "http/1.1"])
    if await reader.read(1) == b"":  # TLS 1.3: a client learns only now that it was refused
        writer.transport.abort()
        raise ConnectionResetError("the server closed the connection")
    return name, writer


async def name_for(certificates, port, client="client"):
    name, writer = await connect(certificates, port, client)
    writer.transport.abort()  # closing would wait for the server, and may outlive the test's loop
    return name


async def test_the_next_handshake_shows_the_renewed_certificate(listening, certificates, files, transport):
    async with listening(transport, tls=files) as server:
        name, old = await connect(certificates, server.port, "client")
        assert name == "server"
        put(certificates, files, server="client")
        assert await name_for(certificates, server.port) == "client"
        assert not old.transport.is_closing()
        old.transport.abort()


async def test_the_next_handshake_trusts_the_renewed_authority_alone(
    listening, certificates, files, transport
):
    async with listening(transport, tls=files) as server:
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await name_for(certificates, server.port, "stranger")
        put(certificates, files, clients="elsewhere")
        assert await name_for(certificates, server.port, "stranger") == "server"
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await name_for(certificates, server.port, "client")


@pytest.mark.parametrize("ruin", ["remove", "half", "other key"])
async def test_files_that_cannot_be_used_change_nothing(
    listening, certificates, files, transport, ruin, caplog
):
    async with listening(transport, tls=files) as server:
        if ruin == "remove":
            files.certificate.unlink()
        elif ruin == "half":
            files.certificate.write_bytes(certificates.client.read_bytes()[:300])
        else:
            shutil.copyfile(certificates.client_key, files.key)
        assert await name_for(certificates, server.port) == "server"
        assert "kept as they were" in caplog.text
        put(certificates, files, server="client")
        assert await name_for(certificates, server.port) == "client"
