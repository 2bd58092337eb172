"""Exported networks over GraphServer's own gRPC, in both byte orders: PyTorch's and ONNX Runtime's answers come back."""

from __future__ import annotations

import numpy as np
import pytest
from navi_graphserver import Client, export_onnx, export_torch

from navi_core import Host, HostConfig, TransportSettings

pytestmark = pytest.mark.integration

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def target():
    with Host(HostConfig(transports={"grpc": TransportSettings(port=0)}, admin=True)) as host:
        address = host.addresses["grpc"][0]
        yield f"{address.host}:{address.port}"


@pytest.mark.parametrize("big_endian", [False, True])
def test_pytorch_s_network_over_the_wire(target, big_endian):
    torch.manual_seed(3)
    nn = torch.nn
    network = nn.Sequential(
        *(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(12, 4), nn.Softmax(-1)),
    ).eval()
    x = torch.randn(5, 2, 4, 4)
    with torch.no_grad():
        expected = network(x).numpy()
    with Client(target) as client:
        client.replace(export_torch(network, (None, 2, 4, 4), graph_id=21))
        answer = client.infer(21, {"input": x.numpy()}, big_endian=big_endian)
        client.forget(21)
    np.testing.assert_allclose(answer["output"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("big_endian", [False, True])
def test_an_onnx_model_over_the_wire(target, big_endian):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    text = """<ir_version: 8, opset_import: ["" : 18]>
    net (float[N, 3] x) => (float[N, 4] y, float[N, 4] hidden) {
        a = Gemm <transB = 1> (x, w, b)
        hidden = Tanh (a)
        y = Softmax (hidden)
    }"""
    model = onnx.parser.parse_model(text)
    random = np.random.default_rng(5)
    for name, shape in (("w", (4, 3)), ("b", (4,))):
        value = random.normal(size=shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    x = random.normal(size=(5, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = dict(zip(("y", "hidden"), session.run(["y", "hidden"], {"x": x}), strict=True))
    with Client(target) as client:
        client.replace(export_onnx(model, graph_id=22))
        answers = client.infer(22, {"x": x}, big_endian=big_endian)
        client.forget(22)
    assert set(answers) == {"y", "hidden"}
    for name, value in expected.items():
        np.testing.assert_allclose(answers[name], value, rtol=1e-4, atol=1e-5)
