"""Where the tensors are not Navi's: the README's list, one test each."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from navi_dr_transform._generated.data.ttypes import CompactDataRecord
from navi_dr_transform._generated.prediction_service.ttypes import BatchPredictionRequest
from navi_dr_transform._generated.tensor import ttypes as tensors
from navi_dr_transform.decoder import Decoder
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import HOME, HOME_EMBEDDINGS, HomeTensor, Source
from navi_dr_transform.thrift_records import data_record, encode_request, float_tensor
from thrift.TSerialization import serialize

from navi_core import DecodeError

USER = -2550691008059411095
COLUMNS = {
    (Source.CONTINUOUS, 1): (Place(HomeTensor.CONTINUOUS, 0),),
    (Source.BINARY, 2): (Place(HomeTensor.BINARY, 1),),
    (Source.DISCRETE, 3): (Place(HomeTensor.DISCRETE, 2),),
    (Source.BINARY, 4): (Place(HomeTensor.BINARY, 149),),
    (Source.DISCRETE, 5): (Place(HomeTensor.DISCRETE, 320),),
    (Source.CONTINUOUS, 6): (Place(HomeTensor.CONTINUOUS, 5293),),
    (Source.BINARY, 7): (Place(HomeTensor.BINARY, 2**40),),
}


def home(*, exact=False):
    """Return a decoder of the home layout in its own widths."""
    ids = dict(zip(HOME_EMBEDDINGS, (USER, -1, -1), strict=True))
    widths = {index: tensor.width for index, tensor in enumerate(HOME.tensors)}
    return Decoder(HOME, FeatureMap(COLUMNS, ids), widths, exact_embeddings=exact)


def convert(*records, common=None, decoder=None):
    decoder = decoder or home()
    measured = decoder.measure([encode_request(records, common)])
    out = decoder.allocate(measured.num_rows)
    decoder.fill(measured, out)
    return out


def nothing_but(out, kind, cells):
    """Tell whether only these cells hold something else than the default."""
    for each, array in out.items():
        filled = ~np.isnan(array) if each == HomeTensor.CONTINUOUS else array != 0
        if sorted(map(tuple, np.argwhere(filled))) != (cells if each == kind else []):
            return False
    return True


def test_a_feature_lands_only_in_the_tensor_its_type_names():
    ids = [1, 2, 3, USER]
    assert nothing_but(
        convert(data_record(continuous=dict.fromkeys(ids, 5.0))), HomeTensor.CONTINUOUS, [(0, 0)]
    )
    assert nothing_but(convert(data_record(binary=ids)), HomeTensor.BINARY, [(0, 1)])
    assert nothing_but(convert(data_record(discrete=dict.fromkeys(ids, 5))), HomeTensor.DISCRETE, [(0, 2)])
    assert nothing_but(
        convert(data_record(tensors=dict.fromkeys([1, 2, 3], float_tensor([1.0] * 200)))), None, []
    )


def test_raw_double_and_int_tensors_are_read():
    values = list(range(-100, 100))
    made = [
        tensors.GeneralTensor(doubleTensor=tensors.DoubleTensor([float(value) for value in values])),
        tensors.GeneralTensor(int32Tensor=tensors.Int32Tensor(values)),
        tensors.GeneralTensor(int64Tensor=tensors.Int64Tensor(values)),
    ]
    for data_type, code in ((0, "f"), (1, "d"), (2, "i"), (3, "q")):
        content = struct.pack(f"<200{code}", *values)
        made.append(tensors.GeneralTensor(rawTypedTensor=tensors.RawTypedTensor(data_type, content)))
    for tensor in made:
        out = convert(data_record(tensors={USER: tensor}))
        np.testing.assert_array_equal(out[HomeTensor.USER_EMBEDDING], np.array([values], dtype=np.float32))
    raw = tensors.GeneralTensor(rawTypedTensor=tensors.RawTypedTensor(4, bytes(range(200))))
    out = convert(data_record(tensors={USER: raw}))
    np.testing.assert_array_equal(out[HomeTensor.USER_EMBEDDING], np.arange(200, dtype=np.float32)[None])

    zeros = [
        tensors.GeneralTensor(stringTensor=tensors.StringTensor(["a"] * 200)),
        tensors.GeneralTensor(boolTensor=tensors.BoolTensor([True] * 200)),
        tensors.GeneralTensor(binaryTensor=tensors.BinaryTensor([b"a"] * 200)),
        *(
            tensors.GeneralTensor(rawTypedTensor=tensors.RawTypedTensor(data_type, b"\1" * 201))
            for data_type in (5, 6, 7, 8, 99, -1)
        ),
    ]
    common = data_record(tensors={USER: float_tensor([1.0] * 200)})
    for tensor in zeros:
        out = convert(data_record(tensors={USER: tensor}), common=common)
        assert not out[HomeTensor.USER_EMBEDDING].any()


def test_sparse_tensors_are_read():
    coo = tensors.COOSparseTensor([10, 20], tensors.Int64Tensor([0, 3, 9, 19]), float_tensor([0.5, 1.5]))
    record, common = data_record(), data_record(tensors={USER: float_tensor([1.0] * 200)})
    record.sparseTensors = {USER: tensors.SparseTensor(cooSparseTensor=coo)}
    out = convert(record, data_record(), common=common)
    expected = np.stack([np.zeros(200, np.float32), np.ones(200, np.float32)])
    expected[0, [3, 199]] = 0.5, 1.5
    np.testing.assert_array_equal(out[HomeTensor.USER_EMBEDDING], expected)


def test_compact_records_are_read():
    record = CompactDataRecord(
        binaryFeatures={2},
        continuousFeatures={1: struct.unpack("<i", struct.pack("<f", 0.1))[0]},
        discreteFeatures={3: -7},
        tensors={USER: float_tensor(range(200))},
    )
    decoder = home()
    measured = decoder.measure([serialize(BatchPredictionRequest([record]))])
    out = decoder.allocate(1)
    decoder.fill(measured, out)
    assert out[HomeTensor.CONTINUOUS][0, 0] == np.float32(0.1)
    assert out[HomeTensor.BINARY][0, 1] == 1
    assert out[HomeTensor.DISCRETE][0, 2] == -7
    np.testing.assert_array_equal(out[HomeTensor.USER_EMBEDDING], np.arange(200, dtype=np.float32)[None])


@pytest.mark.parametrize("length", [0, 1, 199])
def test_a_short_embedding_is_an_error(length):
    short = data_record(tensors={USER: float_tensor([1.0] * length)})
    for records, common in (([data_record(), short], None), ([], short), ([data_record()], short)):
        with pytest.raises(
            DecodeError, match=r"expected at least as many values .* \(at payload 0, offset \d+\)"
        ):
            convert(*records, common=common)
    raw = tensors.GeneralTensor(rawTypedTensor=tensors.RawTypedTensor(0, bytes(4 * length)))
    with pytest.raises(DecodeError, match="got fewer"):
        convert(data_record(tensors={USER: raw}))


def test_a_long_embedding_is_truncated_unless_strict():
    record = data_record(tensors={USER: float_tensor(range(201))})
    out = convert(record)
    np.testing.assert_array_equal(out[HomeTensor.USER_EMBEDDING], np.arange(200, dtype=np.float32)[None])
    with pytest.raises(DecodeError, match="got more"):
        convert(record, decoder=home(exact=True))
    fits = data_record(tensors={USER: float_tensor(range(200))})
    assert convert(fits, decoder=home(exact=True))[HomeTensor.USER_EMBEDDING][0, 199] == 199


def test_every_index_is_bounded():
    record = data_record(continuous={6: 1.0}, binary=[4, 7], discrete={5: 1})
    for common in (None, record):
        assert nothing_but(convert(record, data_record(), common=common), None, [])


def test_bytes_after_the_struct_are_ignored():
    payload = encode_request([data_record(binary=[2])])
    decoder = home()
    measured = decoder.measure([payload + bytes(100), payload + b"\xff" * 9])
    out = decoder.allocate(2)
    decoder.fill(measured, out)
    assert nothing_but(out, HomeTensor.BINARY, [(0, 1), (1, 1)])


def test_malformed_bytes_are_refused_with_their_offset():
    payload = encode_request([data_record(binary=[2])])
    for cut in range(len(payload)):
        with pytest.raises(DecodeError) as caught:
            home().measure([payload, payload[:cut]])
        assert caught.value.row == 1
        assert 0 <= caught.value.offset <= cut
    # continuousFeatures as map<i64, i64>: Navi would take the integers' bits for doubles
    misread = encode_request([data_record(discrete={1: 5})]).replace(
        b"\x0d\x00\x03\x0a\x0a", b"\x0d\x00\x02\x0a\x0a"
    )
    with pytest.raises(DecodeError, match=r"expected the wire type .* \(at payload 0, offset 12\)"):
        home().measure([misread])


def test_the_readme_lists_these_tests():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    listed = re.findall(r"^\| `(test_\w+)` \|", readme, re.MULTILINE)
    here = [
        name for name in globals() if name.startswith("test_") and name != "test_the_readme_lists_these_tests"
    ]
    assert listed == here
