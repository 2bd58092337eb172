"""The boundary to the kernels: several payloads, errors in words, arrays that are not as they must be."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from navi_dr_transform._generated.prediction_service.ttypes import PredictionRequest
from navi_dr_transform.decoder import Decoder
from navi_dr_transform.layout import HOME, HomeTensor
from navi_dr_transform.tables import NUM_COUNTERS, Counter
from navi_dr_transform.thrift_records import data_record, encode_request, float_tensor
from thrift.TSerialization import serialize

from navi_core import DecodeError, ErrorCode

ONE = encode_request([data_record(continuous={7: 1.0})])
TWO = encode_request([data_record(binary=[5]), data_record(binary=[6])], data_record(continuous={8: 2.0}))
NONE = encode_request([])


@pytest.fixture(scope="module")
def decoder(features, widths):
    return Decoder(HOME, features, widths, exact_embeddings=False)


def convert(decoder, payloads):
    measured = decoder.measure(payloads)
    out = decoder.allocate(measured.num_rows)
    decoder.fill(measured, out)
    return out, measured.row_ends


def test_rows_of_several_payloads_stand_one_after_the_other(decoder):
    out, row_ends = convert(decoder, [ONE, NONE, TWO, ONE])
    assert row_ends.dtype == np.int64
    assert row_ends.tolist() == [1, 1, 3, 4]
    nan = np.nan
    expected = [[1, nan, nan, nan], [nan, nan, 2, nan], [nan, nan, 2, nan], [1, nan, nan, nan]]
    np.testing.assert_array_equal(out[HomeTensor.CONTINUOUS], np.array(expected, np.float32))
    np.testing.assert_array_equal(out[HomeTensor.BINARY], [[0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize("payloads", [[], [NONE], [NONE, NONE]])
def test_no_rows_are_all_right(decoder, payloads):
    out, row_ends = convert(decoder, payloads)
    assert row_ends.tolist() == [0] * len(payloads)
    assert [array.shape for array in out.values()] == [(0, width) for width in decoder.widths.values()]


def test_a_malformed_payload_is_refused_with_its_index_and_offset(decoder):
    with pytest.raises(DecodeError) as caught:
        decoder.measure([ONE, TWO[:-1], ONE])
    assert (caught.value.row, caught.value.offset) == (1, len(TWO) - 1)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert caught.value.message == (
        "BatchPredictionRequest: expected more bytes, got the end of the payload "
        f"(at payload 1, offset {len(TWO) - 1})"
    )


def test_an_embedding_that_is_too_long_is_truncated_or_refused(features, widths):
    payload = encode_request([data_record(tensors={-2: float_tensor([1, 2, 3])})])
    out, _ = convert(Decoder(HOME, features, widths, exact_embeddings=False), [payload])
    np.testing.assert_array_equal(out[HomeTensor.USER_EMBEDDING], [[1, 2]])
    with pytest.raises(DecodeError, match="expected exactly as many values as the embedding is wide"):
        Decoder(HOME, features, widths, exact_embeddings=True).measure([payload])


def test_only_wanted_tensors_are_made(features):
    decoder = Decoder(HOME, features, {HomeTensor.BINARY: 3}, exact_embeddings=False)
    out, _ = convert(decoder, [TWO])
    assert list(out) == [HomeTensor.BINARY]
    np.testing.assert_array_equal(out[HomeTensor.BINARY], [[0, 1, 0], [0, 0, 1]])
    assert decoder.row_size_bytes == 3 * 8


def test_the_size_of_a_home_row(features):
    widths = {index: HOME.tensors[index].width for index in HomeTensor if index is not HomeTensor.DISCRETE}
    assert Decoder(HOME, features, widths, exact_embeddings=False).row_size_bytes == 24_764


@pytest.mark.parametrize(
    "spoil",
    [
        lambda array: array[:-1],
        lambda array: array.astype(np.float64),
        lambda array: np.asfortranarray(np.repeat(array, 2, axis=0))[:2],
        lambda array: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape),
        lambda array: None,
    ],
    ids=["rows", "dtype", "order", "read-only", "missing"],
)
def test_arrays_that_are_not_as_they_must_be_are_refused(decoder, spoil):
    measured = decoder.measure([TWO])
    out = decoder.allocate(2)
    out[HomeTensor.CONTINUOUS] = spoil(out[HomeTensor.CONTINUOUS])
    with pytest.raises(
        ValueError, match=r"^continuous: expected a writeable C-contiguous float32 \(2, 4\), got "
    ):
        decoder.fill(measured, out)


def test_views_of_bytes_are_read_where_they_lie_and_others_refused(decoder):
    out, _ = convert(decoder, [memoryview(b"?" + TWO)[1:], bytearray(ONE)])
    np.testing.assert_array_equal(out[HomeTensor.BINARY], [[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    for view in (memoryview(TWO)[::-1], memoryview(bytes(8)).cast("q")):
        with pytest.raises(ValueError, match=r"^expected a payload of bytes, got a view of format"):
            decoder.measure([view])


def test_a_payload_that_changed_since_it_was_measured_is_refused(decoder):
    measured = decoder.measure([TWO])
    object.__setattr__(measured, "payloads", [ONE])
    with pytest.raises(DecodeError):
        decoder.fill(measured, decoder.allocate(2))


def test_what_came_and_what_is_known_is_counted(decoder):
    common = data_record(
        continuous={7: 1.0, 99: 1.0}, tensors={-2: float_tensor([1, 2]), 99: float_tensor([1])}
    )
    record = data_record(binary=[5, 6, 7], discrete={20: 1, 22: 2}, continuous={})
    measured = decoder.measure([encode_request([record, record], common), ONE])
    counters = np.zeros(NUM_COUNTERS, np.int64)
    for times in (1, 2):
        decoder.fill(measured, decoder.allocate(3), counters)
        assert dict(zip(Counter, counters.tolist(), strict=True)) == {
            Counter.RECORDS: 3 * times,
            Counter.FEATURES: 13 * times,
            Counter.MATCHED: 8 * times,
            Counter.TENSORS: 2 * times,
            Counter.MATCHED_TENSORS: times,
        }
    with pytest.raises(ValueError, match=r"^counters: expected a writeable int64 \(5,\), got"):
        decoder.fill(measured, decoder.allocate(3), np.zeros(4, np.int64))


def test_one_record_alone_is_a_request_of_another_form(features, widths):
    record = data_record(continuous={7: 1.0, 8: 2.0}, binary=[6])
    for form, payload in (
        ("record", serialize(record)),
        ("prediction", serialize(PredictionRequest(features=record))),
    ):
        decoder = Decoder(HOME, features, widths, exact_embeddings=False, form=form)
        out, row_ends = convert(decoder, [payload, payload])
        assert row_ends.tolist() == [1, 2]
        expected = np.array([[1, np.nan, 2, np.nan]] * 2, np.float32)
        np.testing.assert_array_equal(out[HomeTensor.CONTINUOUS], expected)
        np.testing.assert_array_equal(out[HomeTensor.BINARY], [[0, 0, 1]] * 2)
    with pytest.raises(DecodeError, match=r"^PredictionRequest: expected every required field"):
        Decoder(HOME, features, widths, exact_embeddings=False, form="prediction").measure([b"\0"])


def test_threads_share_a_decoder(decoder):
    alone = convert(decoder, [ONE, TWO])[0]
    wrong = []

    def work():
        for _ in range(50):
            out = convert(decoder, [ONE, TWO])[0]
            wrong.extend(kind for kind in out if not np.array_equal(out[kind], alone[kind], equal_nan=True))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
