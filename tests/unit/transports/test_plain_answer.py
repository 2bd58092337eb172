"""Answers that are written without aiohttp's response object say what aiohttp's would."""

from __future__ import annotations

import email.utils

import pytest
from aiohttp import HttpVersion10
from aiohttp.abc import AbstractStreamWriter
from aiohttp.test_utils import make_mocked_request

from navi_core.transports.http.plain_answer import WRITTEN, WRITTEN_LAST, is_plain, write_plain

JSON = ("content-type", "application/json")


class Writer(AbstractStreamWriter):
    """Keeps what is written, write by write."""

    def __init__(self):
        self.pieces = []
        self.drained = 0

    async def write(self, chunk, *, drain=True, LIMIT=0):
        self.pieces.append(bytes(chunk))

    async def write_eof(self, chunk=b""):
        raise AssertionError

    async def drain(self):
        self.drained += 1

    def enable_compression(self, encoding="deflate", strategy=None):
        raise AssertionError

    def enable_chunking(self):
        raise AssertionError

    async def write_headers(self, status_line, headers):
        raise AssertionError


async def written(status, lines, body, *, keeps_open=True):
    writer = Writer()
    request = make_mocked_request("POST", "/", writer=writer)
    await write_plain(request, status, lines, body, keeps_open=keeps_open)
    assert writer.drained == 1
    return writer.pieces


async def test_a_small_answer_is_one_write():
    [piece] = await written(200, [JSON], b"{}")
    head, _, body = piece.partition(b"\r\n\r\n")
    assert body == b"{}"
    first, *lines = head.decode().split("\r\n")
    assert first == "HTTP/1.1 200 OK"
    fields = dict(line.split(": ", 1) for line in lines)
    email.utils.parsedate_to_datetime(fields.pop("Date"))
    assert fields == {"content-type": "application/json", "Server": "navi", "Content-Length": "2"}


async def test_a_large_answer_is_not_joined_to_its_head():
    large = b"x" * 100_000
    head, body = await written(200, [JSON], large)
    assert head.endswith(b"\r\n\r\n")
    assert b"Content-Length: 100000\r\n" in head
    assert body == large


async def test_an_answer_says_when_it_is_the_last():
    [piece] = await written(503, [JSON], b"{}", keeps_open=False)
    assert piece.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"\r\nConnection: close\r\n" in piece
    assert WRITTEN.keep_alive
    assert not WRITTEN_LAST.keep_alive


async def test_what_has_no_type_is_bytes_and_an_unknown_status_has_no_phrase():
    [piece] = await written(499, [], b"x")
    assert piece.startswith(b"HTTP/1.1 499 \r\n")
    assert b"\r\nContent-Type: application/octet-stream\r\n" in piece


@pytest.mark.parametrize("name", ["x y", "x\r\nset-cookie", "", "\u00e4", "x:"])
async def test_a_header_whose_name_cannot_be_written_is_refused(name):
    with pytest.raises(ValueError, match="header name"):
        await written(200, [(name, "1")], b"x")


def test_only_plain_answers_are_taken():
    request = make_mocked_request("POST", "/")
    assert is_plain(request, 200, b"x")
    assert is_plain(request, 404, b"x")
    assert not is_plain(request, 200, b"")
    assert not is_plain(request, 204, b"x")
    assert not is_plain(request, 304, b"x")
    assert not is_plain(make_mocked_request("HEAD", "/"), 200, b"x")
    assert not is_plain(make_mocked_request("POST", "/", version=HttpVersion10), 200, b"x")
