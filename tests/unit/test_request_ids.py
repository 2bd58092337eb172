"""Which ids of clients are kept, and what of a W3C traceparent is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.request_ids import (
    current_request_id,
    id_fields,
    new_request_id,
    request_id_of,
    trace_id_of,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.mark.parametrize("said", ["a", "7f3e-1", "req_1.2:3/4+5=6@host", "x" * 128])
def test_an_id_of_harmless_characters_is_kept(said):
    assert request_id_of({"x-request-id": said}) == said


@pytest.mark.parametrize(
    "said",
    ["", "x" * 129, "two words", "a\nb", "a\r\nset-cookie: b", "\x1b[31m", "é", "a,b", '"', b"bytes", "a\n"],
)
def test_any_other_is_not(said):
    assert request_id_of({"x-request-id": said}) is None


def test_without_one_there_is_none():
    assert request_id_of({"user-agent": "x"}) is None


@given(st.text())
def test_what_is_kept_fits_into_one_header_line(said):
    found = request_id_of({"x-request-id": said})
    assert found is None or (found == said and found.isascii() and found.isprintable() and " " not in found)


def test_new_ids_are_new_and_sane():
    ids = {new_request_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(request_id_of({"x-request-id": each}) == each and len(each) == 32 for each in ids)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (f"00-{TRACE}-{PARENT}-01", TRACE),
        (f"00-{TRACE}-{PARENT}-00", TRACE),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-brings", TRACE),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}", None),
        (f"00-{TRACE}-{PARENT}-01\n", None),
        ("", None),
        (b"00", None),
    ],
)
def test_the_trace_id_is_that_of_a_valid_traceparent(said, expected):
    assert trace_id_of({"traceparent": said}) == expected


def test_without_a_traceparent_there_is_no_trace_id():
    assert trace_id_of({}) is None


def test_the_current_id_is_a_field_of_events_while_it_is_set():
    assert id_fields() == {}
    token = current_request_id.set("seven")
    try:
        assert id_fields() == {"request_id": "seven"}
    finally:
        current_request_id.reset(token)
