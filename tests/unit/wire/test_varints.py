"""Runs of varints: counted, decoded, refused; against protobuf."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.message import DecodeError as ProtobufDecodeError
from hypothesis import given
from hypothesis import strategies as st

from navi_core.errors import DecodeError
from navi_core.wire.tensor_proto import varint
from navi_core.wire.tf_serving import Int64List
from navi_core.wire.varints import count_varints, decode_varints

INT64 = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 300))


def run_of(values):
    return b"".join(varint(value & 0xFFFFFFFFFFFFFFFF) for value in values)


@given(st.lists(INT64, max_size=60))
def test_decode__gives_what_protobuf_gives(values):
    run = run_of(values)
    head = b"\x0a" + varint(len(run))
    assert list(Int64List.FromString(head + run).value) == values
    assert count_varints(run) == len(values)
    decoded = decode_varints(run)
    assert decoded.dtype == np.int64
    assert decoded.tolist() == values


@given(st.binary(max_size=120))
def test_count__accepts_what_protobuf_accepts(run):
    try:
        expected = list(Int64List.FromString(b"\x0a" + varint(len(run)) + run).value)
    except ProtobufDecodeError:
        expected = None
    try:
        count = count_varints(run)
    except DecodeError:
        assert expected is None
        return
    decoded = decode_varints(run).tolist()
    assert len(decoded) == count
    if expected is not None:  # it may refuse bits beyond the 64th, which are dropped here
        assert decoded == expected


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (b"\x01\x80", "ends inside a varint"),
        (b"\xff" * 10 + b"\x01", "more than ten bytes"),
        (b"\x80" * 200 + b"\x00", "more than ten bytes"),
    ],
)
def test_count__refuses(run, text):
    with pytest.raises(DecodeError, match=text):
        count_varints(run)
