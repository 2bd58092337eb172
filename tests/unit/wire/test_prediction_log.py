"""PredictionLogs: every kind of recorded call, and examples with a context."""

from __future__ import annotations

import numpy as np
import pytest

from navi_core.errors import DecodeError, InvalidRequestError, UnsupportedError
from navi_core.wire import tf_serving
from navi_core.wire.prediction_log import parse_prediction_log
from navi_core.wire.tensor_proto import encode_tensor


def example(**features):
    message = tf_serving.Example()
    for name, value in features.items():
        message.features.feature[name].float_list.value.append(value)
    return message


def floats(serialized):
    found = tf_serving.Example.FromString(serialized).features.feature
    return {name: list(found[name].float_list.value) for name in found}


def fill_input(target, *examples, context=None):
    if context is None:
        target.example_list.examples.extend(examples)
    else:
        target.example_list_with_context.examples.extend(examples)
        target.example_list_with_context.context.CopyFrom(context)


def parse(log):
    return parse_prediction_log(log.SerializeToString())


def test_predict():
    log = tf_serving.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = "whoever"
    request.model_spec.signature_name = "s"
    request.inputs["x"].ParseFromString(b"".join(encode_tensor(np.array([1, 2], np.float32))))
    request.output_filter.append("y")
    (call,) = parse(log)
    assert (call.method, call.signature, call.outputs, call.examples) == ("Predict", "s", ("y",), None)
    np.testing.assert_array_equal(call.inputs["x"], np.array([1, 2], np.float32))


def test_predict_without_anything_in_it():
    log = tf_serving.PredictionLog()
    log.predict_log.SetInParent()
    (call,) = parse(log)
    assert (call.signature, call.inputs, call.outputs) == ("", {}, ())


@pytest.mark.parametrize("kind", ["classify", "regress"])
def test_examples(kind):
    log = tf_serving.PredictionLog()
    request = getattr(log, f"{kind}_log").request
    request.model_spec.signature_name = "s"
    fill_input(request.input, example(a=1), example(a=2))
    (call,) = parse(log)
    assert (call.method, call.signature, call.inputs) == (kind.capitalize(), "s", None)
    assert call.examples.shape == (2,)
    assert [floats(each) for each in call.examples] == [{"a": [1.0]}, {"a": [2.0]}]


def test_a_context_is_in_every_example_and_gives_way_to_its_own_features():
    log = tf_serving.PredictionLog()
    fill_input(log.classify_log.request.input, example(a=1), example(b=2), context=example(b=7, c=8))
    (call,) = parse(log)
    assert [floats(each) for each in call.examples] == [
        {"a": [1.0], "b": [7.0], "c": [8.0]},
        {"b": [2.0], "c": [8.0]},
    ]


def test_multi_inference_is_a_call_for_each_task():
    log = tf_serving.PredictionLog()
    request = log.multi_inference_log.request
    for signature, method in (("c", "classify"), ("r", "regress")):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.signature_name = signature
    fill_input(request.input, example(a=1))
    calls = parse(log)
    assert [(call.method, call.signature, len(call.examples)) for call in calls] == [
        ("Classify", "c", 1),
        ("Regress", "r", 1),
    ]


def test_multi_inference_of_another_method_is_unsupported():
    log = tf_serving.PredictionLog()
    log.multi_inference_log.request.tasks.add(method_name="tensorflow/serving/predict")
    fill_input(log.multi_inference_log.request.input, example(a=1))
    with pytest.raises(UnsupportedError, match="got 'tensorflow/serving/predict'"):
        parse(log)


@pytest.mark.parametrize("kind", ["predict_streamed", "session_run"])
def test_kinds_that_cannot_be_repeated(kind):
    log = tf_serving.PredictionLog()
    getattr(log, f"{kind}_log").SetInParent()
    with pytest.raises(UnsupportedError, match=f"got {kind}_log"):
        parse(log)


def test_a_record_of_no_call_is_none():
    assert parse(tf_serving.PredictionLog()) == ()


@pytest.mark.parametrize("kind", ["classify", "regress", "multi_inference"])
def test_no_examples(kind):
    log = tf_serving.PredictionLog()
    getattr(log, f"{kind}_log").SetInParent()
    with pytest.raises(InvalidRequestError, match="Input is empty"):
        parse(log)


def test_bytes_that_are_no_log():
    with pytest.raises(DecodeError, match=r"expected a tensorflow\.serving\.PredictionLog"):
        parse_prediction_log(b"\xff")


def test_a_malformed_tensor():
    log = tf_serving.PredictionLog()
    log.predict_log.request.inputs["x"].dtype = 20
    with pytest.raises(DecodeError, match="input 'x'"):
        parse(log)
