"""Outputs as DataRecords."""

from __future__ import annotations

import numpy as np
import pytest
from navi_dr_transform._generated.data.ttypes import DataRecord
from navi_dr_transform._generated.prediction_service.ttypes import BatchPredictionResponse
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.response import ResponseEncoder
from thrift.TSerialization import deserialize

from navi_core import DType, InferenceError, ModelLoadError, TensorSpec

TASKS = ["recap.engagement.is_favorited", "recap.engagement.is_replied"]


def specs(**shapes):
    return {name: TensorSpec(name=name, dtype=DType.FLOAT32, shape=shape) for name, shape in shapes.items()}


def predictions(encoder, outputs, count):
    return deserialize(BatchPredictionResponse(), encoder.batch(outputs, count)).predictions


def test_columns_become_the_features_that_are_named():
    encoder = ResponseEncoder(specs(probabilities=(None, 2)), {"probabilities": TASKS}, "model 'm'")
    outputs = {"probabilities": np.array([[0.5, 0.25], [np.nan, 1.0]], np.float32)}
    first, second = predictions(encoder, outputs, 2)
    assert first == DataRecord(continuousFeatures={5572643959053003859: 0.5, feature_id(TASKS[1]): 0.25})
    assert second == DataRecord(continuousFeatures={feature_id(TASKS[1]): 1.0})
    assert deserialize(DataRecord(), encoder.record({"probabilities": outputs["probabilities"][:1]})) == first


def test_outputs_without_names_are_features_of_their_own():
    shapes = {"score": (None, 1), "label": (None,), "ok": (None,), "text": (None,), "logits": (None, 3)}
    encoder = ResponseEncoder(specs(**shapes), {}, "model 'm'")
    outputs = {
        "score": np.array([[0.5], [0.75]], np.float32),
        "label": np.array([3, -4]),
        "ok": np.array([True, False]),
        "text": np.array([b"a", b"b"], dtype=object),
        "logits": np.arange(6, dtype=np.float32).reshape(2, 3),
    }
    ids = {name: feature_id(name) for name in shapes}
    first, second = predictions(encoder, outputs, 2)
    assert (first.continuousFeatures, second.continuousFeatures) == (
        {ids["score"]: 0.5},
        {ids["score"]: 0.75},
    )
    assert (first.discreteFeatures, second.discreteFeatures) == ({ids["label"]: 3}, {ids["label"]: -4})
    assert (first.binaryFeatures, second.binaryFeatures) == ({ids["ok"]}, None)
    assert second.stringFeatures == {ids["text"]: "b"}
    raw = second.tensors[ids["logits"]].rawTypedTensor
    assert (raw.dataType, raw.shape) == (0, [3])
    assert np.frombuffer(raw.content, "<f4").tolist() == [3.0, 4.0, 5.0]


def test_several_outputs_share_a_family():
    encoder = ResponseEncoder(specs(a=(None, 2), b=(None,)), {"a": [1, "2"]}, "model 'm'")
    (record,) = predictions(encoder, {"a": np.array([[0.5, 1.5]]), "b": np.array([2.5])}, 1)
    assert record.continuousFeatures == {1: 0.5, 2: 1.5, feature_id("b"): 2.5}


def test_floats_that_numpy_does_not_know():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="the floats that NumPy does not know")
    encoder = ResponseEncoder(specs(a=(None,)), {}, "model 'm'")
    (record,) = predictions(encoder, {"a": np.array([0.5], ml_dtypes.bfloat16)}, 1)
    assert record.continuousFeatures == {feature_id("a"): 0.5}


def test_no_records_have_no_predictions():
    encoder = ResponseEncoder(specs(a=(None, 2), b=(None, 3)), {"a": TASKS}, "model 'm'")
    outputs = {"a": np.empty((0, 2), np.float32), "b": np.empty((0, 3), np.float32)}
    assert predictions(encoder, outputs, 0) == []


@pytest.mark.parametrize(
    ("features", "text"),
    [
        ({"b": TASKS}, r"expected outputs of model 'm' \('a'\), got 'b'"),
        ({"a": TASKS[:1]}, "expected 2 features for output 'a' of model 'm', got 1"),
        ({"a": [7, "7"]}, "expected every feature once, got '7'"),
        ({"a": [7, 2**63]}, "expected a feature's name or its 64-bit id"),
    ],
)
def test_names_that_do_not_fit_the_model_are_refused_when_it_loads(features, text):
    with pytest.raises(ModelLoadError, match=text):
        ResponseEncoder(specs(a=(None, 2)), features, "model 'm'")


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.ones((1, 2)), r"expected a row for each of 2 records, got shape \(1, 2\)"),
        (np.float32(1), "expected a row for each of 2 records"),
        (np.ones((2, 3)), r"expected 2 values for each record, got shape \(2, 3\)"),
        (
            np.array([[2**63, 1], [1, 1]], np.uint64),
            "cannot be written as DataRecords: discrete: expected signed",
        ),
    ],
)
def test_answers_that_do_not_fit_are_errors_of_the_model(array, text):
    encoder = ResponseEncoder(specs(a=(None, None)), {"a": TASKS}, "model 'm'")
    with pytest.raises(InferenceError, match=text):
        encoder.batch({"a": array}, 2)
