from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl

import aiohttp
import pytest

from navi_core.contracts.transport import TlsFiles
from navi_core.errors import ConfigError
from navi_core.testing.http_client import AiohttpClient
from navi_core.testing.transport_probe import HTTP_PREFIX
from navi_core.transports.http.options import HttpOptions
from navi_core.transports.http.transport import HttpTransport

pytestmark = pytest.mark.integration


async def raw(port, data, *, then=b"", pause_s=0.0):
    """Send bytes as they are and return everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        await writer.drain()
        if then:
            await asyncio.sleep(pause_s)
            writer.write(then)
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()


def request(target="/probe/counters", *headers, verb="GET", version="HTTP/1.1"):
    lines = [f"{verb} {target} {version}", "Host: x", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()


def parts(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return (
        status,
        {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)},
        body,
    )


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        request("/x", "Bad Header: x"),
        request("/x", "Content-Length: -1"),
        request("/x", "Content-Length: 5", "Transfer-Encoding: chunked"),
        request("/x", "Large: " + "x" * 20_000),
        request("/" + "x" * 20_000),
        request("/x", *(f"H{number}: x" for number in range(1000))),
    ],
)
async def test_malformed_requests_get_an_answer_in_json_and_no_traceback(listening, caplog, sent):
    caplog.set_level(logging.INFO)
    async with listening(HttpTransport()) as server:
        status, headers, body = parts(await raw(server.port, sent))
        assert " 4" in status
        assert headers["content-type"] == "application/json"
        assert "malformed" in json.loads(body)["error"]
        assert b"xxx" not in body
        assert b"200 OK" in await raw(server.port, request())
    assert not caplog.records


async def test_the_server_does_not_tell_its_versions(listening):
    async with listening(HttpTransport()) as server:
        for target in ("/probe/counters", "/probe/stream", "/nowhere", "/probe/raise"):
            _, headers, _ = parts(await raw(server.port, request(target)))
            assert headers["server"] == "navi"


async def test_absolute_targets_and_old_versions(listening):
    async with listening(HttpTransport()) as server:
        _, _, body = parts(await raw(server.port, request("http://elsewhere:1/probe/facts/a%20b?q")))
        assert json.loads(body)["path"] == "/probe/facts/a%20b"
        assert json.loads(body)["query"] == "q"
        status, _, body = parts(await raw(server.port, request("/probe/stream", version="HTTP/1.0")))
        assert "200" in status
        assert body == b"chunk 0\nchunk 1\nchunk 2\n"


async def test_an_upgrade_is_not_taken_up(listening):
    upgrade = ("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    async with listening(HttpTransport()) as server:
        answer = await raw(server.port, request("/probe/echo", *upgrade).replace(b"close", b"Upgrade, close"))
        assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_a_body_that_comes_too_slowly_is_given_up(listening):
    own = HttpOptions(body_timeout_s=0.2, min_body_bytes_per_s=1 << 20)
    head = request("/probe/echo", "Content-Length: 1000", verb="POST")
    async with listening(HttpTransport(), options=own) as server:
        status, headers, body = parts(await raw(server.port, head + b"some"))
        assert " 408 " in status
        assert headers["connection"] == "close"
        assert "1048576 bytes a second" in json.loads(body)["error"]


async def test_a_large_body_may_take_longer_than_the_timeout(listening):
    own = HttpOptions(body_timeout_s=0.1, min_body_bytes_per_s=100)
    head = request("/probe/echo", "Content-Length: 1001", verb="POST")
    async with listening(HttpTransport(), options=own) as server:
        status, _, body = parts(await raw(server.port, head + b"x" * 1000, then=b"y", pause_s=0.4))
        assert " 200 " in status
        assert body == b"x" * 1000 + b"y"


async def test_a_head_that_never_ends_is_given_up(listening):
    async with listening(HttpTransport(), options=HttpOptions(keepalive_timeout_s=0.8)) as server:
        assert await raw(server.port, b"GET /probe/echo HTTP/1.1\r\nSlow: ") == b""
        assert await raw(server.port, b"") == b""
        # the head of a later request too, and no request that is answered late
        first = request("/probe/facts").replace(b"Connection: close\r\n", b"")
        answer = await raw(server.port, first + b"GET /probe/echo HTTP/1.1\r\nSlow: ")
        assert answer.count(b"200 OK") == 1
        slow = request("/probe/sleep", "Content-Length: 3", verb="POST")
        assert (await raw(server.port, slow + b"1.2")).endswith(b"slept")


async def test_broken_chunks_are_the_clients_fault(listening):
    head = request("/probe/echo", "Transfer-Encoding: chunked", verb="POST")
    async with listening(HttpTransport()) as server:
        answer = await raw(server.port, head + b"5\r\nhello\r\nzz\r\n")
        assert b" 400 " in answer.split(b"\r\n")[0]
        assert b'{"error"' in answer


async def test_an_unknown_expectation_is_refused(listening):
    head = request("/probe/echo", "Content-Length: 1", "Expect: miracles", verb="POST")
    async with listening(HttpTransport()) as server:
        answer = await raw(server.port, head + b"x")
        assert b" 400 " in answer.split(b"\r\n")[0]


async def test_pipelined_requests_are_answered_in_order(listening):
    first = request("/probe/facts/first").replace(b"Connection: close\r\n", b"")
    async with listening(HttpTransport()) as server:
        answer = await raw(server.port, first + request("/probe/facts/second"))
        assert answer.count(b"200 OK") == 2
        assert answer.index(b"facts/first") < answer.index(b"facts/second")


async def test_one_connection_serves_many_requests(listening):
    async with listening(HttpTransport()) as server:
        client = AiohttpClient(f"http://127.0.0.1:{server.port}")
        try:
            peers = {
                json.loads((await client.request("GET", HTTP_PREFIX + "facts")).body)["peer"]
                for _ in range(5)
            }
        finally:
            await client.close()
    assert peers == {"127.0.0.1"}


async def test_tls_and_client_certificates(listening, certificates):
    files = TlsFiles(
        key=certificates.server_key, certificate=certificates.server, client_ca=(certificates.authority,)
    )

    async def status(port, name):
        context = ssl.create_default_context(cafile=certificates.authority)
        if name is not None:
            context.load_cert_chain(getattr(certificates, name), getattr(certificates, f"{name}_key"))
        connector = aiohttp.TCPConnector(ssl=context)
        client = AiohttpClient(f"https://localhost:{port}", connector)
        try:
            return (await client.request("GET", HTTP_PREFIX + "counters")).status
        finally:
            await client.close()

    async with listening(HttpTransport(), tls=files) as server:
        assert server.addresses[0].scheme == "https"
        assert await status(server.port, "client") == 200
        for refused in (None, "stranger"):
            with pytest.raises((ConnectionError, aiohttp.ClientError, ssl.SSLError)):
                await status(server.port, refused)
        await server.drain()


async def test_a_chain_in_a_file_of_its_own(listening, certificates):
    files = TlsFiles(
        key=certificates.server_key, certificate=certificates.server, chain=certificates.authority
    )
    async with listening(HttpTransport(), tls=files) as server:
        context = ssl.create_default_context(cafile=certificates.authority)
        client = AiohttpClient(f"https://localhost:{server.port}", aiohttp.TCPConnector(ssl=context))
        try:
            assert (await client.request("GET", HTTP_PREFIX + "counters")).status == 200
        finally:
            await client.close()


async def test_a_unix_socket_beside_the_port(listening, tmp_path):
    path = tmp_path / "navi.sock"
    async with listening(HttpTransport(), options=HttpOptions(unix_socket=str(path))) as server:
        client = AiohttpClient("http://localhost", aiohttp.UnixConnector(str(path)))
        try:
            assert (await client.request("GET", HTTP_PREFIX + "counters")).status == 200
        finally:
            await client.close()
        assert [each.scheme for each in server.addresses] == ["http", "unix"]
    assert not path.exists()


async def test_ports_that_are_taken_and_shared(listening):
    async with listening(HttpTransport(), reuse_port=True) as server:
        with pytest.raises(ConfigError, match=rf"port {server.port}: Address already in use"):
            async with listening(HttpTransport(), port=server.port):
                pass
        async with listening(HttpTransport(), port=server.port, reuse_port=True) as second:
            assert second.port == server.port


async def test_a_client_that_resets_leaves_no_traceback(listening, caplog):
    caplog.set_level(logging.INFO)
    async with listening(HttpTransport()) as server:
        for body in (b"", b"some", b"30"):
            length = {b"": 10, b"some": 1000, b"30": 2}[body]
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            # closing resets the connection instead of ending it
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.write(request("/probe/sleep", f"Content-Length: {length}", verb="POST") + body)
            await asyncio.sleep(0.1)
            writer.close()
        await asyncio.sleep(0.1)
        assert b"200 OK" in await raw(server.port, request())
    assert not caplog.records


async def test_connections_waiting_to_be_accepted_survive_the_closing_of_the_port(listening):
    async with listening(HttpTransport()) as server:
        # connected by the kernel, not accepted yet: this loop has not had a turn since
        sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        try:
            await server.drain()
            for each in sockets:
                each.sendall(request())
            for each in sockets:
                each.settimeout(60)
                assert b"200 OK" in await asyncio.to_thread(each.recv, 65536)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", server.port))
        finally:
            for each in sockets:
                each.close()
