"""What Envoy brings beside what every transport does: protocols, TLS, sockets, and large bodies beside small ones."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import grpc
import pyqwest
import pytest
from navi_envoy.options import EnvoyOptions
from navi_envoy.transport import EnvoyTransport

from navi_core import TlsFiles
from navi_core.testing.foreign_harness import LaunchedProbe
from navi_core.testing.http_client import AiohttpClient
from navi_core.testing.rpc_client import GrpcioClient
from navi_core.testing.transport_harness import HarnessSettings
from navi_core.testing.transport_probe import HTTP_PREFIX, RPC_PREFIX

pytestmark = pytest.mark.integration

MIB = 1 << 20


def launch(**more) -> LaunchedProbe:
    probe = LaunchedProbe(EnvoyTransport, **more)

    async def start():
        await probe.start()
        await probe.bind(HarnessSettings())

    asyncio.run(start())
    return probe


@pytest.fixture(scope="module")
def plain():
    """Envoy in plain text, on a port and on a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="navi-") as folder:  # a socket's path is to be short
        probe = launch(own=EnvoyOptions(unix_socket=str(Path(folder) / "envoy.sock"), max_header_kib=16))
        yield probe
        probe.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Return an authority, a server's pair, a later one, and a client's pair."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program makes the certificates, and is not here")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority",
            "-keyout", "authority.key", "-out", "authority.pem")  # fmt: skip
    for name in ("server", "later", "client"):
        (folder / f"{name}.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-days", "2", "-in", f"{name}.csr", "-CA", "authority.pem", "-CAkey", "authority.key",
                "-CAcreateserial", "-extfile", f"{name}.ext", "-out", f"{name}.pem")  # fmt: skip
    names = ("authority", "server", "later", "client")
    return SimpleNamespace(
        **{name: folder / f"{name}.pem" for name in names},
        **{f"{name}_key": folder / f"{name}.key" for name in names},
    )


@pytest.fixture(scope="module")
def secure(certificates, tmp_path_factory):
    """Envoy with TLS and certificates of clients; its own pair may be replaced."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(certificates.server, folder / "server.pem")
    shutil.copy(certificates.server_key, folder / "server.key")
    files = TlsFiles(
        key=folder / "server.key", certificate=folder / "server.pem", client_ca=(certificates.authority,)
    )
    probe = launch(tls=files)
    probe.files = files
    yield probe
    probe.close()


def where(probe: LaunchedProbe, scheme: str) -> str:
    (address,) = (address for address in probe.addresses if address.scheme == scheme)
    return f"{address.host}:{address.port}" if address.port else address.host


async def echo_over(transport, origin: str, version) -> None:
    """Send a body there and back, over one version of HTTP."""
    client = pyqwest.Client(transport)
    async with client.stream("POST", f"{origin}{HTTP_PREFIX}echo", content=b"body" * 100_000) as answer:
        assert (answer.status, answer.http_version) == (200, version)
        content = b"".join([bytes(piece) async for piece in answer.content])
    assert content == b"body" * 100_000


# --- protocols ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [pyqwest.HTTPVersion.HTTP1, pyqwest.HTTPVersion.HTTP2])
async def test_rest_over_http_1_and_http_2_in_plain_text(plain, version):
    async with pyqwest.HTTPTransport(http_version=version) as transport:
        await echo_over(transport, f"http://{where(plain, 'http')}", version)


@pytest.mark.parametrize("text", [False, True])
async def test_grpc_web(plain, text):
    frame = struct.pack(">BI", 0, 3) + b"abc"
    body, kind = (
        (base64.b64encode(frame), "application/grpc-web-text") if text else (frame, "application/grpc-web")
    )
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://{where(plain, 'http')}{RPC_PREFIX}Echo",
            data=body,
            headers={"content-type": kind, "x-grpc-web": "1", "accept": kind},
        ) as answer,
    ):
        assert answer.status == 200
        content = await answer.read()
    if text:
        content = _untext(content)
    assert content.startswith(frame)
    flag, size_bytes = struct.unpack(">BI", content[len(frame) : len(frame) + 5])
    trailers = content[len(frame) + 5 :]
    assert (flag, size_bytes) == (0x80, len(trailers))
    assert b"grpc-status:0" in trailers.replace(b" ", b"")


def _untext(content: bytes) -> bytes:
    """Decode base64 that was written, and padded, piece by piece."""
    return b"".join(base64.b64decode(content[start : start + 4]) for start in range(0, len(content), 4))


async def test_http_1_0(plain):
    reader, writer = await asyncio.open_connection(*where(plain, "http").split(":"))
    writer.write(f"GET {HTTP_PREFIX}counters HTTP/1.0\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    assert b" 200 OK\r\n" in answer.partition(b"\r\n")[0] + b"\r\n"


async def test_unix_socket(plain):
    client = GrpcioClient(f"unix:{where(plain, 'unix')}")
    assert list((await client.unary(RPC_PREFIX + "Echo", b"abc")).messages) == [b"abc"]
    await client.close()


async def test_the_peer_is_the_connection_s_and_no_header_s(plain):
    client = AiohttpClient(f"http://{where(plain, 'http')}")
    headers = {"x-forwarded-for": "192.0.2.7", "x-envoy-external-address": "192.0.2.7"}
    facts = json.loads((await client.request("GET", HTTP_PREFIX + "facts", headers=headers)).body)
    await client.close()
    assert facts["peer"].startswith("127.0.0.1:")


async def test_headers_over_the_limit_are_refused(plain):
    client = AiohttpClient(f"http://{where(plain, 'http')}")
    reply = await client.request("GET", HTTP_PREFIX + "counters", headers={"large": "x" * (17 << 10)})
    assert reply.status == 431
    await client.close()


# --- TLS ----------------------------------------------------------------------------------------------


def credentials(certificates, *, with_client: bool = True):
    pair = (
        (certificates.client_key.read_bytes(), certificates.client.read_bytes())
        if with_client
        else (None, None)
    )
    return grpc.ssl_channel_credentials(certificates.authority.read_bytes(), *pair)


async def test_grpc_with_certificates_of_both_sides(secure, certificates):
    client = GrpcioClient(where(secure, "grpcs"), credentials(certificates))
    assert list((await client.unary(RPC_PREFIX + "Echo", b"abc")).messages) == [b"abc"]
    await client.close()


async def test_a_client_without_a_certificate_is_refused(secure, certificates):
    client = GrpcioClient(where(secure, "grpcs"), credentials(certificates, with_client=False))
    assert (await client.unary(RPC_PREFIX + "Echo", b"abc", timeout_s=60)).status == 14
    await client.close()


@pytest.mark.parametrize("version", [pyqwest.HTTPVersion.HTTP1, pyqwest.HTTPVersion.HTTP2])
async def test_rest_with_certificates_of_both_sides(secure, certificates, version):
    transport = pyqwest.HTTPTransport(
        http_version=version,
        tls_ca_cert=certificates.authority.read_bytes(),
        tls_key=certificates.client_key.read_bytes(),
        tls_cert=certificates.client.read_bytes(),
    )
    async with transport:
        await echo_over(transport, f"https://{where(secure, 'https')}", version)


@pytest.mark.parametrize("scheme", ["https", "h3"])
async def test_http_3_beside_the_others(certificates, scheme):
    files = TlsFiles(key=certificates.server_key, certificate=certificates.server)
    probe = await asyncio.to_thread(launch, own=EnvoyOptions(http3=True), tls=files)
    version = pyqwest.HTTPVersion.HTTP3 if scheme == "h3" else pyqwest.HTTPVersion.HTTP2
    try:
        async with pyqwest.HTTPTransport(
            http_version=version, tls_ca_cert=certificates.authority.read_bytes()
        ) as transport:
            await echo_over(transport, f"https://{where(probe, scheme)}", version)
    finally:
        await asyncio.to_thread(probe.close)


async def test_a_renewed_certificate_is_shown_without_a_restart(secure, certificates):
    def subject() -> str:
        shown = subprocess.run(
            ["openssl", "s_client", "-connect", where(secure, "https"), "-cert", certificates.client,
             "-key", certificates.client_key],
            input=b"", capture_output=True, check=False, timeout=120,
        )  # fmt: skip
        return shown.stdout.decode().partition("subject=")[2].partition("\n")[0]

    assert "server" in await asyncio.to_thread(subject)
    shutil.copy(certificates.later_key, secure.files.key)
    shutil.copy(certificates.later, secure.files.certificate)
    end = time.monotonic() + 60
    while "later" not in (shown := await asyncio.to_thread(subject)):
        assert time.monotonic() < end, shown
        await asyncio.sleep(0.1)


# --- large beside small -------------------------------------------------------------------------------


async def test_an_upload_in_progress_holds_no_small_request_up(plain):
    """All small calls end while the large one still sends, on its connection and on others."""
    large, other = GrpcioClient(where(plain, "grpc")), GrpcioClient(where(plain, "grpc"))
    stream = await large.open(RPC_PREFIX + "Sizes")
    for _ in range(64):
        await stream.send(bytes(MIB))
        for client in (large, other):
            assert list((await client.unary(RPC_PREFIX + "Echo", b"small", timeout_s=60)).messages) == [
                b"small"
            ]
    await stream.half_close()
    assert json.loads((await stream.end()).messages[0]) == [MIB] * 64
    await large.close()
    await other.close()


async def test_an_answer_that_nobody_reads_holds_no_small_request_up(plain):
    """An answer of 64 MiB waits for its reader: small calls go past it, and then it comes whole."""
    large, other = GrpcioClient(where(plain, "grpc")), GrpcioClient(where(plain, "grpc"))
    stream = await large.open(RPC_PREFIX + "Echo")
    await stream.send(bytes(64 * MIB))
    await stream.half_close()
    for client in (large, other) * 32:
        assert list((await client.unary(RPC_PREFIX + "Echo", b"small", timeout_s=60)).messages) == [b"small"]
    (message,) = (await stream.end()).messages
    assert len(message) == 64 * MIB
    await large.close()
    await other.close()
