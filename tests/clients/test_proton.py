"""Proton's clients: stubs that grpcio-tools makes of its definitions, and curl, against a host with its configuration."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest

# grpcio-tools and what it makes warn about one another's versions
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

PROTOS = Path(__file__).parents[2] / "specs" / "protos" / "proton"


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    """The modules that a client of Proton generates."""
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("grpcio-tools is not installed")
    folder = tmp_path_factory.mktemp("stubs")
    arguments = [f"-I{PROTOS}", f"--python_out={folder}", f"--grpc_python_out={folder}", "predict.proto"]
    # A process of its own: the compiler's protobuf and TensorFlow's, which other tests here import, crash in one.
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True, timeout=240)
    sys.path.insert(0, str(folder))
    try:
        yield SimpleNamespace(
            messages=importlib.import_module("predict_pb2"),
            services=importlib.import_module("predict_pb2_grpc"),
        )
    finally:
        sys.path.remove(str(folder))


def write_add(path):
    """Write a model with two inputs, which no request of Proton's can feed."""
    onnx = pytest.importorskip("onnx", reason="the model is written with onnx")
    from onnx import TensorProto, helper

    a, b, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "aby")
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "add", [a, b], [y])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """Addresses of a host whose configuration was Proton's config.yaml."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("yaml", reason="PyYAML reads Proton's configuration")
    folder = tmp_path_factory.mktemp("proton")
    for name in ("sigmoid", "mul_1"):
        shutil.copy(Path(onnxruntime.__file__).parent / "datasets" / f"{name}.onnx", folder)
    write_add(folder / "add.onnx")
    (folder / "config.yaml").write_text(
        "server:\n  num_threads: 1\n  buffer_size: 64\n  port: 8080\n  grpc_port: 50051\nlog_level: INFO\nmodels:\n"
        + "".join(f"  - name: {name}\n    path: {name}.onnx\n" for name in ("sigmoid", "mul_1", "add"))
    )
    run = [sys.executable, "-m", "navi_core"]
    subprocess.run([*run, "import", "proton", "config.yaml", "-o", "host.toml"], cwd=folder, check=True)
    addresses, log = folder / "addresses.json", folder / "log"
    serve = [*run, "serve", "--config", "host.toml", "--host", "127.0.0.1", "--port", "0", "--rest-port", "0"]
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*serve, "--address-file", str(addresses)], stdout=stream, stderr=stream, cwd=folder
        )
    try:
        yield _wait(process, addresses, log)
        process.terminate()
        assert process.wait(120) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def _wait(process, addresses, log):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            found = json.loads(addresses.read_text())["addresses"]
            grpc_at, http_at = (f"127.0.0.1:{found[name][0]['port']}" for name in ("grpc", "http"))
            with urllib.request.urlopen(f"http://{http_at}/ready", timeout=60) as response:
                if json.load(response)["healthy"]:
                    return SimpleNamespace(grpc=grpc_at, http=http_at)
        except (OSError, ValueError):
            pass
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture
def predict(host, stubs):
    with grpc.insecure_channel(host.grpc) as channel:
        yield stubs.services.PredictorStub(channel).Predict


@pytest.fixture
def curl(host):
    """Runs curl on a path; gives the status and the body."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")

    def run(path, *arguments):
        command = [
            "curl",
            "-sS",
            "-m",
            "100",
            "-w",
            "\n%{http_code}",
            *arguments,
            f"http://{host.http}{path}",
        ]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        body, _, status = out.rpartition("\n")
        return int(status), body

    return run


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_stub_predicts(predict, stubs):
    x = np.linspace(0, 1, 60, dtype=np.float32).reshape(3, 4, 5)
    request = stubs.messages.InferenceRequest(model_name="sigmoid", data=x.ravel(), shape=x.shape)
    answer = predict(request, timeout=60)
    assert str(uuid.UUID(answer.prediction_id)) == answer.prediction_id
    assert (answer.model_name, list(answer.shape)) == ("sigmoid", [3, 4, 5])
    np.testing.assert_allclose(np.reshape(answer.data, x.shape), sigmoid(x), rtol=1e-6)


def test_twenty_at_a_time_on_two_models(predict, stubs):
    sent = {}
    for index in range(60):
        model, shape = (("sigmoid", (3, 4, 5)), ("mul_1", (3, 2)))[index % 2]
        x = np.full(shape, index, np.float32)
        request = stubs.messages.InferenceRequest(model_name=model, data=x.ravel(), shape=shape)
        sent[predict.future(request, timeout=60)] = (model, x)
    for future, (model, x) in sent.items():
        want = sigmoid(x) if model == "sigmoid" else x * [[1, 2], [3, 4], [5, 6]]
        answer = future.result()
        np.testing.assert_allclose(np.reshape(answer.data, answer.shape), want, rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"model_name": "nobody", "data": [1], "shape": [1]}, "NOT_FOUND", "nobody"),
        ({"model_name": "sigmoid", "data": [1], "shape": [2]}, "INVALID_ARGUMENT", "must match in size"),
        ({"model_name": "sigmoid", "data": [1], "shape": [-1]}, "INVALID_ARGUMENT", "sizes >= 0"),
        (
            {"model_name": "sigmoid", "data": [1], "shape": [1]},
            "INVALID_ARGUMENT",
            "expected shape (3, 4, 5)",
        ),
        ({"model_name": "add", "data": [1, 2], "shape": [1, 2]}, "INVALID_ARGUMENT", "got 'a', 'b'"),
    ],
)
def test_the_stub_gets_errors_and_the_model_lives_on(predict, stubs, fields, code, words):
    with pytest.raises(grpc.RpcError) as caught:
        predict(stubs.messages.InferenceRequest(**fields), timeout=60)
    assert caught.value.code().name == code
    assert words in caught.value.details()
    fine = stubs.messages.InferenceRequest(model_name="mul_1", data=[1] * 6, shape=[3, 2])
    assert list(predict(fine, timeout=60).data) == [1, 2, 3, 4, 5, 6]


def test_curl_predicts(curl):
    document = '{"model_name":"mul_1","data":{"v":1,"dim":[3,2],"data":[1,1,1,0.5,0.1,0]}}'
    status, body = curl("/predict", "-H", "Content-Type: application/json", "-d", document)
    assert status == 200
    answer = json.loads(body)
    assert answer["model_name"] == "mul_1"
    assert str(uuid.UUID(answer["prediction_id"])) == answer["prediction_id"]
    assert body.endswith('"data":{"v":1,"dim":[3,2],"data":[1.0,2.0,3.0,2.0,0.5,0.0]}}')


def test_curl_sees_models_readiness_and_metrics(curl):
    assert curl("/models") == (200, '{"models":[{"name":"sigmoid"},{"name":"mul_1"},{"name":"add"}]}')
    assert curl("/ready") == (200, '{"healthy":true}')
    status, page = curl("/metrics")
    assert status == 200
    assert "# TYPE " in page


@pytest.mark.parametrize(
    ("content_type", "document", "status", "words"),
    [
        ("text/plain", "{}", 415, "Expected request with `Content-Type: application/json`"),
        ("application/json", "{", 400, "Failed to parse the request body as JSON: "),
        ("application/json", "{}", 422, "Failed to deserialize the JSON body into the target type: "),
        ("application/json", '{"model_name":"nobody","data":[1,[1],[1]]}', 404, "nobody"),
        ("application/json", '{"model_name":"add","data":[1,[1,2],[1,2]]}', 422, "got 'a', 'b'"),
    ],
)
def test_curl_gets_errors(curl, content_type, document, status, words):
    found, body = curl("/predict", "-H", f"Content-Type: {content_type}", "-d", document)
    assert found == status
    assert words in body


def test_grpcurl_predicts_without_any_definitions(host):
    grpcurl = os.environ.get("GRPCURL") or shutil.which("grpcurl")
    if grpcurl is None:
        pytest.skip("grpcurl is neither on the path nor named by GRPCURL")

    def run(*arguments):
        done = subprocess.run(
            [grpcurl, "-plaintext", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = run(host.grpc, "list").split()
    assert {"predict.Predictor", "tensorflow.serving.PredictionService", "grpc.health.v1.Health"} <= set(
        listed
    )
    assert "rpc Predict" in run(host.grpc, "describe", "predict.Predictor")
    request = '{"model_name": "mul_1", "data": [1, 1, 1, 1, 1, 1], "shape": [3, 2]}'
    answer = json.loads(run("-d", request, host.grpc, "predict.Predictor/Predict"))
    assert answer["data"] == [1, 2, 3, 4, 5, 6]
