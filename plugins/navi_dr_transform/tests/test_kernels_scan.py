"""The scanner of thrift messages beside Apache Thrift's ways to pass over a value: both end at one byte, or both refuse.

Everything here passes with NUMBA_DISABLE_JIT=1 too.
"""

from __future__ import annotations

from collections import Counter

import pytest
from drawn_bytes import DAMAGE, contents, damaged, headers_changed
from drawn_records import COMPACT_RECORDS, RECORDS, requests
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_dr_transform import wire
from navi_dr_transform.thrift_records import data_record, float_tensor
from navi_dr_transform.thrift_service.scanner import Scan
from thrift.protocol.TBinaryProtocol import TBinaryProtocol, TBinaryProtocolAccelerated
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TType
from thrift.transport.TTransport import TMemoryBuffer
from thrift.TSerialization import serialize
from thrift_bytes import field, map_of, nested_lists, string

from navi_core import DecodeError

UUID = 16


class Nothing:
    """A struct without fields: Apache Thrift passes over whatever comes."""

    thrift_spec = ()


def passed_over(payload, *, accelerated):
    """Return where Apache Thrift's struct ends, or what it raises."""
    transport = TMemoryBuffer(payload)
    try:
        if accelerated:
            protocol = TBinaryProtocolAccelerated(transport, fallback=False)
            protocol._fast_decode(Nothing(), protocol, [Nothing, Nothing.thrift_spec])
        else:
            TBinaryProtocol(transport).skip(TType.STRUCT)
    except Exception as error:  # whatever it raises is its refusal
        return error
    return transport.cstringio_buf.tell()


def scanned(payload, pieces=()):
    """Return where navi's struct ends, or its refusal; the bytes come in pieces."""
    scan = Scan(wire.STRUCT, 0, len(payload))
    try:
        for stop in (*sorted(pieces), len(payload)):
            if scan.go_on(payload[:stop], stop):
                return scan.offset
    except DecodeError as error:
        return error
    raise AssertionError("a scan of all bytes neither ended nor refused them")


def exception_of(payload, ours, theirs):
    """Return why one takes what the other refuses, of what the README lists; None for no reason."""
    if isinstance(ours, int) and isinstance(theirs, int):
        return None
    if isinstance(ours, DecodeError):
        if wire.STATUS_TEXTS[wire.UNKNOWN_TYPE] in ours.message:
            return "uuid" if UUID in payload[max(ours.offset - 3, 0) : ours.offset + 2] else None
        return "depth" if wire.STATUS_TEXTS[wire.TOO_DEEP] in ours.message else None
    if isinstance(theirs, UnicodeDecodeError):
        return "utf-8"
    is_deep = isinstance(theirs, TProtocolException) and theirs.type == TProtocolException.DEPTH_LIMIT
    return "depth" if is_deep else None


def judge(payload, pieces=()):
    """Return how navi and both of Apache Thrift's ways agree, or which exceptions their differences are."""
    ours = scanned(payload)
    in_pieces = scanned(payload, pieces)
    assert in_pieces == ours or (str(in_pieces), in_pieces.offset) == (str(ours), ours.offset)
    verdicts = set()
    for accelerated in (True, False):
        theirs = passed_over(payload, accelerated=accelerated)
        if isinstance(ours, int) and isinstance(theirs, int) and ours == theirs:
            verdicts.add("both accept")
        elif isinstance(ours, DecodeError) and isinstance(theirs, Exception):
            verdicts.add("both refuse")
        else:
            name = exception_of(payload, ours, theirs)
            assert name is not None, (payload, ours, theirs)
            verdicts.add(name)
    return verdicts


STRUCTS = st.one_of(
    contents(wire.STRUCT, 3), st.one_of(RECORDS, COMPACT_RECORDS, requests(RECORDS)).map(serialize)
)
PIECES = st.lists(st.integers(0, 300), max_size=3)


def fits(payload, pieces):
    return [stop for stop in pieces if stop < len(payload)]


def test_structs_end_where_apache_thrift_ends():
    seen = Counter()

    @settings(max_examples=150, deadline=None)
    @given(payload=STRUCTS, trailing=st.binary(max_size=3), pieces=PIECES)
    def alike(payload, trailing, pieces):
        seen.update(judge(payload + trailing, fits(payload, pieces)))

    alike()
    assert set(seen) <= {"both accept", "utf-8"}  # none of these may be refused
    assert seen["both accept"] >= 150


def test_damaged_structs_end_where_apache_thrift_ends_or_are_refused_by_both():
    seen = Counter()

    @settings(max_examples=300, deadline=None)
    @given(
        payload=STRUCTS,
        damage=st.lists(st.tuples(DAMAGE, st.integers(0, 2**12)), min_size=1, max_size=3),
        pieces=PIECES,
    )
    def alike(payload, damage, pieces):
        content = damaged(payload, damage)
        seen.update(judge(content, fits(content, pieces)))

    alike()
    assert seen["both accept"] > 60
    assert seen["both refuse"] > 60


def test_every_changed_header_is_read_as_apache_thrift_does():
    record = data_record(
        binary=[1, 2],
        continuous={7: 1.5},
        discrete={-8: 3},
        tensors={3: float_tensor([0.5]), 4: float_tensor([])},
    )
    record.stringFeatures = {1: "a", 2: "bc"}
    record.sparseBinaryFeatures = {5: {"x", "y"}}
    record.sparseContinuousFeatures = {6: {"z": 1.0}, 7: {}}
    seen = Counter()
    for payload in headers_changed(serialize(record)):
        seen.update(judge(payload))
    assert seen["both accept"] > 50
    assert seen["both refuse"] > 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uuid", field(UUID, 1, bytes(16))),
        ("uuid", field(wire.MAP, 1, map_of(wire.BOOL, UUID, bytes(17)))),
        ("utf-8", field(wire.STRING, 1, string(b"\xff"))),
        ("depth", field(wire.LIST, 1, nested_lists(wire.MAX_DEPTH - 1, 1))),
    ],
)
def test_exceptions_are_what_they_are_said_to_be(name, value):
    verdicts = judge(value + b"\0")
    assert name in verdicts
    assert verdicts <= {name, "both accept", "both refuse"}
