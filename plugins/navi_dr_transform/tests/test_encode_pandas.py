"""Requests from DataFrames and Series of pandas, as they come out of a query or a file."""

from __future__ import annotations

import io

import pytest
from navi_dr_transform._generated.data.ttypes import DataRecord
from navi_dr_transform.encode import encode_batch, encode_records
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.thrift_records import decode_request
from thrift.TSerialization import deserialize

from navi_core import InvalidRequestError

pandas = pytest.importorskip("pandas", reason="pandas is not installed")


def records_of(payload):
    return decode_request(payload).individualFeaturesList


def frame(dtype=None):
    return pandas.DataFrame({"a": [1.5, 2.0], "b": [None, 3.0]}, dtype=dtype)


@pytest.mark.parametrize("dtype", [None, "float32", "Float64", "Float32", object])
def test_a_frame_is_a_family_and_what_is_missing_is_left_out(dtype):
    records = records_of(encode_batch(continuous=frame(dtype)))
    a, b = feature_id("a"), feature_id("b")
    assert [record.continuousFeatures for record in records] == [{a: 1.5}, {a: 2.0, b: 3.0}]


def test_rows_come_in_the_frames_order_whatever_its_index_says():
    turned = frame().iloc[::-1]
    records = records_of(encode_batch(continuous=turned, discrete={7: pandas.Series([4, 5], index=[9, 3])}))
    assert [record.continuousFeatures[feature_id("a")] for record in records] == [2.0, 1.5]
    assert [record.discreteFeatures for record in records] == [{7: 4}, {7: 5}]


@pytest.mark.parametrize("dtype", ["Int64", "Int32", "float64", object])
def test_whole_numbers_with_holes(dtype):
    columns = pandas.DataFrame({7: pandas.Series([3, None], dtype=dtype), 8: pandas.Series([-1, 5])})
    for family in (columns, dict(columns.items())):
        records = records_of(encode_batch(discrete=family))
        assert [record.discreteFeatures for record in records] == [{7: 3, 8: -1}, {8: 5}]


def test_large_whole_numbers_keep_every_digit():
    large = 2**60 + 1
    ids = pandas.Series([large, None], dtype="Int64")
    floats = pandas.Series([3.0, None])
    mixed = pandas.DataFrame({7: [large, 5], 8: floats})
    for family in ({7: ids}, ids.to_frame(7), {7: pandas.Series([large, None], dtype=object)}):
        first, second = records_of(encode_batch(discrete=family))
        assert first.discreteFeatures == {7: large}
        assert not second.discreteFeatures
    for family in (mixed, mixed.astype(object), ([7, 8], mixed.astype(object).to_numpy())):
        records = records_of(encode_batch(discrete=family))
        assert [record.discreteFeatures for record in records] == [{7: large, 8: 3}, {7: 5}]


def test_a_column_that_stands_twice_is_refused():
    twice = pandas.DataFrame([[1, 2]], columns=[7, 7])
    with pytest.raises(InvalidRequestError, match="every feature once"):
        encode_batch(discrete=twice)


def test_truths_texts_and_tensors():
    payloads = encode_records(
        {
            "binary": pandas.DataFrame({1: pandas.Series([True, None], dtype="boolean"), 2: [True, True]}),
            "strings": {
                3: pandas.Series(["en", None], dtype="string"),
                4: pandas.Series(["x", "y"], dtype="category"),
            },
            "tensors": {5: pandas.Series([[1.0, 2.0], [3.0, 4.0]])},
        }
    )
    first, second = (deserialize(DataRecord(), payload) for payload in payloads)
    assert (first.binaryFeatures, second.binaryFeatures) == ({1, 2}, {2})
    assert (first.stringFeatures, second.stringFeatures) == ({3: "en", 4: "x"}, {4: "y"})
    assert [record.tensors[5].floatTensor.floats for record in (first, second)] == [[1.0, 2.0], [3.0, 4.0]]


def test_a_frame_from_a_file():
    table = pandas.read_csv(io.StringIO("tweet.score,tweet.age\n0.5,3\n,4\n"))
    records = records_of(encode_batch(continuous=table))
    score, age = map(feature_id, table.columns)
    assert [record.continuousFeatures for record in records] == [{score: 0.5, age: 3.0}, {age: 4.0}]


def test_texts_are_no_numbers():
    with pytest.raises(InvalidRequestError, match="numbers"):
        encode_batch(continuous=pandas.DataFrame({"a": ["one", "two"]}))
