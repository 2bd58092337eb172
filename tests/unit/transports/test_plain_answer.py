"""Heads of answers that are written without aiohttp."""

from __future__ import annotations

import email.utils

import pytest

from navi_core.transports.http.plain_answer import answer_head, has_body, stream_head

JSON = ("content-type", "application/json")


def lines_of(head):
    assert head.endswith(b"\r\n\r\n")
    first, *lines = head[:-4].decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    email.utils.parsedate_to_datetime(fields.pop("Date"))
    return first, fields


def test_a_head_says_what_the_service_says_and_how_long_the_body_is():
    first, fields = lines_of(answer_head(200, [JSON], 2, keeps_open=True))
    assert first == "HTTP/1.1 200 OK"
    assert fields == {"content-type": "application/json", "Server": "navi", "Content-Length": "2"}
    _, fields = lines_of(answer_head(200, [JSON], 3, keeps_open=True))
    assert fields["Content-Length"] == "3"


def test_an_answer_says_when_it_is_the_last_and_when_to_come_again():
    first, fields = lines_of(answer_head(503, (JSON,), 2, keeps_open=False))
    assert first == "HTTP/1.1 503 Service Unavailable"
    assert fields["Connection"] == "close"
    assert fields["retry-after"] == "1"


def test_what_has_no_type_is_bytes_and_an_unknown_status_has_no_phrase():
    first, fields = lines_of(answer_head(499, (), 1, keeps_open=True))
    assert first == "HTTP/1.1 499 "
    assert fields["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_no_length(status):
    assert not has_body(status)
    _, fields = lines_of(answer_head(status, (), 0, keeps_open=True))
    assert fields == {"Server": "navi"}


def test_a_stream_is_chunked():
    _, fields = lines_of(stream_head(200, (JSON,), keeps_open=True))
    assert fields == {"content-type": "application/json", "Server": "navi", "Transfer-Encoding": "chunked"}


@pytest.mark.parametrize("name", ["x y", "x\r\nset-cookie", "", "\u00e4", "x:"])
def test_a_header_whose_name_cannot_be_written_is_refused(name):
    with pytest.raises(ValueError, match="header name"):
        answer_head(200, ((name, "1"),), 1, keeps_open=True)


def test_a_header_whose_value_cannot_be_written_is_refused():
    with pytest.raises(ValueError, match="printable"):
        answer_head(200, (("x", "a\r\nset-cookie: b"),), 1, keeps_open=True)
