"""Outputs as DataRecords."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_dr_transform._generated.data.ttypes import DataRecord
from navi_dr_transform._generated.prediction_service.ttypes import (
    BatchPredictionResponse,
    PredictionRequest,
    PredictionResponse,
)
from navi_dr_transform.converter import BprConverter
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.layout import HOME
from navi_dr_transform.options import BprOptions
from navi_dr_transform.response import ResponseEncoder, ResponseWriter
from navi_dr_transform.thrift_records import data_record, encode_request
from thrift.TSerialization import deserialize, serialize

from navi_core import Artifact, DType, InferenceError, ModelLoadError, Signature, TensorSpec

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
            "cannot be written as DataRecords: discrete feature .* expected signed",
        ),
    ],
)
def test_answers_that_do_not_fit_are_errors_of_the_model(array, text):
    encoder = ResponseEncoder(specs(a=(None, None)), {"a": TASKS}, "model 'm'")
    with pytest.raises(InferenceError, match=text):
        encoder.batch({"a": array}, 2)


DTYPES = [np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, np.bool_, np.uint64]


@st.composite
def answers_of_models(draw):
    """Some outputs of some rows: scalars, columns and tensors of all element types, holes in them; and their names."""
    num_records = draw(st.integers(0, 6))
    outputs, features = {}, {}
    for name in ("a", "b", "c", "d")[: draw(st.integers(1, 4))]:
        shape = (num_records, *draw(st.sampled_from([(), (1,), (3,), (2, 2)])))
        numbers = np.array(draw(st.lists(st.sampled_from([0, 1, 2, 100]), min_size=24, max_size=24)))
        array = numbers[: np.prod(shape, dtype=int)].reshape(shape)
        if draw(st.integers(0, 9)) == 0:
            outputs[name] = np.vectorize(lambda number: b"%d" % number, otypes=[object])(array)
        else:
            outputs[name] = array.astype(draw(st.sampled_from(DTYPES)))
            if outputs[name].dtype.kind == "f" and draw(st.booleans()):
                outputs[name][array == 2] = np.nan
        if draw(st.booleans()):
            features[name] = [f"{name}.{index}" for index in range(int(np.prod(shape[1:], dtype=int)))]
    return outputs, features, num_records


def plainly(outputs, features, row):
    """Return the fields of one row's DataRecord, one value after the other."""
    fields = {}
    families = {
        "b": "binaryFeatures",
        "i": "discreteFeatures",
        "u": "discreteFeatures",
        "O": "stringFeatures",
    }
    for name, array in outputs.items():
        if name not in features and array.shape[1:] not in ((), (1,)):
            fields.setdefault("tensors", {})[feature_id(name)] = array[row]
            continue
        family = families.get(array.dtype.kind, "continuousFeatures")
        for feature, value in zip(features.get(name, [name]), array[row : row + 1].flat, strict=True):
            if family == "binaryFeatures":
                if value:
                    fields.setdefault(family, set()).add(feature_id(feature))
            elif family == "stringFeatures":
                fields.setdefault(family, {})[feature_id(feature)] = value.decode()
            elif value == value:
                fields.setdefault(family, {})[feature_id(feature)] = value
    return fields


def numbers_of(tensor):
    """Return a GeneralTensor's numbers and shape."""
    raw = tensor.rawTypedTensor
    if raw is not None:
        dtype = {0: "<f4", 1: "<f8", 2: "<i4", 3: "<i8", 4: "u1"}[raw.dataType]
        return np.frombuffer(raw.content, dtype).reshape(raw.shape)
    return np.array(tensor.boolTensor.booleans).reshape(tensor.boolTensor.shape or -1)


@settings(max_examples=150, deadline=None)
@given(answers_of_models(), st.data())
def test_apache_thrift_reads_every_answer(answer, data):
    outputs, features, num_records = answer
    if any(
        array.dtype.kind == "O" and array.ndim > 1 and name not in features for name, array in outputs.items()
    ):
        return  # tensors of strings: a case of their own
    if any(
        array.dtype == np.uint64 and array.ndim > 1 and array.shape[1:] != (1,) and name not in features
        for name, array in outputs.items()
    ):
        return  # the format has no such tensors
    encoder = ResponseEncoder(
        {name: TensorSpec(name=name, dtype=DType.FLOAT32) for name in outputs}, features, "model 'm'"
    )
    for _ in range(2):  # the second time with the template of the first
        records = predictions(encoder, outputs, num_records)
        assert len(records) == num_records
        for row, record in enumerate(records):
            expected = plainly(outputs, features, row)
            tensors = expected.pop("tensors", {})
            found = {name: value for name, value in vars(record).items() if value is not None}
            for key, tensor in found.pop("tensors", {}).items():
                np.testing.assert_array_equal(numbers_of(tensor), tensors.pop(key))
            assert not tensors
            assert found == expected
    # and its strings are cut where its records end
    ends = np.array([*sorted(data.draw(st.lists(st.integers(0, num_records), max_size=3))), num_records])
    written = ResponseWriter(encoder, "predictions", "batch").write(outputs, ends)["predictions"]
    got = [
        each for response in written for each in deserialize(BatchPredictionResponse(), response).predictions
    ]
    assert len(written) == len(ends)
    assert len(got) == num_records
    assert b"".join(response[8:-1] for response in written) == encoder.batch(outputs, num_records)[8:-1]


def test_tensors_of_strings():
    encoder = ResponseEncoder(specs(a=(None, 2)), {}, "model 'm'")
    (record,) = predictions(encoder, {"a": np.array([[b"x", b"y"]], dtype=object)}, 1)
    assert record.tensors[feature_id("a")].stringTensor.strings == ["x", "y"]


def test_a_template_is_for_one_kind_of_outputs():
    encoder = ResponseEncoder({"a": TensorSpec(name="a", dtype=DType.FLOAT32)}, {}, "model 'm'")
    key = feature_id("a")
    for array, field, value in (
        (np.array([0.5]), "continuousFeatures", {key: 0.5}),
        (np.array([3]), "discreteFeatures", {key: 3}),
        (np.array([True]), "binaryFeatures", {key}),
        (np.array([[0.25]]), "continuousFeatures", {key: 0.25}),
    ):
        (record,) = predictions(encoder, {"a": array}, 1)
        assert getattr(record, field) == value
    for width in (2, 3):
        (record,) = predictions(encoder, {"a": np.ones((1, width), np.float32)}, 1)
        assert record.tensors[key].rawTypedTensor.shape == [width]


# --- the converter's way out -----------------------------------------------------------------------------------

MODEL = Signature(
    inputs={
        tensor.name: TensorSpec(name=tensor.name, dtype=tensor.dtype, shape=(None, tensor.width))
        for tensor in HOME.tensors
    },
    outputs=specs(probabilities=(None, 2)),
    batchable=True,
)
RECORD = data_record(continuous={7: 1.5})


@pytest.fixture(scope="module")
def artifact(mapping, tmp_path_factory):
    return Artifact(name="m", version=3, path=mapping.write(tmp_path_factory.mktemp("m") / "3"))


def bound(artifact, **options):
    table = {"response": "thrift", "response_features": {"probabilities": TASKS}, **options}
    return BprConverter().bind(artifact, MODEL, msgspec.convert(table, BprOptions))


def answers(converter, payloads, probabilities):
    strings = np.empty(len(payloads), dtype=object)
    strings[:] = payloads
    plan = converter.plan({"examples": strings})
    return converter.encode({"probabilities": np.array(probabilities, np.float32)}, plan)


def test_every_string_of_a_request_gets_its_response(artifact):
    converter = bound(artifact, response_name="scores")
    assert converter.signature.outputs == {
        "scores": TensorSpec(name="scores", dtype=DType.STRING, shape=(None,))
    }
    payloads = [encode_request([RECORD] * count) for count in (2, 0, 1)]
    outputs = answers(converter, payloads, [[0.5, 0.25], [0.125, 1], [2, 3]])
    assert list(outputs) == ["scores"]
    responses = [deserialize(BatchPredictionResponse(), each) for each in outputs["scores"]]
    assert [[each.continuousFeatures[feature_id(TASKS[0])] for each in r.predictions] for r in responses] == [
        [0.5, 0.125],
        [],
        [2.0],
    ]


def test_responses_have_the_form_of_their_requests(artifact):
    outputs = answers(
        bound(artifact, request="prediction"), [serialize(PredictionRequest(RECORD))], [[0.5, 1]]
    )
    expected = data_record(continuous={feature_id(TASKS[0]): 0.5, feature_id(TASKS[1]): 1.0})
    assert deserialize(PredictionResponse(), outputs["predictions"][0]) == PredictionResponse(expected)
    outputs = answers(bound(artifact, request="record"), [serialize(RECORD)], [[0.5, 1]])
    assert deserialize(DataRecord(), outputs["predictions"][0]) == expected


def test_an_output_without_rows_is_the_models_error(artifact):
    with pytest.raises(InferenceError, match=r"a row for each of 2 records, got shape \(1, 2\)"):
        answers(bound(artifact), [encode_request([RECORD] * 2)], [[0.5, 0.25]])


def test_names_without_a_use_are_refused(artifact):
    with pytest.raises(ModelLoadError, match="expected response = 'thrift' beside them"):
        bound(artifact, response="tensors")
    with pytest.raises(ModelLoadError, match="expected 2 features for output 'probabilities' of version 3"):
        bound(artifact, response_features={"probabilities": TASKS[:1]})


def test_tensors_are_left_alone(artifact):
    converter = bound(artifact, response="tensors", response_features={})
    assert converter.signature.outputs == MODEL.outputs
    outputs = {"probabilities": np.ones((1, 2), np.float32)}
    strings = np.array([encode_request([RECORD])], dtype=object)
    assert converter.encode(outputs, converter.plan({"examples": strings})) is outputs
