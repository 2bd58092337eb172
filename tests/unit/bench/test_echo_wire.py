"""The servers that generators are measured against: a request in, the same answer out, however it is cut."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.bench.echo_http1 import FixedHttp1
from navi_core.bench.echo_http2 import FixedHttp2
from navi_core.bench.http_answers import HttpAnswerReader

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_STREAM, ACK = 1, 1


def cut(data, wire: bytes) -> list[bytes]:
    places = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    return [wire[a:b] for a, b in zip([0, *places], [*places, len(wire)], strict=True)]


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.data())
def test_http1__one_answer_for_each_request(bodies, data):
    wire = b"".join(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body) for body in bodies
    )
    server = FixedHttp1(b'{"y": 1}')
    out = b"".join(server.feed(piece) for piece in cut(data, wire))
    one = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n{"y": 1}'
    assert out == one * len(bodies)
    assert HttpAnswerReader().feed(one).body == b'{"y": 1}'


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Client:
    """Keeps the books of one HTTP/2 connection: what came, and what the server may still send."""

    def __init__(self, stream_window: int) -> None:
        self.connection = 65535
        self.initial = stream_window
        self.streams: dict[int, int] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.pongs: list[bytes] = []
        self._data = b""

    def take(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= 9:
            size = int.from_bytes(self._data[:3], "big")
            kind, flags = self._data[3], self._data[4]
            stream = int.from_bytes(self._data[5:9], "big")
            payload, self._data = self._data[9 : 9 + size], self._data[9 + size :]
            if kind == DATA:
                assert size <= 16384
                self.connection -= size
                self.streams[stream] = self.streams.get(stream, self.initial) - size
                assert self.connection >= 0
                assert self.streams[stream] >= 0
                self.bodies[stream] = self.bodies.get(stream, b"") + payload
            elif kind == HEADERS and flags & END_STREAM:
                assert payload.endswith(b"grpc-status\x010")
                self.ended.add(stream)
            elif kind == PING:
                self.pongs.append(payload)
        assert not self._data


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 40_000), st.integers(0, 30_000), st.lists(st.integers(1, 60_000), max_size=8), st.data()
)
def test_http2__windows_are_kept_and_nothing_is_lost(answer_bytes, stream_window, updates, data):
    answer = bytes(range(256)) * (answer_bytes // 256 + 1)
    answer = answer[:answer_bytes]
    server, client = FixedHttp2(answer), Client(stream_window)
    client.take(server.opening())
    wire = PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, stream_window))
    for stream in (1, 3, 5):  # headers that mean nothing, a body in two frames
        wire += (
            frame(HEADERS, 4, stream, b"\x82") + frame(DATA, 0, stream, b"abc") + frame(DATA, 1, stream, b"d")
        )
    for piece in cut(data, wire):
        client.take(server.feed(piece))
    for number, more in enumerate(updates):
        stream = (0, 1, 3, 5)[number % 4]
        if not stream:
            client.connection += more
        else:
            client.streams[stream] = client.streams.get(stream, client.initial) + more
        client.take(server.feed(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", more))))
    for stream in (0, 1, 3, 5):  # now as much as anything needs
        if not stream:
            client.connection += 10**6
        else:
            client.streams[stream] = client.streams.get(stream, client.initial) + 10**6
        client.take(server.feed(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 10**6))))
    assert client.ended == {1, 3, 5}
    expected = struct.pack(">BI", 0, len(answer)) + answer
    assert [client.bodies.get(stream) == expected for stream in (1, 3, 5)] == [True] * 3


def test_http2__pings_resets_and_a_window_that_grows_later():
    server, client = FixedHttp2(b"x" * 100), Client(10)
    client.take(server.opening())
    client.take(server.feed(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 10))))
    client.take(server.feed(frame(PING, 0, 0, b"12345678") + frame(PING, ACK, 0, b"87654321")))
    assert client.pongs == [b"12345678"]
    client.take(server.feed(frame(HEADERS, 5, 1, b"") + frame(HEADERS, 5, 3, b"")))
    assert client.bodies[1] == client.bodies[3] == struct.pack(">BI", 0, 100) + b"x" * 5
    client.take(server.feed(frame(RST_STREAM, 0, 1, bytes(4))))
    client.initial = 200
    client.streams = {1: 190, 3: 190}
    client.take(server.feed(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 200))))
    assert client.ended == {3}


@pytest.mark.parametrize("size", [5, 23])
def test_http2__an_unfinished_preface_is_waited_for(size):
    server = FixedHttp2(b"")
    assert server.feed(PREFACE[:size]) == b""
    out = server.feed(PREFACE[size:] + frame(HEADERS, 5, 1, b""))
    assert out.endswith(b"grpc-status\x010")
