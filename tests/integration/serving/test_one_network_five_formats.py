"""One small network in every format that a runtime of ours takes, under one host: the same answers."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from navi_core import Host, HostConfig, ModelConfig

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

torch = pytest.importorskip("torch", reason="the network is trained in torch")

NEEDS = {
    "torchscript": ("navi_torch",),
    "torch_export": ("navi_torch",),
    "aot_inductor": ("navi_torch",),
    "onnx_on_onnxruntime": ("navi_onnx", "onnxscript"),
    "onnx_on_tract": ("navi_tract", "onnxscript"),
    "saved_model": ("navi_tf", "tensorflow"),
}

MAX_ABSOLUTE_ERROR = 1e-5
"""float32: sums of 32 products in another order, of numbers about 1."""


def missing(name):
    """Say what a format lacks here; empty: nothing."""
    absent = [package for package in NEEDS[name] if importlib.util.find_spec(package) is None]
    if name == "aot_inductor" and shutil.which("g++") is None:
        absent.append("g++")
    return ", ".join(absent)


def network():
    torch.manual_seed(7)
    return torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4)).eval()


class Named(torch.nn.Module):
    """Gives the only output a name, so that every format has the same signature."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return {"y": self.net(x)}


def expected(net, x):
    """The network in NumPy, in double precision."""
    first, _, second = ([p.detach().numpy().astype(np.float64) for p in layer.parameters()] for layer in net)
    hidden = np.maximum(x.astype(np.float64) @ first[0].T + first[1], 0)
    return hidden @ second[0].T + second[1]


def write_torchscript(net, folder):
    torch.jit.trace(Named(net), (torch.zeros(2, 16),), strict=False).save(folder / "model.pt")


@functools.cache
def exported(net):
    rows = torch.export.Dim("rows", min=1, max=4096)
    return torch.export.export(Named(net), (torch.zeros(2, 16),), dynamic_shapes={"x": {0: rows}})


def write_torch_export(net, folder):
    torch.export.save(exported(net), folder / "model.pt2")


def write_aot_inductor(net, folder):
    torch._inductor.aoti_compile_and_package(
        exported(net),
        package_path=str(folder / "model.pt2"),
        # most of the time goes into the optimisation of what calls the kernels
        inductor_configs={"aot_inductor.compile_wrapper_opt_level": "O0"},
    )
    (folder / "navi.toml").write_text(  # a compiled package names no inputs
        '[runtime_options]\ninputs.x = { dtype = "float32", shape = ["rows", 16] }\noutput_names = ["y"]\n'
    )


@functools.cache
def onnx_program(net):
    return torch.onnx.export(
        net,
        (torch.zeros(2, 16),),
        input_names=["x"],
        output_names=["y"],
        dynamic_shapes=({0: torch.export.Dim("rows")},),
        verbose=False,
        dynamo=True,
    )


def write_onnx(net, folder):
    onnx_program(net).save(folder / "model.onnx", external_data=False)


def write_saved_model(net, folder):
    import tensorflow as tf

    first, _, second = ([p.detach().numpy() for p in layer.parameters()] for layer in net)
    module = tf.Module()
    module.weights = [tf.Variable(array) for array in (*first, *second)]

    @tf.function(input_signature=[tf.TensorSpec([None, 16], tf.float32, name="x")])
    def forward(x):
        w1, b1, w2, b2 = module.weights
        return {"y": tf.nn.relu(x @ tf.transpose(w1) + b1) @ tf.transpose(w2) + b2}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": forward})


WRITERS = {
    "torchscript": write_torchscript,
    "torch_export": write_torch_export,
    "aot_inductor": write_aot_inductor,
    "onnx_on_onnxruntime": write_onnx,
    "onnx_on_tract": write_onnx,
    "saved_model": write_saved_model,
}


@pytest.fixture(scope="module")
def net():
    return network()


@pytest.fixture(scope="module")
def host(net, tmp_path_factory):
    """One host that serves the network in every format that can be written and run here."""
    root = tmp_path_factory.mktemp("formats")
    models = []
    for name, write in WRITERS.items():
        if missing(name):
            continue
        folder: Path = root / name / "1"
        folder.mkdir(parents=True)
        with warnings.catch_warnings():  # the frameworks' own exporters warn of themselves
            warnings.simplefilter("ignore")
            write(net, folder)
        runtime = {"onnx_on_tract": "tract", "onnx_on_onnxruntime": "onnx"}.get(name)
        models.append(ModelConfig(path=str(root / name), runtime=runtime))
    an_hour_ago = time.time() - 3600
    for entry in root.rglob("*"):  # complete when the host starts
        os.utime(entry, (an_hour_ago, an_hour_ago))
    with Host(HostConfig(models=tuple(models))) as running:
        yield running


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
@pytest.mark.parametrize("name", list(WRITERS))
def test_every_format_gives_the_network_s_answer(host, net, name, rows):
    if missing(name):
        pytest.skip(f"not here: {missing(name)}")
    x = np.random.default_rng(rows).standard_normal((rows, 16), dtype=np.float32)
    y = host.predict(name, {"x": x})["y"]
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected(net, x), rtol=0, atol=MAX_ABSOLUTE_ERROR)
