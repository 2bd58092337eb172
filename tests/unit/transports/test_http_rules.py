from __future__ import annotations

import gzip
import json
import re

import pytest

from navi_core.contracts.service import Call, HttpRoute, Operation, Response, Service
from navi_core.errors import DeadlineExceededError, InvalidRequestError
from navi_core.routing import HostRouter
from navi_core.transports.answer_encoding import accepts_gzip, gzip_body
from navi_core.transports.http_rules import (
    AnswerCompression,
    EarlyAnswer,
    answer_for_ending,
    body_encoding,
    body_refused,
    encode_answer,
    find_route,
    header_lines,
    request_deadline,
    split_target,
)
from navi_core.transports.in_flight import Ending

COMPRESSION = AnswerCompression(enabled=True, min_bytes=100, level=1)


async def handler(call):
    return Response(status=200)


class Routes(Service):
    name = "routes"

    def http_routes(self):
        def route(verb, pattern):
            return HttpRoute(
                verb=verb, pattern=re.compile(pattern), handler=handler, operation=Operation.READ
            )

        return [route("GET", "/both/(?P<x>.*)"), route("POST", "/both/(?P<x>.*)"), route("POST", "/post")]

    @classmethod
    def create(cls, context):
        return cls()


ROUTER = HostRouter([Routes()])


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("x-gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*", True),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("br, zstd", False),
        ("gzip;q=much", False),
        ("gzip;level=9", True),
        (",,;;=", False),
    ],
)
def test_who_accepts_gzip(accept, expected):
    assert accepts_gzip(accept) is expected


def test_gzip_takes_pieces_and_views():
    pieces = (b"one ", memoryview(b"two "), b"three")
    assert gzip.decompress(gzip_body(pieces, 1)) == b"one two three"
    assert gzip.decompress(gzip_body(memoryview(b"x"), 9)) == b"x"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a/b", ("/a/b", "")),
        ("/a%2Fb?x=%20&y", ("/a%2Fb", "x=%20&y")),
        ("/a?x?y", ("/a", "x?y")),
        ("/a#f", ("/a", "")),
        ("http://host:80/a?b", ("/a", "b")),
        ("http://host", ("/", "")),
        ("*", ("*", "")),
        ("", ("", "")),
        ("host:443", ("host:443", "")),
        ("//host/a", ("//host/a", "")),
    ],
)
def test_request_targets(target, expected):
    assert split_target(target) == expected


def test_routes_are_found_and_head_takes_get():
    call = Call(path="/both/1", verb="HEAD")
    assert find_route(ROUTER, call).verb == "GET"
    assert (call.verb, call.match) == ("GET", {"x": "1"})


@pytest.mark.parametrize(
    ("verb", "path", "status", "allow"),
    [
        ("GET", "/nowhere", 404, None),
        ("PUT", "/both/1", 405, "GET, POST"),
        ("HEAD", "/post", 405, "POST"),
        ("HEAD", "/nowhere", 404, None),
    ],
)
def test_no_route(verb, path, status, allow):
    with pytest.raises(EarlyAnswer) as early:
        find_route(ROUTER, Call(path=path, verb=verb))
    response = early.value.response
    assert response.status == status
    assert dict(response.headers).get("allow") == allow
    assert set(json.loads(response.body)) == {"error"}
    assert not early.value.close


@pytest.mark.parametrize(
    ("header", "expected"),
    [("", None), ("identity", None), ("gzip", "gzip"), ("identity, X-GZIP", "gzip"), ("Deflate", "deflate")],
)
def test_encodings_of_bodies(header, expected):
    assert body_encoding(header) == expected


@pytest.mark.parametrize("header", ["br", "gzip, gzip", "deflate, br"])
def test_other_encodings_are_415(header):
    with pytest.raises(EarlyAnswer) as early:
        body_encoding(header)
    assert early.value.response.status == 415
    assert early.value.close
    assert dict(early.value.response.headers)["accept-encoding"] == "gzip, deflate"


def test_deadlines():
    assert request_deadline(None, 5.0) is None
    assert request_deadline("1500", 5.0) == 6.5
    for text in ("", "soon", "0", "-1", "nan", "inf", "1e13"):
        with pytest.raises(InvalidRequestError, match="request-timeout-ms"):
            request_deadline(text, 5.0)


def test_a_slow_body_is_408():
    slow = body_refused(DeadlineExceededError("slow", reason="slow_body"))
    assert (slow.response.status, slow.close) == (408, True)
    assert body_refused(InvalidRequestError("bad")).response.status == 400


@pytest.mark.parametrize(
    ("ending", "status", "close"),
    [(Ending.DRAINING, 503, True), (Ending.DEADLINE, 504, False), (Ending.NOBODY, 500, False)],
)
def test_endings(ending, status, close):
    early = answer_for_ending(ending)
    assert (early.response.status, early.close) == (status, close)


def test_retry_after_is_added_once():
    assert ("retry-after", "1") in header_lines(Response(status=503))
    own = (("retry-after", "30"),)
    assert header_lines(Response(status=429, headers=own)) == [("retry-after", "30")]
    assert header_lines(Response(status=500)) == []


@pytest.mark.parametrize("value", ["two\r\nlines", "nul\0", "é", b"\xff"])
def test_headers_that_cannot_be_written(value):
    with pytest.raises(ValueError, match="header 'x'"):
        header_lines(Response(status=200, headers=(("x", value),)))


async def test_answers_are_compressed_where_it_pays_and_is_accepted():
    body = b"x" * 1000
    lines, packed = await encode_answer(Response(status=200, body=(body[:1], body[1:])), "gzip", COMPRESSION)
    assert gzip.decompress(packed) == body
    assert ("content-encoding", "gzip") in lines
    assert ("vary", "accept-encoding") in lines
    lines, plain = await encode_answer(Response(status=200, body=body), "", COMPRESSION)
    assert plain is body
    assert lines == [("vary", "accept-encoding")]
    assert await encode_answer(Response(status=200, body=body[:99]), "gzip", COMPRESSION) == ([], body[:99])


async def test_large_answers_are_compressed_on_another_thread_with_the_same_result():
    body = b"x" * (2 << 20)
    _, packed = await encode_answer(Response(status=200, body=memoryview(body)), "gzip", COMPRESSION)
    assert gzip.decompress(packed) == body


async def test_a_service_that_encodes_itself_is_left_alone():
    response = Response(status=200, body=b"x" * 1000, headers=(("content-encoding", "br"),))
    lines, body = await encode_answer(response, "gzip", COMPRESSION)
    assert (lines, body) == ([("content-encoding", "br")], b"x" * 1000)
