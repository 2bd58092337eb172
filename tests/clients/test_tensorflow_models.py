"""TensorFlow Serving's own test models, asked through the package tensorflow-serving-api over gRPC."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import numpy as np
import pytest

# TensorFlow and its dependencies warn at import about one another
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).parents[2]
MODELS = Path(os.environ.get("NAVI_SHARED_DATA", ROOT.parent / "shared" / "data")) / "tf"
V1, V2, TWO, MATRIX = (
    "saved_model_half_plus_two_cpu",
    "saved_model_half_plus_two_tf2_cpu",
    "saved_model_half_plus_two_2_versions",
    "matrix_half_plus_two",
)
X = np.array([[1.0], [2.0], [-5.0]], np.float32)


@pytest.fixture(scope="module")
def tensorflow():
    return pytest.importorskip("tensorflow", reason="TensorFlow is not installed")


@pytest.fixture(scope="module")
def apis(tensorflow):
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")
    from tensorflow_serving import apis
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        inference_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
        regression_pb2,
    )

    del classification_pb2, get_model_metadata_pb2, get_model_status_pb2, inference_pb2
    del model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc, regression_pb2
    return apis


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where a host listens that serves the four models."""
    for package in ("tensorflow", "navi_tf"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    missing = [name for name in (V1, V2, TWO, MATRIX) if not (MODELS / name).is_dir()]
    if missing:
        pytest.skip(f"the model '{missing[0]}' is not here (NAVI_SHARED_DATA names another place)")
    folder = tmp_path_factory.mktemp("tensorflow")
    addresses, log = folder / "addresses.json", folder / "log"
    command = [sys.executable, "-m", "navi_core", "serve", "--port", "0", "--rest-port", "0"]
    command += ["--address-file", str(addresses), "--versions-per-model", "2"]
    command += [word for name in (V1, V2, TWO, MATRIX) for word in ("--model-dir", str(MODELS / name))]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, cwd=folder)
    try:
        yield _listening(process, addresses, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0, log.read_text()
        assert "OP_REQUIRES" not in log.read_text(), "clients could fill the log"
    finally:
        process.kill()
        process.wait()


def _listening(process, addresses, log):
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            [where] = json.loads(addresses.read_text())["addresses"]["grpc"]
            address = f"127.0.0.1:{where['port']}"
            with grpc.insecure_channel(address) as channel:
                if all(_is_available(channel, name) for name in (V1, V2, TWO, MATRIX)):
                    return address
        except (OSError, ValueError, grpc.RpcError):
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def _is_available(channel, name):
    from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    answer = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=60)
    expected = 2 if name == TWO else 1
    return sum(version.state == 30 for version in answer.model_version_status) == expected


@pytest.fixture
def stub(apis, address):
    with grpc.insecure_channel(address) as channel:
        yield apis.prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def predict(tensorflow, apis, stub):
    """Ask for a prediction; returns the outputs as arrays, and the answer's model_spec."""

    def ask(model, signature="", version=None, **inputs):
        request = apis.predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(tensorflow.make_tensor_proto(array))
        answer = stub.Predict(request, timeout=60)
        outputs = {name: tensorflow.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
        return outputs, answer.model_spec

    return ask


@pytest.fixture(scope="module")
def example(tensorflow):
    """Make a ``tf.Example`` of floats."""

    def make(**features):
        message = tensorflow.train.Example()
        for name, value in features.items():
            message.features.feature[name].float_list.value.append(value)
        return message

    return make


def test_half_plus_two_of_tensorflow_1(predict):
    outputs, spec = predict(V1, x=X)
    np.testing.assert_array_equal(outputs["y"], X / 2 + 2)
    assert (spec.name, spec.version.value, spec.signature_name) == (V1, 123, "serving_default")
    outputs, spec = predict(V1, signature="regress_x2_to_y3", inputs=X)
    np.testing.assert_array_equal(outputs["outputs"], X / 2 + 3)
    assert spec.signature_name == "regress_x2_to_y3"


@pytest.mark.parametrize("model", [V1, V2])
@pytest.mark.parametrize(
    ("signature", "output", "plus"),
    [("classify_x_to_y", "scores", 2), ("regress_x_to_y", "outputs", 2), ("regress_x_to_y2", "outputs", 3)],
)
def test_signatures_that_take_examples_as_strings(predict, example, model, signature, output, plus):
    serialized = np.array([example(x=value).SerializeToString() for value in X[:, 0]], object)
    outputs, _ = predict(model, signature=signature, inputs=serialized)
    np.testing.assert_array_equal(outputs[output], X / 2 + plus)


def test_half_plus_two_of_tensorflow_2_and_its_default(predict):
    outputs, _ = predict(V2, x=np.array([4], np.float32))
    assert outputs["y"].tolist() == [4]
    outputs, _ = predict(V2)
    assert outputs["y"].tolist() == [2]


def test_shapes_that_the_file_does_not_declare_run_as_in_tensorflow_serving(predict):
    x = np.arange(8, dtype=np.float32).reshape(2, 4)  # declared: (?, 1)
    outputs, _ = predict(V1, x=x)
    np.testing.assert_array_equal(outputs["y"], x / 2 + 2)


def test_matrix_half_plus_two(predict):
    x = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)
    outputs, _ = predict(MATRIX, x=x)
    np.testing.assert_allclose(outputs["y"], x / 2 + 2, rtol=1e-6)


def test_two_versions_the_newest_unless_one_is_named(predict):
    for version, expected in ((None, 124), (123, 123), (124, 124)):
        outputs, spec = predict(TWO, version=version, x=X)
        np.testing.assert_array_equal(outputs["y"], X / 2 + 2)
        assert spec.version.value == expected
    with pytest.raises(grpc.RpcError) as caught:
        predict(TWO, version=7, x=X)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_classify_regress_and_multi_inference(apis, stub, example):
    classify = apis.classification_pb2.ClassificationRequest()
    classify.model_spec.name, classify.model_spec.signature_name = V1, "classify_x_to_y"
    classify.input.example_list.examples.extend(example(x=value) for value in (2.0, 20.0))
    answer = stub.Classify(classify, timeout=60)
    assert [each.classes[0].score for each in answer.result.classifications] == [3.0, 12.0]

    regress = apis.regression_pb2.RegressionRequest()
    regress.model_spec.name, regress.model_spec.signature_name = V1, "regress_x_to_y2"
    regress.input.CopyFrom(classify.input)
    answer = stub.Regress(regress, timeout=60)
    assert [each.value for each in answer.result.regressions] == [4.0, 13.0]

    several = apis.inference_pb2.MultiInferenceRequest()
    several.input.CopyFrom(classify.input)
    for signature, kind in (("classify_x_to_y", "classify"), ("regress_x_to_y", "regress")):
        task = several.tasks.add(method_name=f"tensorflow/serving/{kind}")
        task.model_spec.name, task.model_spec.signature_name = V1, signature
    first, second = stub.MultiInference(several, timeout=60).results
    assert [each.classes[0].score for each in first.classification_result.classifications] == [3.0, 12.0]
    assert [each.value for each in second.regression_result.regressions] == [3.0, 12.0]


def test_metadata_is_the_file_s(apis, stub):
    from tensorflow.core.protobuf import saved_model_pb2

    for model in (V1, MATRIX):
        request = apis.get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = model
        answer = stub.GetModelMetadata(request, timeout=60)
        got = apis.get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(got)
        [path] = (MODELS / model).glob("*/saved_model.pb")
        file = saved_model_pb2.SavedModel.FromString(path.read_bytes()).meta_graphs[0].signature_def
        assert set(got.signature_def) == set(file)
        for name, definition in file.items():
            assert got.signature_def[name].method_name == definition.method_name
            for role in ("inputs", "outputs"):
                ours, theirs = getattr(got.signature_def[name], role), getattr(definition, role)
                assert {each: info.dtype for each, info in ours.items()} == {
                    each: info.dtype for each, info in theirs.items()
                }
                assert all(ours[each].tensor_shape == info.tensor_shape for each, info in theirs.items())


@pytest.mark.parametrize(
    ("model", "signature", "inputs", "code"),
    [
        (V1, "", {"x": np.zeros((1, 1))}, grpc.StatusCode.INVALID_ARGUMENT),
        (V1, "", {"z": X}, grpc.StatusCode.INVALID_ARGUMENT),
        (V1, "nothing", {"x": X}, grpc.StatusCode.FAILED_PRECONDITION),
        (V1, "regress_x_to_y", {"inputs": np.array([b"private words"])}, grpc.StatusCode.INVALID_ARGUMENT),
        (V2, "regress_x_to_y", {"inputs": np.array([b"private words"])}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
    ids=["dtype", "name", "signature", "example of 1", "example of 2"],
)
def test_what_is_wrong_has_its_code(predict, model, signature, inputs, code):
    with pytest.raises(grpc.RpcError) as caught:
        predict(model, signature=signature, **inputs)
    assert caught.value.code() is code, caught.value.details()
    for leak in ("node", "private", "\n", str(MODELS)):
        assert leak not in caught.value.details()
    outputs, _ = predict(V1, x=X)
    np.testing.assert_array_equal(outputs["y"], X / 2 + 2)
