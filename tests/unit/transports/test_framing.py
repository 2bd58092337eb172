from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.errors import ErrorCode, InvalidRequestError, RequestTooLargeError
from navi_core.transports.asgi.framing import FrameDecoder, encode_prefix


def framed(*messages, flag=0):
    return b"".join(struct.pack(">BI", flag, len(message)) + message for message in messages)


def decode(data, *, step=None, limit=1 << 20, lengths=None):
    decoder = FrameDecoder(limit, (lengths if lengths is not None else []).append)
    step = step or max(len(data), 1)
    frames = []
    for start in range(0, len(data), step):
        frames += decoder.feed(data[start : start + step])
    decoder.finish()
    return frames


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=300)), max_size=8), st.integers(1, 400))
def test_messages_come_back_however_the_bytes_are_cut(messages, step):
    data = b"".join(encode_prefix(len(m), is_compressed=c) + m for c, m in messages)
    lengths = []
    frames = decode(data, step=step, lengths=lengths)
    assert [(frame.is_compressed, bytes(frame.payload)) for frame in frames] == messages
    assert lengths == [len(message) for _, message in messages]


def test_a_message_in_one_piece_is_a_view():
    data = framed(b"abc")
    (frame,) = decode(data)
    assert isinstance(frame.payload, memoryview)
    assert frame.payload.obj is data


def test_the_prefix_is_a_flag_and_a_length():
    assert encode_prefix(258) == b"\x00\x00\x00\x01\x02"
    assert encode_prefix(0, is_compressed=True) == b"\x01\x00\x00\x00\x00"
    with pytest.raises(RequestTooLargeError, match="4 GiB"):
        encode_prefix(1 << 32)


@given(st.integers(1, 4 + 100))
def test_a_length_beyond_the_body_is_refused(kept):
    data = framed(b"x" * 100)[:kept]
    with pytest.raises(InvalidRequestError, match=r"bytes more|a prefix of 5 bytes") as refused:
        decode(data)
    assert refused.value.code is ErrorCode.INTERNAL


def test_a_message_over_the_limit_is_refused_at_its_prefix():
    lengths = []
    decoder = FrameDecoder(10, lengths.append)
    with pytest.raises(RequestTooLargeError, match="at most 10 bytes, got 4294967295"):
        list(decoder.feed(b"\0\xff\xff\xff\xff"))
    assert lengths == []
    assert len(decode(framed(b"x" * 10), limit=10)) == 1


def test_an_unknown_flag_is_refused():
    with pytest.raises(InvalidRequestError, match="flag 0 or 1, got 2"):
        decode(framed(b"x", flag=2))


def test_a_refusal_of_the_length_stops_before_the_bytes_are_kept():
    def refuse(length):
        raise RequestTooLargeError(f"no room for {length}")

    decoder = FrameDecoder(100, refuse)
    with pytest.raises(RequestTooLargeError, match="no room for 3"):
        list(decoder.feed(framed(b"abc")))


@given(st.binary(max_size=60))
def test_any_bytes_are_cut_or_refused(data):
    try:
        frames = decode(data, limit=40)
    except (InvalidRequestError, RequestTooLargeError):
        return
    assert framed(*(bytes(f.payload) for f in frames if not f.is_compressed)) == data or any(
        f.is_compressed for f in frames
    )
