"""Looking into files of protobuf messages: fields and where they lie, against protobuf's own encoder."""

from __future__ import annotations

import contextlib
import mmap
import re
import struct

import pytest
from google.protobuf.internal.encoder import _VarintBytes
from hypothesis import given
from hypothesis import strategies as st

from navi_core.protobuf_wire import (
    FileFormatError,
    protobuf_fields,
    protobuf_messages,
    protobuf_text,
    protobuf_varints,
)
from navi_core.wire import tf_serving


def fields(data, **kwargs):
    return list(protobuf_fields(data, 0, len(data), **kwargs))


def everything():
    message = tf_serving.TensorProto(dtype=9, tensor_content=b"content", float_val=[1.5], int64_val=[3, -1])
    message.tensor_shape.dim.add(size=7, name="n\u00e4me")
    return message.SerializeToString()


def test_fields__integers_and_the_places_of_bytes():
    data = everything()
    found = {number: value for number, value, _ in fields(data)}
    assert found[1] == 9
    assert data[found[4]] == b"content"
    assert data[found[5]] == struct.pack("<f", 1.5)
    assert list(protobuf_varints(data, found[10])) == [3, 2**64 - 1]
    ((number, dim),) = protobuf_messages(data, found[2])
    assert number == 2
    inner = {part: value for part, value, _ in protobuf_fields(data, dim.start, dim.stop)}
    assert inner[1] == 7
    assert protobuf_text(data, inner[2]) == "n\u00e4me"


def test_fields__begin_one_after_the_other():
    data = everything()
    begins = [begin for _, _, begin in fields(data)]
    assert begins[0] == 0
    assert begins == sorted(set(begins))
    for number, _, begin in fields(data):
        assert data[begin] >> 3 == number


def test_fields__numbers_of_fixed_size_are_passed_over():
    data = b"\x0d" + bytes(4) + b"\x11" + bytes(8) + b"\x18\x05"
    assert fields(data) == [(3, 5, 14)]


def test_fields__what_matches_is_passed_over():
    data = b"\x3d" + bytes(4) + b"\x18\x05" + b"\x3d" + bytes(4)
    assert fields(data, skip=re.compile(rb"(?:\x3d.{4})+", re.DOTALL)) == [(3, 5, 5)]


def test_fields__of_a_mapped_file(tmp_path):
    (tmp_path / "f").write_bytes(everything())
    with (
        (tmp_path / "f").open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        assert fields(data) == fields(everything())


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\x00\x01", "field number 0 at byte 0"),
        (b"\x0b", "wire type 3 at byte 0"),
        (b"\x08", "a number is cut short at byte 1"),
        (b"\x08\x80", "a number is cut short at byte 2"),
        (b"\x08" + b"\x80" * 11, "a number of more than ten bytes at byte 11"),
        (b"\x0a\x02a", "a field of 2 bytes at byte 2, where 1 are left"),
        (b"\x0d\x01\x02", "a number is cut short at byte 3"),
    ],
)
def test_fields__of_what_is_no_message_are_refused(data, match):
    with pytest.raises(FileFormatError, match=match):
        fields(data)


def test_text__that_is_not_utf8_is_kept():
    assert protobuf_text(b"a\xff", slice(0, 2)).encode("utf-8", "surrogateescape") == b"a\xff"


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_varints__are_protobufs(numbers):
    data = b"".join(map(_VarintBytes, numbers))
    assert list(protobuf_varints(data, slice(0, len(data)))) == numbers


@given(st.binary(max_size=60))
def test_fields__of_any_bytes_lie_within_them(data):
    with contextlib.suppress(FileFormatError):
        for _, value, begin in protobuf_fields(data, 0, len(data)):
            assert 0 <= begin < len(data)
            if isinstance(value, slice):
                assert begin < value.start <= value.stop <= len(data)
