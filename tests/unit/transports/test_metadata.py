from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.errors import InvalidRequestError
from navi_core.transports.metadata import (
    checked_metadata,
    decode_binary,
    encode_binary,
    parse_timeout_s,
    percent_encode,
    status_text,
)


def test_a_short_status_text_stays():
    assert status_text("größer \N{SNOWMAN}") == "größer \N{SNOWMAN}"
    assert status_text("x" * 1024) == "x" * 1024


def test_a_long_one_is_cut_at_1024_bytes():
    assert status_text("x" * 1025) == "x" * 1024 + "...TRUNCATED"
    # a character of two bytes does not fit the last one
    assert status_text("x" * 1023 + "é") == "x" * 1023 + "...TRUNCATED"


@given(st.text(st.characters(), max_size=2000))
def test_every_status_text_fits_and_is_unicode(text):
    raw = status_text(text).encode()
    assert len(raw) <= 1024 + len("...TRUNCATED")
    if len(text.encode("utf-8", "replace")) <= 1024:
        assert raw == text.encode("utf-8", "replace")


def test_surrogates_are_replaced():
    assert status_text("a\udcffb") == "a?b"
    assert percent_encode("a\udcffb") == "a?b"


@given(st.text())
def test_percent_encoding_is_printable_ascii_and_reversible(text):
    encoded = percent_encode(text)
    assert encoded.isascii()
    assert encoded.isprintable() or not encoded
    assert unquote_to_bytes(encoded) == text.encode("utf-8", "replace")


def test_percent_encoding_leaves_ascii_alone():
    assert percent_encode("50% of é\n") == "50%25 of %C3%A9%0A"


@given(st.binary(max_size=100))
def test_binary_metadata_comes_back(value):
    encoded = encode_binary(value)
    assert "=" not in encoded
    assert decode_binary("x-bin", encoded.encode()) == value
    padded = encoded + "=" * (-len(encoded) % 4)
    assert decode_binary("x-bin", padded.encode()) == value
    assert decode_binary("x-bin", b"AAAA, " + encoded.encode()) == value


@pytest.mark.parametrize("value", [b"a", b"!!!!", b"\xff\xff"])
def test_what_is_no_base64_is_refused(value):
    with pytest.raises(InvalidRequestError, match="'x-bin': expected base64"):
        decode_binary("x-bin", value)


def test_valid_metadata_passes():
    pairs = [("a.b_c-1", "text ~"), ("raw-bin", b"\0\xff"), ("empty", "")]
    assert checked_metadata(pairs) == tuple(pairs)


@pytest.mark.parametrize(
    "pair",
    [
        ("Upper", "x"),
        ("", "x"),
        ("a b", "x"),
        (":path", "x"),
        ("grpc-status", "0"),
        ("a", "two\nlines"),
        ("a", "é"),
        ("a", b"bytes"),
        ("a-bin", "text"),
    ],
)
def test_invalid_metadata_is_a_bug_of_the_service(pair):
    with pytest.raises(ValueError, match="metadata"):
        checked_metadata([pair])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("501m", 0.501),
        ("30S", 30),
        ("2H", 7200),
        ("1M", 60),
        ("7u", 7e-6),
        ("99999999n", 0.099999999),
        ("0S", 0),
    ],
)
def test_timeouts(text, seconds):
    assert parse_timeout_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "S", "-1S", "1.5S", "123456789S", "1s", "1 S", "1S\n", "१S"])
def test_bad_timeouts_are_refused(text):
    with pytest.raises(InvalidRequestError, match="grpc-timeout"):
        parse_timeout_s(text)
