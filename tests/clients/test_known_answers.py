"""Models that others made, with the answers that others computed, asked for through others' clients."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

# TensorFlow and its dependencies warn at import about one another
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]


def ovms_client(kind, server):
    ovmsclient = pytest.importorskip("ovmsclient", reason="ovmsclient is not installed")
    client = {
        "grpc": lambda: ovmsclient.make_grpc_client(server.grpc),
        "http": lambda: ovmsclient.make_http_client(server.http),
    }[kind]()

    def ask(model, inputs, *outputs):
        answer = client.predict(inputs, model)
        # it hands out a lone output without its name
        return [answer] if len(outputs) == 1 else [answer[name] for name in outputs]

    return ask


def tensorflow_client(channel):
    tensorflow = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def ask(model, inputs, *outputs):
        request = predict_pb2.PredictRequest(output_filter=outputs)
        request.model_spec.name = model
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(tensorflow.make_tensor_proto(array))
        answer = stub.Predict(request, timeout=60)
        return [tensorflow.make_ndarray(answer.outputs[name]) for name in outputs]

    return ask


@pytest.fixture(params=["ovmsclient-grpc", "ovmsclient-http", "tensorflow-serving-api"])
def ask(request, server):
    """Ask a model; the function takes its name, the inputs and the outputs' names, and returns arrays."""
    package, _, kind = request.param.partition("-")
    if package == "ovmsclient":
        yield ovms_client(kind, server)
        return
    with grpc.insecure_channel(server.grpc) as channel:
        yield tensorflow_client(channel)


def test_mul_1(ask):
    [y] = ask("mul_1", {"X": np.full((3, 2), 2, np.float32)}, "Y")
    assert y.tolist() == [[2, 4], [6, 8], [10, 12]]


def test_sigmoid(ask):
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    [y] = ask("sigmoid", {"x": x}, "y")
    np.testing.assert_allclose(y, 1 / (1 + np.exp(-x)), rtol=1e-5)


def test_logreg_iris__whose_maps_come_as_a_matrix(ask):
    x = np.array([[5.1, 3.5], [6.2, 2.9], [7.7, 3.8]], np.float32)
    names = ("label", "probabilities", "probabilities_keys")
    label, probabilities, keys = ask("logreg_iris", {"float_input": x}, *names)
    assert label.tolist() == [0, 0, 0]
    np.testing.assert_allclose(probabilities[:, 0], [0.978253, 0.895727, 0.937442], atol=1e-6)
    assert keys.tolist() == [[0, 1, 2]] * 3


def test_silero_vad__whose_caller_carries_the_state(ask, server):
    server.needs("silero_vad_openvino_16k")
    n = np.arange(5 * 512)
    sound = np.float32(0.5 * np.sin(2 * np.pi * 220 * n / 16000) * np.sin(2 * np.pi * 3 * n / 16000))
    context, state = np.zeros(64, np.float32), np.zeros((2, 1, 128), np.float32)
    answers = []
    for chunk in sound.reshape(5, 512):
        inputs = {"input": np.concatenate([context, chunk])[None], "state": np.asarray(state, np.float32)}
        output, state = ask("silero_vad_openvino_16k", inputs, "output", "stateN")
        answers.append(output.item())
        context = chunk[-64:]
    np.testing.assert_allclose(answers, [0.1217625, 0.1817959, 0.1324517, 0.0873464, 0.1352549], atol=1e-6)


def test_simple(ask, server):
    server.needs("simple")
    a, b = np.arange(32, dtype=np.int32).reshape(2, 16), np.full((2, 16), 3, np.int32)
    total, difference = ask("simple", {"INPUT0": a, "INPUT1": b}, "OUTPUT0", "OUTPUT1")
    assert total.tolist() == (a + b).tolist()
    assert difference.tolist() == (a - b).tolist()


def test_simple_string(ask, server):
    server.needs("simple_string")
    a, b = np.arange(16).reshape(1, 16).astype(str), np.full((1, 16), "3")
    total, difference = ask("simple_string", {"INPUT0": a, "INPUT1": b}, "OUTPUT0", "OUTPUT1")
    assert total.astype(int).tolist() == [list(range(3, 19))]
    assert difference.astype(int).tolist() == [list(range(-3, 13))]


def test_lgbm_classifier(ask, server):
    server.needs("lgbm_classifier_tensor")
    with np.load(server.models["lgbm_classifier_tensor"].with_name("io.npz")) as recorded:
        x, expected = recorded["input"], recorded["probabilities"]
    names = ("output", "probabilities")
    label, probabilities = ask("lgbm_classifier_tensor", {"input": x}, *names)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)
    assert label.tolist() == [expected.argmax()]


def test_linear_models(ask, server):
    server.needs("linear_classifier")
    x = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 12)
    label, probabilities = ask("linear_classifier", {"input": x}, "label", "probabilities")
    assert label.tolist() == [3]
    assert probabilities.max() == pytest.approx(0.866796, abs=1e-6)
    x = np.linspace(0, 1, 21, dtype=np.float32).reshape(1, 21)
    [value] = ask("linear_regressor", {"input": x}, "variable")
    assert value.item() == pytest.approx(8.290698, abs=1e-5)
