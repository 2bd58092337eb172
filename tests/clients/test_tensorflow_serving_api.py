"""The package tensorflow-serving-api: its stubs against a running host, and its messages beside ours in one process."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

# TensorFlow and its dependencies warn at import about one another
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def tensorflow():
    return pytest.importorskip("tensorflow", reason="TensorFlow is not installed")


@pytest.fixture(scope="module")
def apis(tensorflow):
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")
    from tensorflow_serving import apis
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    del (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )
    return apis


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


@pytest.fixture
def predict(apis, channel):
    return apis.prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict


def test_predict_with_a_tensor_of_tensorflows(tensorflow, apis, predict):
    x = np.array([[1.5, -2.0], [0.0, 3.0], [1e-3, 7.0]], np.float32)
    request = apis.predict_pb2.PredictRequest()
    request.model_spec.name = "mul_1"
    request.inputs["X"].CopyFrom(tensorflow.make_tensor_proto(x))  # as tensor_content
    response = predict(request, timeout=60)
    assert response.model_spec.name == "mul_1"
    assert response.model_spec.version.value == 3
    np.testing.assert_allclose(tensorflow.make_ndarray(response.outputs["Y"]), x * [[1, 2], [3, 4], [5, 6]])


def test_a_broadcast_value_and_an_output_filter(apis, predict):
    request = apis.predict_pb2.PredictRequest(output_filter=["Y"])
    request.model_spec.name = "mul_1"
    tensor = request.inputs["X"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add().size = 3
    tensor.tensor_shape.dim.add().size = 2
    tensor.float_val.append(2.0)
    response = predict(request, timeout=60)
    assert list(response.outputs["Y"].float_val) == [2, 4, 6, 8, 10, 12]


def test_an_unknown_model_and_a_wrong_shape(tensorflow, apis, predict):
    request = apis.predict_pb2.PredictRequest()
    request.model_spec.name = "nothing_here"
    with pytest.raises(grpc.RpcError) as caught:
        predict(request, timeout=60)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    request.model_spec.name = "mul_1"
    request.inputs["X"].CopyFrom(tensorflow.make_tensor_proto(np.ones((4, 9), np.float32)))
    with pytest.raises(grpc.RpcError) as caught:
        predict(request, timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "(4, 9)" in caught.value.details()


def test_status_and_metadata(apis, channel):
    status = apis.get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "sigmoid"
    [version] = (
        apis.model_service_pb2_grpc.ModelServiceStub(channel)
        .GetModelStatus(status, timeout=60)
        .model_version_status
    )
    assert (version.version, version.State.Name(version.state)) == (3, "AVAILABLE")

    metadata = apis.get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "sigmoid"
    answer = apis.prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(
        metadata, timeout=60
    )
    signatures = apis.get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    inputs = signatures.signature_def["serving_default"].inputs
    assert [dim.size for dim in inputs["x"].tensor_shape.dim] == [3, 4, 5]


def test_classify_of_a_model_that_takes_no_examples(apis, channel):
    from tensorflow_serving.apis import classification_pb2

    stub = apis.prediction_service_pb2_grpc.PredictionServiceStub(channel)
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "mul_1"
    request.input.example_list.examples.add()
    with pytest.raises(grpc.RpcError) as caught:
        stub.Classify(request, timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith("Expected one input Tensor.")


def test_navis_messages_and_theirs_live_in_one_process(apis):
    from navi_core.wire import tf_serving

    theirs = apis.predict_pb2.PredictRequest()
    theirs.model_spec.name = "m"
    theirs.inputs["x"].float_val.extend([1.0, 2.0])
    ours = tf_serving.PredictRequest.FromString(theirs.SerializeToString())
    assert type(ours) is not type(theirs)
    assert ours.DESCRIPTOR.full_name == theirs.DESCRIPTOR.full_name
    assert apis.predict_pb2.PredictRequest.FromString(ours.SerializeToString()) == theirs
