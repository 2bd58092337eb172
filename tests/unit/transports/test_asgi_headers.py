"""Headers over ASGI: decoded when asked for, and what is whole without a decoder."""

from __future__ import annotations

import pytest

from navi_core.transports.asgi.framing import encode_prefix, whole_message_bytes
from navi_core.transports.asgi.headers import HttpHeaders, RpcMetadata

RAW = (
    (b"host", b"here"),
    (b"Accept", b"text/plain"),
    (b"accept", b"*/*"),
    (b"x-name", "\u00e9".encode("latin-1")),
)


def test_of_repeated_headers_the_last_counts_in_any_case():
    headers = HttpHeaders(RAW)
    assert (headers["accept"], headers.get("x-name"), headers.get("x-none", "")) == ("*/*", "\u00e9", "")
    assert dict(headers) == {"host": "here", "accept": "*/*", "x-name": "\u00e9"}
    assert (len(headers), "host" in headers, "x-none" in headers) == (3, True, False)
    with pytest.raises(KeyError):
        headers["x-none"]


def test_a_name_that_no_header_can_have_is_not_there():
    assert HttpHeaders(RAW).get("\u4e2d") is None


def test_metadata_is_what_is_not_the_protocol_s_own():
    metadata = RpcMetadata(
        (
            (b":path", b"/a/b"),
            (b"te", b"trailers"),
            (b"Content-Type", b"application/grpc"),
            (b"grpc-timeout", b"1S"),
            (b"x-text", b"text"),
            (b"x-bytes-bin", b"AAE"),
        )
    )
    assert dict(metadata) == {"x-text": "text", "x-bytes-bin": b"\0\1"}
    assert len(metadata) == 2
    for hidden in (":path", "te", "content-type", "grpc-timeout"):
        assert hidden not in metadata


@pytest.mark.parametrize(
    ("piece", "size_bytes"),
    [
        (encode_prefix(3) + b"abc", 3),
        (encode_prefix(0), 0),
        (encode_prefix(3, is_compressed=True) + b"abc", None),
        (encode_prefix(3) + b"ab", None),
        (encode_prefix(3) + b"abcd", None),
        (encode_prefix(3) * 2, None),
        (b"\0\0\0\0", None),
        (b"", None),
    ],
)
def test_a_piece_is_whole_when_it_is_one_plain_message_and_nothing_else(piece, size_bytes):
    assert whole_message_bytes(piece) == size_bytes
