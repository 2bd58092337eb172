"""The encoder beside Apache Thrift's decoder, and beside the converter whose way back it is."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from navi_dr_transform import load_converter
from navi_dr_transform._generated.data.ttypes import CompactDataRecord, DataRecord
from navi_dr_transform._generated.prediction_service.ttypes import (
    BatchPredictionRequest,
    BatchPredictionResponse,
)
from navi_dr_transform.encode import encode_batch, encode_records, encode_response
from navi_dr_transform.feature_id import feature_id
from thrift.protocol.TBinaryProtocol import TBinaryProtocol, TBinaryProtocolAccelerated
from thrift.transport.TTransport import TMemoryBuffer

from navi_core import InvalidRequestError
from navi_core.testing.imports import assert_import_light

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(width=64, allow_nan=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
IDS = st.lists(INT64, max_size=4, unique=True)


def decoded(struct_type, payload, protocol=TBinaryProtocol):
    """Decode with Apache Thrift, which has to use every byte."""
    transport = TMemoryBuffer(payload)
    read = struct_type()
    read.read(protocol(transport))
    assert transport.cstringio_buf.tell() == len(payload)
    return read


def records_of(payload):
    slow = decoded(BatchPredictionRequest, payload)
    assert slow == decoded(BatchPredictionRequest, payload, TBinaryProtocolAccelerated)
    return slow.individualFeaturesList, slow.commonFeatures


def without(values):
    """Return a record's family as Thrift has it: None where nothing is left."""
    return values or None


@st.composite
def columns(draw, values, rows):
    """Id -> one value for each row, some of which are missing."""
    optional = st.none() | values
    return {key: draw(st.lists(optional, min_size=rows, max_size=rows)) for key in draw(IDS)}


@st.composite
def batches(draw):
    rows = draw(st.integers(0, 4))
    families = {
        "continuous": columns(FLOATS, rows),
        "binary": columns(st.booleans(), rows),
        "discrete": columns(INT64, rows),
        "strings": columns(TEXTS, rows),
        "blobs": columns(st.binary(max_size=4), rows),
        "sparse_binary": columns(st.sets(TEXTS, max_size=3), rows),
        "sparse_continuous": columns(st.dictionaries(TEXTS, st.floats(allow_nan=False), max_size=3), rows),
        "tensors": columns(st.lists(st.floats(allow_nan=False), max_size=4).map(np.array), rows),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(families)), unique=True))
    return rows, {name: draw(families[name]) for name in chosen}


def expected_record(families, row):
    def there(name):
        picked = {key: column[row] for key, column in families.get(name, {}).items()}
        return {key: value for key, value in picked.items() if value is not None}

    return SimpleNamespace(
        binaryFeatures=without({key for key, value in there("binary").items() if value}),
        continuousFeatures=without({k: v for k, v in there("continuous").items() if v == v}),
        discreteFeatures=without(there("discrete")),
        stringFeatures=without(there("strings")),
        blobFeatures=without(there("blobs")),
        sparseBinaryFeatures=without({key: value for key, value in there("sparse_binary").items() if value}),
        sparseContinuousFeatures=without({k: v for k, v in there("sparse_continuous").items() if v}),
        tensors=without({key: value.tolist() for key, value in there("tensors").items()}),
    )


def seen_record(record):
    found = SimpleNamespace(**{name: getattr(record, name) for name in vars(expected_record({}, 0))})
    if found.tensors is not None:
        found.tensors = {key: tensor.floatTensor.floats for key, tensor in found.tensors.items()}
    return found


@settings(max_examples=150, deadline=None)
@given(batches())
def test_apache_thrift_reads_what_was_given(batch):
    rows, families = batch
    records, common = records_of(encode_batch(**families, num_records=rows))
    assert common is None
    assert [seen_record(record) for record in records] == [expected_record(families, r) for r in range(rows)]


@settings(max_examples=50, deadline=None)
@given(batches())
def test_common_features_are_a_record_of_their_own(batch):
    rows, families = batch
    assume(rows)
    first = {name: {key: column[0] for key, column in family.items()} for name, family in families.items()}
    records, common = records_of(encode_batch(common=first, num_records=2))
    assert records == [DataRecord(), DataRecord()]
    assert seen_record(common) == expected_record(
        {n: {k: [v] for k, v in f.items()} for n, f in first.items()}, 0
    )


@settings(max_examples=50, deadline=None)
@given(batches())
def test_a_response_is_a_request_without_common_features(batch):
    rows, families = batch
    response = decoded(
        BatchPredictionResponse, encode_response(families, num_records=rows, tensor_form="float")
    )
    assert [seen_record(each) for each in response.predictions] == [
        expected_record(families, row) for row in range(rows)
    ]


def test_compact_records_have_32_bit_values_and_fields_of_their_own():
    (payload,) = encode_records(
        {
            "continuous": {1: [0.1]},
            "binary": {2: [1]},
            "discrete": {3: [-4]},
            "strings": {4: ["s"]},
            "blobs": {5: [b"b"]},
            "sparse_binary": {6: [{"x"}]},
            "sparse_continuous": {7: [{"y": 1.5}]},
            "tensors": {8: np.ones((1, 2), np.float32)},
        },
        compact=True,
    )
    record = decoded(CompactDataRecord, payload)
    bits = struct.unpack(">i", struct.pack(">f", 0.1))[0]
    assert record.continuousFeatures == {1: bits}
    assert record.sparseContinuousFeatures == {7: {"y": struct.unpack(">i", struct.pack(">f", 1.5))[0]}}
    assert (record.binaryFeatures, record.discreteFeatures, record.stringFeatures) == ({2}, {3: -4}, {4: "s"})
    assert (record.blobFeatures, record.sparseBinaryFeatures) == ({5: b"b"}, {6: {"x"}})
    assert record.tensors[8].floatTensor.floats == [1.0, 1.0]
    batch = encode_batch(continuous={1: [0.1]}, common={"binary": {2: True}}, compact=True)
    one, common = (
        encode_records(f, compact=True)[0] for f in ({"continuous": {1: [0.1]}}, {"binary": {2: [1]}})
    )
    assert batch == b"\x0f\0\1\x0c\0\0\0\1" + one + b"\x0c\0\2" + common + b"\0"


# --- the forms in which columns come ----------------------------------------------------------------------


class Frame:
    """What is used of a DataFrame."""

    def __init__(self, columns, matrix):
        self.columns = columns
        self.matrix = matrix

    def to_numpy(self):
        return self.matrix


class NAType:
    """Behaves as pandas' NA where the encoder looks."""

    def __eq__(self, other):
        return self

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = None


MATRIX = np.array([[1.5, np.nan], [2.0, 3.0]], np.float32)


@pytest.mark.parametrize(
    "family",
    [
        {"7": MATRIX[:, 0], 8: MATRIX[:, 1]},
        {7: [1.5, 2], 8: [None, 3]},
        {7: (1.5, 2), 8: np.ma.array([9, 3], mask=[True, False])},
        {7: np.array([1.5, 2.0], object), 8: np.array([NAType(), np.float32(3)], object)},
        {7: np.array([1.5, 2.0], ">f8"), 8: np.array([np.nan, 3], np.float16)},
        ([7, 8], MATRIX),
        (np.array([7, 8]), np.asfortranarray(MATRIX)),
        (["7", 8], np.ma.masked_invalid(MATRIX)),
        Frame(["7", "8"], MATRIX),
        Frame([7, 8], MATRIX.astype(object)),
    ],
)
def test_a_family_has_many_forms(family):
    records, _ = records_of(encode_batch(continuous=family))
    assert [record.continuousFeatures for record in records] == [{7: 1.5}, {7: 2.0, 8: 3.0}]


def test_features_are_called_by_name_or_by_id():
    name = "recap.engagement.is_favorited"
    records, _ = records_of(encode_batch(binary={name: [True]}, discrete=([name], [[3]])))
    assert records[0].binaryFeatures == {feature_id(name)}
    assert records[0].discreteFeatures == {feature_id(name): 3}


def test_discrete_columns_of_floats_are_whole_numbers():
    records, _ = records_of(encode_batch(discrete={1: np.array([3.0, np.nan]), 2: [2**63 - 1, -(2**63)]}))
    assert records[0].discreteFeatures == {1: 3, 2: 2**63 - 1}
    assert records[1].discreteFeatures == {2: -(2**63)}


def test_records_without_columns():
    assert records_of(encode_batch()) == ([], None)
    assert records_of(encode_batch(num_records=2, continuous={}))[0] == [DataRecord(), DataRecord()]


def test_doubles_that_32_bits_cannot_hold_become_infinite():
    (payload,) = encode_records({"continuous": {1: [1e300]}}, compact=True)
    assert decoded(CompactDataRecord, payload).continuousFeatures == {1: 0x7F800000}


# --- tensors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "form", "member", "field", "expected"),
    [
        (np.array([[1.5, -2]], np.float32), "float", "floatTensor", "floats", [1.5, -2.0]),
        (np.array([[1.5, -2]], np.float64), "float", "floatTensor", "floats", [1.5, -2.0]),
        (np.array([[1.5, -2]], np.float16), "double", "doubleTensor", "doubles", [1.5, -2.0]),
        (np.array([[1, -2]], np.int16), "float", "int32Tensor", "ints", [1, -2]),
        (np.array([[1, 2**32 - 1]], np.uint32), "float", "int64Tensor", "longs", [1, 2**32 - 1]),
        (np.array([[1, -(2**63)]]), "float", "int64Tensor", "longs", [1, -(2**63)]),
        (np.array([[True, False]]), "raw", "boolTensor", "booleans", [True, False]),
        ([["a", "é"]], "raw", "stringTensor", "strings", ["a", "é"]),
        ([[b"a", b"\xff"]], "raw", "binaryTensor", "binaries", [b"a", b"\xff"]),
        (
            np.array([[1.5, -2]], ">f4"),
            "raw",
            "rawTypedTensor",
            "content",
            np.array([1.5, -2], "<f4").tobytes(),
        ),
        (np.array([[1.5, -2]]), "raw", "rawTypedTensor", "content", np.array([1.5, -2], "<f8").tobytes()),
        (
            np.array([[1, -2]], np.int8),
            "raw",
            "rawTypedTensor",
            "content",
            np.array([1, -2], "<i4").tobytes(),
        ),
        (
            np.array([[1, 2]], np.uint32),
            "raw",
            "rawTypedTensor",
            "content",
            np.array([1, 2], "<i8").tobytes(),
        ),
        (np.array([[1, 255]], np.uint8), "raw", "rawTypedTensor", "content", bytes([1, 255])),
        (np.array([7], np.int64), "float", "int64Tensor", "longs", [7]),
        ([np.float32(7)], "float", "floatTensor", "floats", [7.0]),
    ],
)
def test_tensors_have_the_member_of_their_numbers(values, form, member, field, expected):
    records, _ = records_of(encode_batch(tensors={1: values}, tensor_form=form))
    tensor = records[0].tensors[1]
    assert [name for name, value in vars(tensor).items() if value is not None] == [member]
    assert getattr(getattr(tensor, member), field) == expected
    if form == "raw" and member == "rawTypedTensor":
        assert tensor.rawTypedTensor.shape == [2]


def test_tensors_of_more_dimensions_say_their_shape():
    records, _ = records_of(encode_batch(tensors={1: np.zeros((2, 3, 1)), 2: [np.ones((1, 2)), None]}))
    assert records[1].tensors[1].floatTensor.shape == [3, 1]
    assert records[0].tensors[2].floatTensor.shape == [1, 2]
    assert list(records[1].tensors) == [1]


def test_masked_tensors_are_left_out():
    masked = np.ma.array(np.ones((2, 2)), mask=[[True, True], [False, True]])
    records, _ = records_of(encode_batch(tensors={1: masked}))
    assert records[0].tensors is None
    assert records[1].tensors[1].floatTensor.floats == [1.0, 1.0]


# --- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("families", "text"),
    [
        ({"continuous": {"a": [1.0, 2.0]}, "binary": {"b": [1]}}, "continuous: 2, binary: 1"),
        ({"continuous": {"a": [1.0], "b": [1.0, 2.0]}}, r"columns of one length, got lengths \[1, 2\]"),
        ({"continuous": {"a": 1.0}}, "feature 'a': expected a column of values, got float"),
        ({"continuous": {"a": ["x"]}}, "feature 'a': expected numbers, got"),
        ({"continuous": {"a": [object()]}}, "feature 'a': expected numbers, got object"),
        ({"continuous": {"a": [1j]}}, "feature 'a': expected numbers, got dtype complex128"),
        ({"continuous": {"a": [[1.0]]}}, r"columns of single values, got shape \(1, 1\)"),
        ({"continuous": {"a": [2**4000]}}, "numbers of at most 64 bits"),
        ({"continuous": [1.0]}, "expected a mapping of features to columns, a pair .*, got list"),
        ({"continuous": ([1, 2], np.ones((3, 1)))}, r"a matrix of shape \(rows, 2\), got \(3, 1\)"),
        ({"continuous": {2**63: [1.0]}}, "a feature's name or its 64-bit id, got 9223372036854775808"),
        ({"continuous": {None: [1.0]}}, "a feature's name or its 64-bit id, got None"),
        ({"continuous": {"\ud800": [1.0]}}, "a feature's name of valid Unicode"),
        ({"continuous": ([[1]], np.ones((1, 1)))}, "features' names or 64-bit ids"),
        ({"continuous": {7: [1.0], "7": [2.0]}}, "every feature once, got '7' again"),
        ({"discrete": {"a": [1.5]}}, "feature 'a': expected whole numbers of 64 bits"),
        ({"discrete": {"a": np.array([np.inf])}}, "whole numbers of 64 bits"),
        ({"discrete": {"a": np.array([2**63], np.uint64)}}, "signed numbers of 64 bits"),
        ({"strings": {"a": [1]}}, "strings feature 'a': expected texts or bytes, got int"),
        ({"sparse_binary": {"a": ["xy"]}}, "expected sets of texts, got str"),
        ({"sparse_continuous": {"a": [[1]]}}, "expected mappings from texts to numbers, got list"),
        ({"sparse_continuous": {"a": [{"x": "y"}]}}, "mappings from texts to numbers"),
        ({"tensors": {"a": [{}]}}, "tensors of numbers or texts, got dict"),
        ({"tensors": {"a": [[[1], [1, 2]]]}}, "tensors, got rows of different lengths"),
        ({"tensors": {"a": np.ones((1, 1), np.uint64)}}, "got dtype uint64"),
        ({"common": {"weights": {}}}, "expected some of continuous, .*, got 'weights'"),
        ({"common": {"binary": [1]}}, "common binary: expected a mapping"),
        ({"num_records": -1}, "num_records: expected 0 to"),
        ({"num_records": 3, "binary": {1: [1]}}, "num_records: 3, binary: 1"),
    ],
)
def test_what_cannot_be_written_is_refused(families, text):
    with pytest.raises(InvalidRequestError, match=text):
        encode_batch(**families)


# --- the converter ------------------------------------------------------------------------------------------


def test_the_converter_gives_the_columns_back(mapping, tmp_path):
    rng = np.random.default_rng(5)
    rows = 20
    continuous = rng.normal(size=(rows, 3)).astype(np.float32)
    continuous[rng.random(continuous.shape) < 0.3] = np.nan
    binary = rng.random((rows, 2)) < 0.5
    discrete = rng.integers(-(2**62), 2**62, (rows, 2))
    embeddings = {-2: rng.normal(size=(rows, 200)).astype(np.float32), -3: None}
    embeddings[-3] = [None if row % 3 else rng.normal(size=200) for row in range(rows)]
    converter = load_converter(mapping.write(tmp_path / "1"))
    for form in ("float", "double", "raw"):
        payload = encode_batch(
            continuous=([7, 8, -9], continuous),
            binary=([5, 6], binary),
            discrete={20: discrete[:, 0], 21: discrete[:, 1]},
            tensors=embeddings,
            common={"tensors": {-4: np.full(200, 0.5, np.float32)}},
            tensor_form=form,
        )
        arrays, row_ends = converter.convert([payload])
        assert row_ends.tolist() == [rows]
        np.testing.assert_array_equal(arrays["continuous"][:, [0, 2, 3]], continuous)
        np.testing.assert_array_equal(arrays["binary"][:, [1, 2]], binary)
        np.testing.assert_array_equal(arrays["discrete"][:, :2], discrete)
        np.testing.assert_array_equal(arrays["user_embedding"], embeddings[-2])
        engaged = [np.zeros(200) if each is None else each for each in embeddings[-3]]
        np.testing.assert_array_equal(arrays["user_eng_embedding"], np.array(engaged, np.float32))
        assert (arrays["author_embedding"] == 0.5).all()


def test_importing_it_imports_nothing_heavy():
    heavy = ("numba", "thrift", "pandas", "onnx", "mmh3", "grpc")
    assert_import_light("navi_dr_transform.encode", heavy)
