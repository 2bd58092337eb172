from __future__ import annotations

import asyncio
import collections
import gc
import json
import logging
import socket
import threading
import time

import grpc
import pytest

from navi_core.clock import ManualClock
from navi_core.contracts.service_context import ServiceContext
from navi_core.contracts.transport import TlsFiles
from navi_core.errors import ConfigError
from navi_core.services.health import HealthService
from navi_core.testing.rpc_client import GrpcioClient
from navi_core.testing.transport_probe import RPC_PREFIX
from navi_core.transports.grpc.options import GrpcOptions
from navi_core.transports.grpc.transport import GrpcTransport
from navi_core.wire import grpc_health

pytestmark = pytest.mark.integration


async def echo(target, credentials=None):
    client = GrpcioClient(target, credentials)
    try:
        return await client.unary(RPC_PREFIX + "Echo", b"hello", timeout_s=60)
    finally:
        await client.close()


async def test_a_blocking_unary_client(listening):
    def ask(port):
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            return channel.unary_unary(RPC_PREFIX + "Echo")(b"hello", timeout=60)

    async with listening(GrpcTransport()) as server:
        assert str(server.addresses[0]) == f"grpc://127.0.0.1:{server.port}"
        assert await asyncio.to_thread(ask, server.port) == b"hello"


async def test_tls(listening, certificates):
    files = TlsFiles(key=certificates.server_key, certificate=certificates.server)
    trusting = grpc.ssl_channel_credentials(certificates.authority.read_bytes())
    async with listening(GrpcTransport(), tls=files) as server:
        assert server.addresses[0].scheme == "grpcs"
        assert (await echo(f"localhost:{server.port}", trusting)).status == 0
        assert (await echo(f"localhost:{server.port}")).status == 14


async def test_clients_must_show_a_certificate_of_the_authority(listening, certificates):
    files = TlsFiles(
        key=certificates.server_key, certificate=certificates.server, client_ca=(certificates.authority,)
    )

    def credentials(name):
        pair = {} if name is None else {
            "private_key": getattr(certificates, f"{name}_key").read_bytes(),
            "certificate_chain": getattr(certificates, name).read_bytes(),
        }  # fmt: skip
        return grpc.ssl_channel_credentials(certificates.authority.read_bytes(), **pair)

    async with listening(GrpcTransport(), tls=files) as server:
        target = f"localhost:{server.port}"
        assert (await echo(target, credentials("client"))).status == 0
        assert (await echo(target, credentials(None))).status == 14
        assert (await echo(target, credentials("stranger"))).status == 14


async def test_tls_files_that_cannot_be_used_are_named(listening, certificates, tmp_path):
    nothing, rubbish = tmp_path / "missing.pem", tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    good = {"key": certificates.server_key, "certificate": certificates.server}
    for wrong, named in (
        ({"key": nothing}, "missing.pem"),
        ({"certificate": rubbish}, "rubbish.pem"),
        ({"client_ca": (rubbish,)}, "rubbish.pem"),
        ({"chain": nothing}, "missing.pem"),
        ({"key": certificates.client_key}, "client.key"),
    ):
        with pytest.raises(ConfigError, match=named):
            async with listening(GrpcTransport(), tls=TlsFiles(**{**good, **wrong})):
                pass


async def test_a_taken_port_is_refused_in_words(listening, capfd):
    async with listening(GrpcTransport()) as server:
        with pytest.raises(
            ConfigError, match=rf"cannot listen on 127.0.0.1 port {server.port}: Address already"
        ):
            async with listening(GrpcTransport(), port=server.port):
                pass
    assert "Error in bind" not in capfd.readouterr().err


async def test_a_host_that_is_none_is_refused(listening):
    with pytest.raises(ConfigError, match=r"got 'no\.such\.host\.invalid'"):
        async with listening(GrpcTransport(), host="no.such.host.invalid"):
            pass


async def test_several_servers_share_a_port_when_told_so(listening):
    async with (
        listening(GrpcTransport(), reuse_port=True) as first,
        listening(GrpcTransport(), reuse_port=True, port=first.port) as second,
    ):
        assert second.port == first.port
        assert (await echo(f"127.0.0.1:{first.port}")).status == 0


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_ipv6(listening):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback here")
    async with listening(GrpcTransport(), host="::1") as server:
        assert (await echo(f"[::1]:{server.port}")).status == 0


async def test_a_unix_socket_beside_the_port(listening, tmp_path):
    path = tmp_path / "navi.sock"
    with socket.socket(socket.AF_UNIX) as stale:  # as a killed process leaves it
        stale.bind(str(path))
    own = GrpcOptions(unix_socket=str(path))
    async with listening(GrpcTransport(), options=own) as server:
        assert str(server.addresses[1]) == f"unix:{path}"
        assert (await echo(f"unix:{path}")).status == 0
        assert (await echo(f"127.0.0.1:{server.port}")).status == 0
    plain = tmp_path / "file"
    plain.write_text("not a socket")
    with pytest.raises(ConfigError, match="unix socket"):
        async with listening(GrpcTransport(), options=GrpcOptions(unix_socket=str(plain))):
            pass
    assert plain.read_text() == "not a socket"


async def test_connections_that_grow_old_lose_no_call(listening):
    """With a client as grpcio makes it: one that does not repeat unbegun calls may lose one to the race."""
    own = GrpcOptions(max_connection_age_s=0.2, max_connection_age_grace_s=5)
    async with listening(GrpcTransport(), options=own) as server:
        client = GrpcioClient(f"127.0.0.1:{server.port}", retries=True)
        try:
            end_s = time.monotonic() + 1
            while time.monotonic() < end_s:
                assert (await client.unary(RPC_PREFIX + "Sleep", b"0.01")).status == 0
        finally:
            await client.close()


async def test_clients_that_never_pause_are_not_reset_by_a_drain(listening):
    """They go on after the first refusal, so some call is always on its way when the server closes."""
    ends = collections.Counter()
    lock = threading.Lock()
    is_connected = threading.Semaphore(0)

    def hammer(port):
        channel = grpc.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        )
        with channel:
            call = channel.unary_unary(RPC_PREFIX + "Sleep")
            call(b"0", timeout=60)
            is_connected.release()
            while True:
                try:
                    call(b"0.005")
                except grpc.RpcError as error:
                    text = error.details()
                    with lock:
                        ends[error.code().name, "connect" if "failed to connect" in text else text] += 1
                    if text != "draining":
                        return

    async with listening(GrpcTransport()) as server:
        threads = [threading.Thread(target=hammer, args=(server.port,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert await asyncio.to_thread(is_connected.acquire, timeout=60)
        await asyncio.sleep(0.5)
        await server.drain()
    for thread in threads:
        await asyncio.to_thread(thread.join, 60)
    assert set(ends) <= {("UNAVAILABLE", "draining"), ("UNAVAILABLE", "connect")}
    assert ends["UNAVAILABLE", "draining"] >= 16


async def test_resets_and_drains_leave_no_traceback(listening, capfd, caplog):
    caplog.set_level(logging.INFO)
    async with listening(GrpcTransport()) as server:
        client = GrpcioClient(f"127.0.0.1:{server.port}")
        try:
            for delay_ms in range(60):
                method = ("Sleep", "Watch", "Sizes", "Chat")[delay_ms % 4]
                stream = await client.open(RPC_PREFIX + method)
                await stream.send(b"0.05")
                await asyncio.sleep((delay_ms % 7) / 1000)
                await stream.cancel()
            watch = await client.open(RPC_PREFIX + "Watch")
            await watch.send(b"")
            assert await watch.receive() == b"watching"
            await server.drain()
            assert (await watch.end()).message == "draining"
        finally:
            await client.close()
    assert "Traceback" not in capfd.readouterr().err
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_health_watch_is_told_and_ended_by_a_drain(listening):
    class Plane:
        is_draining = False
        callbacks = []

        def models(self):
            return ["ranker"]

        def is_ready(self, model=None):
            return not self.is_draining

        def on_change(self, callback):
            self.callbacks.append(callback)
            return lambda: self.callbacks.remove(callback)

    class Signal(asyncio.Event):
        async def wait(self):
            await super().wait()
            self.clear()

    plane = Plane()
    context = ServiceContext(
        plane=plane, admin=None, now=ManualClock().now, new_signal=Signal, rpc_services=lambda: ("a.B",)
    )
    async with listening(GrpcTransport(), HealthService.create(context)) as server:
        client = GrpcioClient(f"127.0.0.1:{server.port}")
        try:
            watch = await client.open("/grpc.health.v1.Health/Watch")
            await watch.send(grpc_health.HealthCheckRequest(service="model/ranker").SerializeToString())
            await watch.half_close()
            assert await watch.receive() == b"\x08\x01"
            plane.is_draining = True
            for callback in plane.callbacks:
                callback()
            assert await watch.receive() == b"\x08\x02"
            start_s = time.monotonic()
            await server.drain(60)
            assert time.monotonic() - start_s < 40, "the drain waited for the watch"
            ended = await watch.end()
            assert (ended.status, ended.message) == (14, "draining")
        finally:
            await client.close()
    assert plane.callbacks == []


async def test_a_peer_and_a_deadline_are_real(listening):
    async with listening(GrpcTransport()) as server:
        client = GrpcioClient(f"127.0.0.1:{server.port}")
        try:
            facts = json.loads((await client.unary(RPC_PREFIX + "Facts", timeout_s=60)).messages[0])
        finally:
            await client.close()
    assert facts["peer"].startswith("ipv4:127.0.0.1:")
    assert 30 < facts["deadline_in_s"] < 61


async def test_calls_leave_nothing_to_the_garbage_collector(listening):
    """Or bodies would live until a collection, while the budget counts them no longer."""

    def alive():
        counts = collections.Counter(type(each).__name__ for each in gc.get_objects())
        return {name: counts[name] for name in ("_Unary", "_ServicerContext", "RPCState")}

    async with listening(GrpcTransport()) as server:
        client = GrpcioClient(f"127.0.0.1:{server.port}")
        try:
            await client.unary(RPC_PREFIX + "Echo", b"hello")
            async with asyncio.timeout(60):
                while alive()["_Unary"]:  # it ends after its answer is here
                    await asyncio.sleep(0.05)
                    gc.collect()
            gc.collect()
            before = alive()
            gc.disable()
            for _ in range(30):
                await client.unary(RPC_PREFIX + "Echo", b"hello")
            async with asyncio.timeout(60):
                while (
                    alive()["_Unary"] or alive()["_ServicerContext"] > before["_ServicerContext"]
                ):  # as above
                    await asyncio.sleep(0.05)
            left = alive()
        finally:
            gc.enable()
            await client.close()
    assert left["_Unary"] == 0
    assert left["_ServicerContext"] <= before["_ServicerContext"]
    assert left["RPCState"] <= before["RPCState"] + 2  # grpcio's loop keeps its last one for a while
