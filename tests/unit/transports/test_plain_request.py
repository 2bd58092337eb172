"""Which heads are plain, and that aiohttp reads them alike."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.transports.http.plain_request import read_head

HEAD = (
    b"POST /v1/models/mlp:predict?x=%20y HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/json\r\n"
    b"X-Trace:\t a b \r\ncontent-length: 12\r\n\r\n"
)


def test_a_plain_head_is_read():
    head = read_head(HEAD, 128)
    assert (head.verb, head.path, head.query) == ("POST", "/v1/models/mlp:predict", "x=%20y")
    assert dict(head.metadata) == {
        "host": "h:1",
        "content-type": "application/json",
        "x-trace": "a b",
        "content-length": "12",
    }
    assert head.body_bytes == 12
    assert head.keeps_open


def test_what_is_kept_cannot_be_changed():
    with pytest.raises(TypeError):
        read_head(HEAD, 128).metadata["x"] = "y"
    assert read_head(HEAD, 128) is read_head(bytes(bytearray(HEAD)), 128)


def test_a_request_may_be_the_last():
    assert not read_head(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n", 128).keeps_open
    assert read_head(b"GET / HTTP/1.1\r\nHost: x\r\nconnection: Keep-Alive\r\n\r\n", 128).keeps_open


def test_too_many_headers_are_not_plain():
    assert read_head(HEAD, 4) is not None
    assert read_head(HEAD, 3) is None


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"post / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/2.0\r\n\r\n",
        b"POST  / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /#a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\n\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nA: b\n\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\n\r\n",
        b"POST / HTTP/1.1\r\n A: b\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nA: \xff\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nA: b\r\na: c\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1111111111111111\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, x\r\n\r\n",
    ],
)
def test_anything_else_is_not_plain(head):
    assert read_head(head, 128) is None


def read_by_aiohttp(head, body):
    """Return what aiohttp makes of the same bytes; None: it refuses them."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(BaseProtocol(loop), loop, 1 << 16)
        [(message, payload)], upgraded, tail = parser.feed_data(head + body)
        assert not upgraded
        assert not tail
        assert payload.is_eof()
        return message, payload.read_nowait()
    except HttpProcessingError:
        return None
    finally:
        loop.close()


piece = st.one_of(
    st.sampled_from([b"Host", b"content-length", b"Connection", b"X-A", b"5", b"close", b"keep-alive", b"\t", b" "]),
    st.sampled_from([b":", b"\r\n", b"\n", b"\r", b",", b"chunked", b"Transfer-Encoding", b"/", b"%41", b"\x80"]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([b"GET", b"POST"]),
    st.lists(piece, max_size=3).map(b"".join),
    st.lists(
        st.tuples(
            st.sampled_from([b"X-C", b"X-A", b"x-b", b"Connection", b"Content-Length"]),
            st.sampled_from([b":", b": ", b":\t", b" : "]),
            st.one_of(st.sampled_from([b"0", b"3", b"close", b"keep-alive"]), st.lists(piece).map(b"".join)),
        ).map(b"".join),
        max_size=4,
    ).map(lambda lines: [b"Host: h", *lines]),
)
def test_aiohttp_reads_what_is_plain_alike(verb, path, lines):
    head = b"%b /%b HTTP/1.1\r\n%b\r\n" % (verb, path, b"".join(line + b"\r\n" for line in lines))
    plain = read_head(head, 128)
    if plain is None:
        return
    body = b"x" * min(plain.body_bytes, 1 << 10)
    if len(body) != plain.body_bytes:
        return
    message, read = read_by_aiohttp(head, body)
    assert message.method == plain.verb
    assert (
        message.path == f"{plain.path}?{plain.query}"
        if plain.query
        else message.path.rstrip("?") == plain.path
    )
    assert {name.lower(): value for name, value in message.headers.items()} == dict(plain.metadata)
    assert message.should_close is not plain.keeps_open
    assert not message.chunked
    assert not message.upgrade
    assert read == body
