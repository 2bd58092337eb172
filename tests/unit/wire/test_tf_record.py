"""TFRecord files: framing, checksums, and what damaged files are told."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.errors import DecodeError, ErrorCode
from navi_core.testing.recorded_requests import tf_records
from navi_core.wire.crc32c import masked_crc32c
from navi_core.wire.tf_record import read_records

# PredictionLog{predict_log{request{model_spec{name: "m"}}}}, as TensorFlow's own writer frames it
KNOWN = bytes.fromhex("090000000000000037f9713932070a050a030a016d6d266cbe")

CONTENTS = st.lists(st.binary(max_size=60), max_size=5)


def read(data):
    return list(read_records(io.BytesIO(data), len(data)))


def read_until_lost(data, size_bytes=None):
    """What was read before the damage, and what was said about it."""
    found = []
    records = read_records(io.BytesIO(data), len(data) if size_bytes is None else size_bytes)
    with pytest.raises(DecodeError) as caught:
        found.extend(records)  # keeps what came before the error
    return found, caught.value


def test_known_file():
    assert read(KNOWN) == [bytes.fromhex("32070a050a030a016d")]
    assert tf_records(read(KNOWN)) == KNOWN


@given(CONTENTS)
def test_round_trip(contents):
    assert read(tf_records(contents)) == contents


@given(CONTENTS, st.data())
def test_a_truncated_file_is_lost_data_unless_it_ends_between_records(contents, data):
    whole = tf_records(contents)
    cut = data.draw(st.integers(0, len(whole)))
    ends = [len(tf_records(contents[:count])) for count in range(len(contents) + 1)]
    if cut in ends:
        assert read(whole[:cut]) == contents[: ends.index(cut)]
        return
    found, error = read_until_lost(whole[:cut])
    complete = sum(end <= cut for end in ends[1:])
    assert (error.code, error.offset) == (ErrorCode.DATA_LOSS, ends[complete])
    assert found == contents[:complete]


@given(CONTENTS.filter(bool), st.data())
def test_a_flipped_bit_is_always_noticed(contents, data):
    whole = bytearray(tf_records(contents))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    found, error = read_until_lost(bytes(whole))
    ends = [len(tf_records(contents[:count])) for count in range(len(contents) + 1)]
    damaged = sum(end <= bit // 8 for end in ends[1:])
    assert (error.code, error.offset) == (ErrorCode.DATA_LOSS, ends[damaged])
    assert found == contents[:damaged]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(DecodeError):
        assert tf_records(read(data)) == data


class Metered(io.BytesIO):
    """Notes how much is asked for at once."""

    largest = 0

    def read(self, size=-1):
        self.largest = max(self.largest, size)
        return super().read(size)


@pytest.mark.parametrize("length", [10, 2**31, 2**63, 2**64 - 1])
def test_a_length_beyond_the_file_is_refused_before_it_costs_memory(length):
    field = length.to_bytes(8, "little")
    data = field + masked_crc32c(field).to_bytes(4, "little") + bytes(13)
    stream = Metered(data)
    with pytest.raises(DecodeError, match=rf"expected {length} bytes of content, got 9 \(at offset 0\)"):
        list(read_records(stream, len(data)))
    assert stream.largest == 12


def test_a_record_that_no_message_can_be_is_refused():
    field = (2**31).to_bytes(8, "little")
    stream = Metered(field + masked_crc32c(field).to_bytes(4, "little"))
    with pytest.raises(DecodeError, match="at most 2147483647 bytes, got 2147483648"):
        list(read_records(stream, 2**40))
    assert stream.largest == 12


def test_a_file_that_shrank_is_lost_data():
    found, error = read_until_lost(KNOWN[:-2], size_bytes=len(KNOWN))
    assert (found, error.code) == ([], ErrorCode.DATA_LOSS)


def test_texts_say_expected_and_got():
    damaged = KNOWN[:12] + b"x" + KNOWN[13:]
    _, error = read_until_lost(damaged)
    assert error.message.startswith("checksum of a record's content: expected 0xbe6c266d, got 0x")
