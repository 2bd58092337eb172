from __future__ import annotations

import contextlib
import gzip
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.errors import ErrorCode, InvalidRequestError, RequestTooLargeError
from navi_core.transports.inflate import RATIO_FLOOR_BYTES, STEP_BYTES, Inflater, known_encoding

MIB = 1 << 20


def inflater(encoding="gzip", *, limit=64 * MIB, ratio=1e9):
    return Inflater(encoding, max_inflated_bytes=limit, max_inflate_ratio=ratio)


def inflate(data, encoding="gzip", *, step=None, **limits):
    one = inflater(encoding, **limits)
    step = step or max(len(data), 1)
    pieces = []
    for start in range(0, len(data), step):
        pieces += one.feed(data[start : start + step])
    one.finish()
    assert all(0 < len(piece) <= STEP_BYTES for piece in pieces)
    assert one.wire_size_bytes == len(data)
    assert one.inflated_size_bytes == sum(map(len, pieces))
    return b"".join(pieces)


def raw_deflate(data):
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


PACKERS = {
    "gzip": lambda data: ("gzip", gzip.compress(data)),
    "gzip members": lambda data: (
        "gzip",
        gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :]),
    ),
    "gzip padded": lambda data: ("gzip", gzip.compress(data) + bytes(700)),
    "zlib": lambda data: ("deflate", zlib.compress(data)),
    "raw deflate": lambda data: ("deflate", raw_deflate(data)),
}


@settings(max_examples=60)
@given(st.sampled_from(sorted(PACKERS)), st.binary(max_size=3000), st.integers(1, 4000), st.booleans())
def test_whatever_was_compressed_comes_back_however_it_is_cut(packer, data, step, repeat):
    data = data * (200 if repeat else 1)
    encoding, packed = PACKERS[packer](data)
    assert inflate(packed, encoding, step=step) == data


@settings(max_examples=60)
@given(st.sampled_from(sorted(PACKERS)), st.binary(min_size=1, max_size=500), st.data())
def test_a_cut_off_body_is_refused(packer, data, draw):
    encoding, packed = PACKERS[packer](data)
    end = draw.draw(st.integers(1, len(packed) - 1))
    if packer == "gzip padded" and end >= len(packed) - 700:
        return
    if packer == "gzip members" and end == len(gzip.compress(data[: len(data) // 2])):
        return
    with pytest.raises(InvalidRequestError):
        inflate(packed[:end], encoding)


@settings(max_examples=100)
@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=200))
def test_any_bytes_are_inflated_or_refused(encoding, data):
    with contextlib.suppress(InvalidRequestError, RequestTooLargeError):
        assert len(inflate(data, encoding, limit=10_000)) <= 10_000


def test_rubbish_after_the_end_is_refused():
    for encoding, packed in (("gzip", gzip.compress(b"x")), ("deflate", zlib.compress(b"x"))):
        with pytest.raises(InvalidRequestError, match=f"after the {encoding} data"):
            inflate(packed + b"rubbish", encoding)


def test_an_empty_body_is_empty():
    one = inflater()
    assert list(one.feed(b"")) == []
    one.finish()


@pytest.mark.parametrize("packer", sorted(PACKERS))
def test_nothing_beyond_the_size_limit_is_inflated(packer):
    encoding, packed = PACKERS[packer](bytes(20 * MIB))
    one = inflater(encoding, limit=3 * MIB)
    with pytest.raises(RequestTooLargeError, match=rf"at most {3 * MIB} bytes") as refused:
        list(one.feed(packed))
    assert one.inflated_size_bytes == 3 * MIB + 1
    assert refused.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert refused.value.reason == "message_size"


def test_exactly_the_limit_is_allowed():
    assert len(inflate(gzip.compress(bytes(3 * MIB)), limit=3 * MIB)) == 3 * MIB


def test_the_ratio_counts_above_its_floor():
    packed = gzip.compress(bytes(RATIO_FLOOR_BYTES))
    assert len(inflate(packed, ratio=2.0)) == RATIO_FLOOR_BYTES
    with pytest.raises(RequestTooLargeError, match="at most 200 times"):
        inflate(gzip.compress(bytes(RATIO_FLOOR_BYTES + STEP_BYTES), 1), ratio=200.0)
    packed = gzip.compress(bytes(RATIO_FLOOR_BYTES + STEP_BYTES), 1)
    assert len(inflate(packed, ratio=1100.0)) == RATIO_FLOOR_BYTES + STEP_BYTES


def test_json_of_one_value_is_no_bomb():
    document = json.dumps({"instances": [[0.0] * 150_000] * 8}).encode()  # eight pictures
    packed = gzip.compress(document)
    assert len(document) > 500 * len(packed)
    assert inflate(packed, ratio=200.0) == document


def test_many_members_do_not_reset_the_limits():
    bomb = gzip.compress(bytes(MIB)) * 40
    with pytest.raises(RequestTooLargeError):
        inflate(bomb, limit=10 * MIB)
    with pytest.raises(RequestTooLargeError):
        inflate(bomb, ratio=100.0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gzip", "gzip"),
        (" GZIP ", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate", "deflate"),
        ("br", None),
        ("", None),
    ],
)
def test_known_encodings(name, expected):
    assert known_encoding(name) == expected
