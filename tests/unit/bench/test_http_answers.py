"""HTTP/1.1 answers, however the network cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.bench.http_answers import HttpAnswer, HttpAnswerReader, HttpFormatError

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: 1\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 503 Busy\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nhel\r\n2;x=1\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH
CLOSES = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
OLD = b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"
NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"
ANSWERS = {
    LENGTH: HttpAnswer(200, b"hello", False),
    CHUNKED: HttpAnswer(503, b"hello", False),
    INTERIM: HttpAnswer(200, b"hello", False),
    CLOSES: HttpAnswer(200, b"", True),
    OLD: HttpAnswer(200, b"ok", True),
    NOTHING: HttpAnswer(204, b"", False),
}


@settings(max_examples=120)
@given(st.lists(st.sampled_from(list(ANSWERS)), min_size=1, max_size=3), st.data())
def test_answers__cut_anywhere(wires, data):
    reader = HttpAnswerReader()
    for wire in wires:  # one after the other, as requests are sent
        cuts = sorted(data.draw(st.lists(st.integers(1, len(wire) - 1), max_size=6)))
        pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True) if a < b]
        found = [reader.feed(piece) for piece in pieces]
        assert found[:-1] == [None] * (len(pieces) - 1)
        assert found[-1] == ANSWERS[wire]
    assert reader.end() is None


def test_the_end_of_the_connection_ends_an_answer_of_no_length():
    reader = HttpAnswerReader()
    assert reader.feed(b"HTTP/1.1 500 Oops\r\n\r\nsome") is None
    assert reader.feed(b" words") is None
    assert reader.end() == HttpAnswer(500, b"some words", True)
    assert reader.end() is None


@pytest.mark.parametrize("wire", [LENGTH[:-1], CHUNKED[:-2], b"", b"HTTP/1.1 2"])
def test_the_end_of_the_connection_ends_nothing_else(wire):
    reader = HttpAnswerReader()
    reader.feed(wire)
    assert reader.end() is None


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"x" * 70_000,
    ],
)
def test_what_is_no_answer(wire):
    with pytest.raises(HttpFormatError, match="expected"):
        HttpAnswerReader().feed(wire)
