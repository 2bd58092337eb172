"""The thrift transport under the suite of all transports, as far as thrift has what it asks for."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager, suppress

import pytest
from navi_dr_transform.thrift_service.options import ThriftOptions
from navi_dr_transform.thrift_service.transport import ThriftTransport

from navi_core.testing import TransportConformance
from navi_core.testing.rpc_client import RpcClient, RpcReply, RpcStream
from navi_core.testing.transport_cases import DEFAULTS
from navi_core.testing.transport_harness import SocketHarness
from navi_core.testing.transport_probe import HIDDEN_TEXT, RPC_PREFIX

pytestmark = pytest.mark.integration

_NO_STREAMS = "a thrift call is one message each way"
_NO_METADATA = "thrift messages carry no metadata"
_NO_DEADLINES = "thrift messages carry no deadline"
_NO_STATUS = "a thrift call ends with a result or an exception, which has a type and a text"
_NO_COMPRESSION = "thrift messages are not compressed"

SKIPPED = {
    "test_rpc_server_stream": _NO_STREAMS,
    "test_rpc_server_stream_arrives_while_it_runs": _NO_STREAMS,
    "test_rpc_server_stream_may_end_with_a_status_of_its_own": _NO_STREAMS,
    "test_rpc_server_stream_that_raises_is_an_opaque_error": _NO_STREAMS,
    "test_rpc_client_stream_ends_at_half_close": _NO_STREAMS,
    "test_rpc_client_stream_may_be_empty": _NO_STREAMS,
    "test_rpc_bidi_answers_between_messages_and_after_half_close": _NO_STREAMS,
    "test_rpc_a_reset_while_the_client_streams": _NO_STREAMS,
    "test_rpc_a_reset_of_a_server_stream_closes_the_generator": _NO_STREAMS,
    "test_rpc_draining_ends_streams_that_only_watch": _NO_STREAMS,
    "test_rpc_on_written_is_called_exactly_once": "it asks for streams; a case below asks for the rest",
    "test_rpc_metadata_both_ways": _NO_METADATA,
    "test_rpc_large_metadata_is_refused": _NO_METADATA,
    "test_rpc_a_deadline_is_handed_over": _NO_DEADLINES,
    "test_rpc_a_deadline_shorter_than_the_run": _NO_DEADLINES,
    "test_rpc_a_status_its_text_and_trailers": _NO_STATUS,
    "test_rpc_every_status_arrives_as_it_is": _NO_STATUS,
    "test_rpc_a_long_status_text_is_cut": _NO_STATUS,
    "test_rpc_gzip_both_ways": _NO_COMPRESSION,
    "test_rpc_a_gzip_bomb_is_refused": _NO_COMPRESSION,
}

_STRING = struct.Struct(">i")


def _status(kind, text):
    """Return the status that the suite expects where a thrift client is told a type and a text."""
    if kind == 1:
        return 12
    for word, status in (("draining", 14), ("expected at most", 8), ("not allowed", 7)):
        if word in text:
            return status
    return 13


class ThriftStream(RpcStream):
    """One framed call on a connection of its own."""

    def __init__(self, client, connection, method):
        self.client = client
        self.reader, self.writer = self.connection = connection
        self.method = method

    async def send(self, message):
        header = b"\x80\x01\x00\x01" + _STRING.pack(len(self.method)) + self.method + _STRING.pack(7)
        self.writer.write(_STRING.pack(len(header) + len(message)) + header)
        self.writer.write(message)
        # not awaited: a client that is refused early reads its answer before it has written all

    async def half_close(self):
        pass

    async def receive(self):
        raise NotImplementedError

    async def end(self):
        (size,) = _STRING.unpack(await self.reader.readexactly(4))
        frame = await self.reader.readexactly(size)
        await self.writer.drain()
        self.client.idle.append(self.connection)
        assert frame[:3] == b"\x80\x01\x00"
        (length,) = _STRING.unpack_from(frame, 4)
        assert frame[8 : 8 + length] == self.method
        body = frame[8 + length + 4 :]
        assert frame[8 + length : 8 + length + 4] == _STRING.pack(7)
        if frame[3] == 2:
            return RpcReply(status=0, message="", messages=[body])
        assert frame[3] == 3
        assert body[:3] == b"\x0b\x00\x01"
        (length,) = _STRING.unpack_from(body, 3)
        text = body[7 : 7 + length].decode()
        assert body[7 + length : 10 + length] == b"\x08\x00\x02"
        (kind,) = _STRING.unpack_from(body, 10 + length)
        assert body[14 + length :] == b"\0"
        return RpcReply(status=_status(kind, text), message=text)

    async def cancel(self):
        self.writer.close()


class ThriftRpcClient(RpcClient):
    """Framed calls side by side, each on a connection; two are open from the beginning, for when the port closes."""

    def __init__(self, host, port):
        self.address = (host, port)
        self.idle = None
        self.open_writers = []

    async def connect(self):
        connection = await asyncio.open_connection(*self.address, limit=1 << 24)
        self.open_writers.append(connection[1])
        return connection

    async def open(self, path, *, metadata=(), timeout_s=None, gzip=False):
        if self.idle is None:
            self.idle = [await self.connect(), await self.connect()]
        connection = self.idle.pop() if self.idle else await self.connect()
        return ThriftStream(self, connection, path.removeprefix(RPC_PREFIX).encode())

    async def close(self):
        for writer in self.open_writers:
            writer.close()


class ThriftHarness(SocketHarness):
    def rpc_client(self):
        address = self._address("thrift")
        return ThriftRpcClient(address.host, address.port)


class TestThrift(TransportConformance):
    plugin_module = "navi_dr_transform.plugin"
    heavy_modules = (*TransportConformance.heavy_modules, "numba", "thrift")
    transport_type = ThriftTransport
    transport_options = ThriftOptions(service="navi.testing.Probe")

    def make_harness(self, settings):
        return ThriftHarness(self.transport_type(), settings, own=self.transport_options)

    # metadata of answers goes nowhere, so that wrong metadata breaks nothing
    @pytest.mark.parametrize("method", ["Raise", "CancelItself"])
    async def test_rpc_a_broken_handler_is_an_opaque_error(self, method):
        async with self.rpc() as (_, client):
            reply = await client.unary(RPC_PREFIX + method)
            assert (reply.status, reply.message) == (13, "internal error")
            assert HIDDEN_TEXT not in reply.message
            assert (await client.unary(RPC_PREFIX + "Echo", b"still there")).status == 0

    async def test_rpc_on_written_is_called_exactly_once_for_every_answer(self):
        async with self.rpc() as (harness, client):
            await client.unary(RPC_PREFIX + "Echo", b"x")
            await client.unary(RPC_PREFIX + "Pieces", b"xyz")
            await client.unary(RPC_PREFIX + "Fail", b'{"status": 5, "message": "no"}')
            stream = await client.open(RPC_PREFIX + "Sleep")
            await stream.send(b"30")
            await self.eventually(harness, lambda seen: seen["sleeping"] == 1)
            await stream.cancel()
            await self.eventually(harness, lambda seen: seen["cancelled"] == 1)
            await asyncio.sleep(0.05)
            await self.eventually(harness, lambda seen: seen["answered"] == seen["written"] == 3)


def _skipping(reason):
    async def test(self):
        pytest.skip(reason)

    return test


for _name, _reason in SKIPPED.items():
    assert hasattr(TransportConformance, _name), _name
    setattr(TestThrift, _name, _skipping(_reason))


# --- connections that do not go on ----------------------------------------------------------------------------


@asynccontextmanager
async def running(**own):
    """Yield a function that connects to the transport."""
    harness = ThriftHarness(
        ThriftTransport(), DEFAULTS, own=ThriftOptions(service="navi.testing.Probe", **own)
    )
    await harness.start()
    address = harness.addresses[0]
    writers = []

    async def connect():
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writers.append(writer)
        return reader, writer

    try:
        yield connect
    finally:
        for writer in writers:
            writer.close()
        await harness.stop()


async def is_closed(reader, within_s=60.0):
    """Wait until the server closes a connection."""
    async with asyncio.timeout(within_s):
        try:
            return await reader.read(1) == b""
        except ConnectionError:
            return True


CALL = b"\x80\x01\x00\x01\x00\x00\x00\x04Echo\x00\x00\x00\x07"


async def test_connections_without_messages_are_closed():
    async with running(idle_timeout_s=0.1) as connect:
        reader, _ = await connect()
        assert await is_closed(reader)


async def test_an_answered_connection_is_idle_again():
    async with running(idle_timeout_s=1.0) as connect:
        reader, writer = await connect()
        writer.write(_STRING.pack(len(CALL) + 2) + CALL + b"hi")
        assert (await reader.readexactly(len(CALL) + 6))[-2:] == b"hi"
        assert await is_closed(reader)


@pytest.mark.parametrize("start", [b"\0\0", _STRING.pack(1000) + CALL, CALL + b"\x0c\0"])
async def test_messages_that_do_not_come_are_not_waited_for(start):
    async with running(message_timeout_s=0.1) as connect:
        reader, writer = await connect()
        writer.write(start)
        assert await is_closed(reader)


async def test_a_message_that_comes_slowly_enough_is_waited_for_as_far_as_it_comes():
    async with running(message_timeout_s=0.2, min_message_bytes_per_s=1) as connect:
        reader, writer = await connect()
        writer.write(_STRING.pack(len(CALL) + 20) + CALL)
        for _ in range(20):  # 20 bytes in half a second: 16 + 20 bytes are given 36 seconds more
            await asyncio.sleep(0.025)
            writer.write(b"x")
        assert (await reader.readexactly(len(CALL) + 24))[-20:] == b"x" * 20


async def test_a_client_that_does_not_read_is_cut():
    async with running(write_timeout_s=0.2) as connect:
        reader, writer = await connect()
        reader._transport.pause_reading()
        frame = _STRING.pack(len(CALL) + (8 << 20)) + CALL + bytes(8 << 20)

        async def write_for_ever():
            while True:
                writer.write(frame)
                await writer.drain()

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(write_for_ever(), 60)


async def test_connections_over_the_limit_are_closed_at_once():
    async with running(max_connections=2) as connect:
        first, _ = await connect(), await connect()
        third, _ = await connect()
        assert await is_closed(third)
        first[1].close()
        for _ in range(1000):  # until the server has seen it
            reader, writer = await connect()
            writer.write(_STRING.pack(len(CALL)) + CALL)
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                assert (await reader.readexactly(len(CALL) + 4))[:4] == _STRING.pack(len(CALL))
                return
            await asyncio.sleep(0.02)
        pytest.fail("the closed connection still counts")


async def test_answers_come_in_the_order_of_their_calls():
    """A client that does not wait gets its answers one after the other."""
    async with running() as connect:
        reader, writer = await connect()
        bodies = [b"%d" % number * 5000 for number in range(10)]
        writer.write(b"".join(_STRING.pack(len(CALL) + len(body)) + CALL + body for body in bodies))
        for body in bodies:
            assert (await reader.readexactly(len(CALL) + 4 + len(body)))[len(CALL) + 4 :] == body


@pytest.mark.uvloop
class TestThriftOnUvloop(TestThrift):
    """On the event loop that the command line uses where it exists."""
