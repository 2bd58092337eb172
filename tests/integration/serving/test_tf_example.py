"""tf.Examples for an ONNX model: converted because navi.toml says so, and run as recorded requests."""

from __future__ import annotations

import base64
import json
import struct
import urllib.request

import grpc
import numpy as np
import pytest

from navi_core import Host, HostConfig, ModelConfig, ModelLoadError, TransportSettings
from navi_core.testing.recorded_requests import write_recorded_requests
from navi_core.wire.tf_serving import Example, PredictionLog, PredictRequest, PredictResponse

onnx = pytest.importorskip("onnx", reason="the models of these tests are written with onnx")
testing = pytest.importorskip("navi_onnx.testing", reason="these tests serve ONNX models")

pytestmark = pytest.mark.integration

PREDICT = "/tensorflow.serving.PredictionService/Predict"
SETTINGS = """
converter = "tf_example"

[converter_options.features]
embedding = { default = 0.25 }
count = { feature = "stats.count" }
"""


def message(*fields):
    """A protobuf message written by hand: (number, content) for each length-delimited field."""
    return b"".join(bytes([number << 3 | 2, len(content)]) + content for number, content in fields)


def by_hand(age, embedding, count):
    floats = [("age", [age]), ("embedding", embedding)]
    features = [
        (name, message((2, message((1, struct.pack(f"<{len(values)}f", *values))))))
        for name, values in floats
    ]
    features.append(("stats.count", message((3, message((1, bytes([count])))))))
    return message((1, message(*((1, message((1, name.encode()), (2, value))) for name, value in features))))


def example(age, count):
    made = Example()
    made.features.feature["age"].float_list.value.append(age)
    made.features.feature["stats.count"].int64_list.value.append(count)
    return made


def write_model(folder):
    """``score = age + sum(embedding) + count``."""
    helper, kinds = onnx.helper, onnx.TensorProto
    inputs = [
        helper.make_tensor_value_info("age", kinds.FLOAT, ["batch"]),
        helper.make_tensor_value_info("embedding", kinds.FLOAT, ["batch", 4]),
        helper.make_tensor_value_info("count", kinds.INT32, ["batch"]),
    ]
    axes = onnx.numpy_helper.from_array(np.array([1]), "axes")
    nodes = [
        helper.make_node("ReduceSum", ["embedding", "axes"], ["summed"], keepdims=0),
        helper.make_node("Cast", ["count"], ["counted"], to=kinds.FLOAT),
        helper.make_node("Sum", ["age", "summed", "counted"], ["score"]),
    ]
    outputs = [helper.make_tensor_value_info("score", kinds.FLOAT, ["batch"])]
    testing.store(testing.build(nodes, inputs, outputs, [axes]), folder)


@pytest.fixture
def version(tmp_path):
    folder = tmp_path / "ranker" / "1"
    write_model(folder)
    (folder / "navi.toml").write_text(SETTINGS)
    return folder


def host_of(version):
    return Host(
        HostConfig(
            models=(ModelConfig(path=str(version.parent), stable_ms=0),),
            transports={name: TransportSettings(port=0) for name in ("grpc", "http")},
            max_load_retries=0,
        )
    )


def address(host, transport):
    [found] = host.addresses[transport]
    return f"{found.host}:{found.port}"


def ask(channel, *examples):
    request = PredictRequest()
    request.model_spec.name = "ranker"
    tensor = request.inputs["examples"]
    tensor.dtype = 7
    tensor.tensor_shape.dim.add().size = len(examples)
    tensor.string_val.extend(examples)
    answer = PredictResponse.FromString(channel.unary_unary(PREDICT)(request.SerializeToString(), timeout=60))
    return list(answer.outputs["score"].float_val)


def test_examples_over_grpc_and_rest(version):
    hand = by_hand(2.0, [1, 2, 3, 4], 5)
    spare = example(age=0.5, count=-7).SerializeToString()
    with host_of(version) as host:
        with grpc.insecure_channel(address(host, "grpc")) as channel:
            assert ask(channel, hand, spare, hand) == [17.0, -5.5, 17.0]
            with pytest.raises(grpc.RpcError) as refused:
                ask(channel, hand, example(1, 2**40).SerializeToString())
            with pytest.raises(grpc.RpcError) as lacking:
                ask(channel, hand, spare, b"")
        encoded = [{"b64": base64.b64encode(each).decode()} for each in (hand, spare)]
        url = f"http://{address(host, 'http')}/v1/models/ranker:predict"
        with urllib.request.urlopen(url, json.dumps({"instances": encoded}).encode(), timeout=60) as answer:
            assert json.load(answer) == {"predictions": [17.0, -5.5]}
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "feature 'stats.count': expected values that int32 holds, got 1099511627776 (at payload 1)" in (
        refused.value.details()
    )
    assert lacking.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "feature 'age': expected 1 float value, got none, and there is no default (at payload 2)" in (
        lacking.value.details()
    )


def classify(*examples):
    log = PredictionLog()
    log.classify_log.request.input.example_list.examples.extend(examples)
    return log.SerializeToString()


def test_recorded_examples_are_converted_too(version):
    write_recorded_requests(version, [classify(example(1, 2), example(3, 4))])
    with host_of(version) as host, grpc.insecure_channel(address(host, "grpc")) as channel:
        assert ask(channel, example(1, 2).SerializeToString()) == [4.0]


def test_a_recorded_example_that_does_not_fit_fails_the_load(version):
    write_recorded_requests(version, [classify(example(1, 2)), classify(example(1, 2), Example())])
    with (
        pytest.raises(ModelLoadError, match=r"record 2 of .*: feature 'age': .* \(at payload 1\)"),
        host_of(version),
    ):
        pass
