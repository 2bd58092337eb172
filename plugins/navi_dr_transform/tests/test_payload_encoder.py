"""Columns with names as requests: what ``--encode bpr`` sends."""

from __future__ import annotations

import numpy as np
import pytest
from navi_dr_transform._generated.data.ttypes import CompactDataRecord, DataRecord
from navi_dr_transform._generated.prediction_service.ttypes import PredictionRequest
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.payload_encoder import BprEncoder
from navi_dr_transform.thrift_records import decode_request
from thrift.TSerialization import deserialize

from navi_core import RequestError


def objects(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def records(columns, **said):
    (payload,) = BprEncoder("examples", **said).encode(columns)
    return decode_request(payload).individualFeaturesList


def test_values_say_which_family_a_feature_belongs_to():
    first, second = records(
        {
            "a.flag": np.array([True, False]),
            "a.count": np.array([3, 4], np.int32),
            "a.score": np.array([0.5, np.nan], np.float32),
            "a.text": objects(b"x", b"y"),
            "a.blob": objects(b"x", b"\xff"),
            "a.words": np.array([[b"x", b"y"], [b"z", b""]], dtype=object),
            "-2": np.array([[1.0, 2.0], [3.0, 4.0]]),
        }
    )
    assert first.binaryFeatures == {feature_id("a.flag")}
    assert second.binaryFeatures is None
    assert first.discreteFeatures == {feature_id("a.count"): 3}
    assert first.continuousFeatures == {feature_id("a.score"): 0.5}
    assert second.continuousFeatures is None
    assert first.stringFeatures == {feature_id("a.text"): "x"}
    assert second.blobFeatures == {feature_id("a.blob"): b"\xff"}
    assert second.tensors[-2].floatTensor.floats == [3.0, 4.0]
    assert second.tensors[feature_id("a.words")].stringTensor.strings == ["z", ""]


def test_rows_may_lack_values():
    first, second = records(
        {
            "1": objects(None, np.float64(2)),
            "2": objects(np.int64(7), None),
            "3": objects(np.array([1.0]), None),
            "4": objects(np.bool_(True), None),
            "5": objects(None, None),
        }
    )
    assert first.continuousFeatures is None
    assert second.continuousFeatures == {1: 2.0}
    assert (first.discreteFeatures, first.binaryFeatures) == ({2: 7}, {4})
    assert list(first.tensors) == [3]
    assert second.tensors is None


def test_a_prefix_says_the_family():
    (record,) = records(
        {
            "continuous:1": np.array([3]),
            "binary:2": np.array([1]),
            "tensors:3": np.array([1.5]),
            "a:b": np.array([1.5]),
        }
    )
    assert (record.continuousFeatures[1], record.binaryFeatures) == (3.0, {2})
    assert record.tensors[3].floatTensor.floats == [1.5]
    assert record.continuousFeatures[feature_id("a:b")] == 1.5


def test_payloads_have_other_forms():
    columns = {"7": np.array([1.5, 2.5])}
    payloads = BprEncoder("examples", form="record").encode(columns)
    assert [deserialize(DataRecord(), each).continuousFeatures for each in payloads] == [{7: 1.5}, {7: 2.5}]
    payloads = BprEncoder("examples", form="prediction").encode(columns)
    assert [deserialize(PredictionRequest(), each).features.continuousFeatures for each in payloads] == [
        {7: 1.5},
        {7: 2.5},
    ]
    payloads = BprEncoder("examples", form="record", compact=True).encode(columns)
    assert deserialize(CompactDataRecord(), payloads[1]).continuousFeatures == {7: 0x40200000}


@pytest.mark.parametrize(
    ("name", "column", "text"),
    [
        ("a", np.ones(1, np.complex64), "feature 'a': expected numbers"),
        ("a", np.full(1, 2**64 - 1, np.uint64), "signed numbers"),
        ("a", objects({"no": "value"}), "feature 'a': expected numbers, got dict"),
        ("binary:a", objects(b"x"), "feature 'a': expected numbers, got bytes"),
        ("continuous:7", np.ones((1, 2)), "columns of single values"),
        ("a", objects(b"x", np.float64(1)), "values of one kind, got"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_by_its_column(name, column, text):
    with pytest.raises(RequestError, match=text) as caught:
        BprEncoder("examples").encode({name: column})
    assert caught.value.tensor == name


def test_a_feature_has_one_column():
    columns = {"7": np.array([1.5]), "continuous:7": np.array([2.5])}
    with pytest.raises(RequestError, match="column 'continuous:7': its feature has another column too"):
        BprEncoder("examples").encode(columns)
