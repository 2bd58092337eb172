"""Messages out of bytes, without sockets: framings, pieces of any size, limits, and what is hostile."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_dr_transform._generated.prediction_service import PredictionService
from navi_dr_transform._generated.prediction_service.ttypes import BatchPredictionRequest
from navi_dr_transform.thrift_records import data_record, float_tensor
from navi_dr_transform.thrift_service.inbound import Inbound, Message, Refusal
from navi_dr_transform.thrift_service.messages import Framing, MessageType, read_header, sniff_framing
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TMessageType
from thrift.transport.TTransport import TBufferedTransport, TFramedTransport, TMemoryBuffer

from navi_core import BodyHold, MemoryBudgetError
from navi_core.budget import MemoryBudget

FORMS = [(framed, strict) for framed in (True, False) for strict in (True, False)]
RECORD = data_record(
    binary=[1, 2],
    continuous={7: 1.5, -8: 2.5},
    tensors={3: float_tensor([1.0] * 50)},
)


def written(
    name="getBatchPrediction", seqid=5, *, framed=True, strict=True, records=2, kind=TMessageType.CALL
):
    """Return a message as Apache Thrift writes it."""
    memory = TMemoryBuffer()
    transport = TFramedTransport(memory) if framed else TBufferedTransport(memory)
    protocol = TBinaryProtocol(transport, strictWrite=strict)
    protocol.writeMessageBegin(name, kind, seqid)
    PredictionService.getBatchPrediction_args(BatchPredictionRequest([RECORD] * records)).write(protocol)
    protocol.writeMessageEnd()
    transport.flush()
    return memory.getvalue()


def arguments(records=2):
    memory = TMemoryBuffer()
    args = PredictionService.getBatchPrediction_args(BatchPredictionRequest([RECORD] * records))
    args.write(TBinaryProtocol(memory))
    return memory.getvalue()


class Client:
    """Puts bytes into an inbound as asyncio does, and takes out what comes."""

    def __init__(self, *, limit=1 << 20, budget_bytes=1 << 24):
        self.budget = MemoryBudget(budget_bytes)
        self.inbound = Inbound(limit, lambda: BodyHold(self.budget))
        self.taken = []

    def send(self, data, size=None):
        size = size or max(len(data), 1)
        for start in range(0, len(data), size):
            piece = memoryview(data)[start : start + size]
            while piece:
                free = self.inbound.free()
                assert len(free), "there is always room for what is waited for"
                part = piece[: len(free)]
                free[: len(part)] = part
                self.inbound.put(len(part))
                piece = piece[len(part) :]
                while (each := self.inbound.take()) is not None:
                    self.taken.append(each)
                    if isinstance(each, Refusal) and each.is_last:
                        self.inbound.skip_rest()
        return self.taken


@pytest.mark.parametrize(("framed", "strict"), FORMS)
@pytest.mark.parametrize("size", [1, 3, 100, None])
def test_messages_come_out_whatever_the_pieces_are(framed, strict, size):
    client = Client()
    data = b"".join(written(seqid=seqid, framed=framed, strict=strict) for seqid in (1, -2, 3))
    taken = client.send(data, size)
    assert [each.header.seqid for each in taken] == [1, -2, 3]
    assert {each.header.name for each in taken} == {b"getBatchPrediction"}
    assert {each.header.is_strict for each in taken} == {strict}
    assert {each.header.type for each in taken} == {MessageType.CALL}
    assert {bytes(each.body) for each in taken} == {arguments()}
    assert client.inbound.framing is (Framing.FRAMED if framed else Framing.BUFFERED)
    assert not client.inbound.has_begun
    assert client.budget.in_use_bytes == 3 * len(arguments())
    for each in taken:
        each.hold.release()
    assert client.budget.in_use_bytes == 0


@pytest.mark.parametrize(("framed", "strict"), FORMS)
def test_large_messages_beside_small_ones(framed, strict):
    client = Client()
    counts = [1, 300, 1, 500, 2]
    data = b"".join(written(framed=framed, strict=strict, records=count) for count in counts)
    assert len(data) > 1 << 18
    taken = client.send(data, 50_000)
    assert [bytes(each.body) == arguments(count) for each, count in zip(taken, counts, strict=True)] == [
        True
    ] * 5


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=5),
    st.booleans(),
    st.lists(st.integers(1, 20_000), min_size=1, max_size=6),
)
def test_pieces_of_any_size(messages, framed, sizes):
    client = Client()
    data = b"".join(written(framed=framed, strict=strict, records=count) for count, strict in messages)
    sizes = iter(sizes * (len(data) + 1))
    while data:
        size = next(sizes)
        client.send(data[:size])
        data = data[size:]
    assert [len(each.body) for each in client.taken] == [len(arguments(count)) for count, _ in messages]


def test_messages_of_mixed_forms_come_on_one_connection():
    client = Client()
    taken = client.send(written(strict=True) + written(strict=False) + written("f" * 1024))
    assert [each.header.is_strict for each in taken] == [True, False, True]


@pytest.mark.parametrize(
    ("start", "framing"),
    [
        (b"", None),
        (b"\x80", None),
        (b"\x80\x01", Framing.BUFFERED),
        (b"\x00\x00\x01\x00", None),
        (b"\x00\x00\x01\x00\x80", Framing.FRAMED),
        (b"\x00\x00\x01\x00\x00", Framing.FRAMED),
        (b"\x00\x00\x00\x0dg", Framing.BUFFERED),
    ],
)
def test_the_first_bytes_tell_the_framing(start, framing):
    assert sniff_framing(start) is framing


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",  # the beginning of TLS
        b"\x82\x21\x01\x0dgetPrediction",  # the compact protocol
        b"\x00\x00\x00\x40\x82\x21\x01\x0dgetPrediction",  # the same in a frame
        b'\x00\x00\x00\x40[1,"getPrediction"',  # JSON in a frame
        b"\x80\x02\x00\x01",
        b"\xff\xff\xff\xff\xff",
        b"\x00\x00\x00\x00\x80\x01",  # an empty frame
        b"\x00\x00\x00\x08\x80\x02\x00\x01\x00\x00\x00\x00",
        b"\x00\x00\x00\x08\x80\x01\x00\x01\x7f\xff\xff\xff",  # a name of 2 GiB
        b"\x00\x00\x00\x08\x80\x01\x00\x01\xff\xff\xff\xff",
        b"\x00\x00\x00\x02\x80\x01",  # a frame too short for a message
        b"\x80\x01\x00\x01\x00\x00\x04\x01",
    ],
)
@pytest.mark.parametrize("size", [1, None])
def test_what_is_no_thrift_message_ends_the_connection(start, size):
    client = Client()
    (refusal,) = client.send(start + bytes(5000), size)
    assert refusal.is_last
    assert refusal.header is None
    assert "expected" in refusal.error.message
    assert client.budget.in_use_bytes == 0


def test_a_frame_over_the_limit_is_refused_at_once_and_passed_over():
    client = Client(limit=10_000)
    large = written(seqid=1, records=100)
    assert len(large) > 10_004
    client.send(large[:100])
    (refusal,) = client.taken
    assert (refusal.header.seqid, refusal.is_last) == (1, False)
    assert f"expected at most 10000 bytes, got {len(arguments(100))}" in refusal.error.message
    assert client.budget.in_use_bytes == 0
    taken = client.send(large[100:] + written(seqid=2))
    assert [each.header.seqid for each in taken] == [1, 2]
    assert isinstance(taken[1], Message)


def test_a_frame_that_the_budget_does_not_allow_is_passed_over():
    client = Client(budget_bytes=5000)
    taken = client.send(written(seqid=1, records=100) + written(seqid=2, records=1))
    assert isinstance(taken[0].error, MemoryBudgetError)
    assert not taken[0].is_last
    assert isinstance(taken[1], Message)


def test_a_frame_that_the_budget_does_not_allow_to_grow_is_passed_over():
    client = Client(limit=1 << 30, budget_bytes=10 << 20)
    start = struct.pack(">i", 100 << 20) + written(framed=False)
    client.send(start)
    assert not client.taken
    assert client.budget.in_use_bytes <= 8 << 20  # a length alone takes no more
    client.send(bytes(9 << 20))
    (refusal,) = client.taken
    assert isinstance(refusal.error, MemoryBudgetError)
    assert client.budget.in_use_bytes == 0
    rest = (100 << 20) + 4 - len(start) - (9 << 20)
    client.send(bytes(rest) + written(seqid=9))
    assert client.taken[1].header.seqid == 9


@pytest.mark.parametrize("size", [1000, None])
def test_without_a_frame_a_message_over_the_limit_is_the_last(size):
    client = Client(limit=10_000)
    (refusal,) = client.send(written(framed=False, records=100) + written(framed=False), size)
    assert refusal.is_last
    assert "expected at most 10000 bytes, got at least" in refusal.error.message
    assert client.budget.in_use_bytes == 0


def test_without_a_frame_a_message_that_the_budget_does_not_allow_is_the_last():
    client = Client(budget_bytes=30_000)
    (refusal,) = client.send(written(framed=False, records=200), 5000)
    assert refusal.is_last
    assert isinstance(refusal.error, MemoryBudgetError)
    assert client.budget.in_use_bytes == 0


START = written(framed=False)[:30]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"\x0c\x00\x01\x05\x00\x01", "a wire type of TBinaryProtocol"),
        (b"\x0b\x00\x01\xff\xff\xff\xff", "a negative one"),
        (b"\x0f\x00\x01\x0b\x7f\xff\xff\xff", "expected at most 1048576 bytes, got at least"),
        (b"\x0d\x00\x01\x0a\x0c\x7f\xff\xff\xff", "expected at most 1048576 bytes, got at least"),
        (b"\x0b\x00\x01\x7f\xff\xff\xff", "expected at most 1048576 bytes"),
        (b"\x0f\x00\x01\x0a\x00\x01\xff\x00", None),
        (b"\x0c\x00\x01" * 70, "64 levels of nesting"),
        (b"\x0f\x00\x01\x0f\x00\x00\x00\x01" + b"\x0f\x00\x00\x00\x01" * 70, "64 levels of nesting"),
        (b"\x0f\x00\x01\x63\x00\x00\x00\x01", "a wire type of TBinaryProtocol"),
    ],
)
@pytest.mark.parametrize("size", [1, None])
def test_malformed_arguments_without_a_frame_are_the_last(body, text, size):
    header = read_header(START)
    client = Client()
    taken = client.send(START[: header.size_bytes] + body, size)
    if text is None:
        assert not taken  # 130,816 longs are waited for
        return
    (refusal,) = taken
    assert refusal.is_last
    assert refusal.header == header
    assert text in refusal.error.message
    assert client.budget.in_use_bytes == 0


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_bytes_give_messages_or_a_refusal(data):
    """And never an exception, nor a buffer without room; what was held is given back."""
    good = written(framed=data.draw(st.booleans()), strict=data.draw(st.booleans()), records=1)
    damaged = bytearray(good * 2)
    for _ in range(data.draw(st.integers(0, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    client = Client(limit=1 << 16)
    client.send(bytes(damaged), data.draw(st.integers(1, 300)))
    for each in client.taken:
        if isinstance(each, Message):
            each.hold.release()
    client.inbound.close()
    assert client.budget.in_use_bytes == 0
