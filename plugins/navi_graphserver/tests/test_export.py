"""PyTorch -> FlatGraph -> answers: the same as PyTorch's, with NumPy and on ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from navi_graphserver.export import ExportError, export_torch
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.loading import load_servable
from navi_graphserver.options import GraphOptions

from navi_core import DEFAULT_SIGNATURE, Artifact, LoadOptions
from navi_core.testing.run_context import SimpleRunContext

torch = pytest.importorskip("torch")
nn = torch.nn


def perceptron():
    return nn.Sequential(
        *(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5)),
        nn.Sequential(nn.Linear(8, 8, bias=False), nn.Tanh(), nn.Linear(8, 5), nn.Sigmoid()),
        *(nn.GELU(approximate="tanh"), nn.SiLU(), nn.Mish(), nn.ELU(0.5), nn.LeakyReLU(0.2), nn.Softmax(-1)),
    ), (6,)


def network():
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.BatchNorm2d(4), nn.ReLU6(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 5, (3, 2), dilation=1, bias=False), nn.SELU(), nn.AvgPool2d(2, padding=1)),
        *(nn.Flatten(), nn.LazyLinear(7), nn.Softplus(), nn.LogSoftmax(-1), nn.Identity()),
    ), (3, 17, 16)


@pytest.mark.parametrize("engine", ["numpy", "auto"])
@pytest.mark.parametrize("make", [perceptron, network])
def test_answers_are_torch_s(make, engine):
    torch.manual_seed(0)
    module, shape = make()
    module(torch.randn(4, *shape))  # moves the statistics of BatchNorm, and shapes lazy layers
    module.eval()
    data = write_graph(export_torch(module, (None, *shape), graph_id=5), big_endian=True)
    artifact = Artifact(name="m", version=1, files={"graph.fb": data})
    servable = load_servable(artifact, "graph.fb", LoadOptions(options=GraphOptions(engine=engine)))
    x = torch.randn(3, *shape)
    with torch.no_grad():
        expected = module(x).numpy()
    answers = servable.run(DEFAULT_SIGNATURE, {"input": x.numpy()}, ["output"], SimpleRunContext())
    np.testing.assert_allclose(answers["output"], expected, rtol=1e-4, atol=1e-5)
    assert servable.signatures[DEFAULT_SIGNATURE].batchable


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.LSTM(2, 2), "of the class LSTM"),
        (nn.Conv2d(4, 4, 3, groups=2), "in groups"),
        (nn.MaxPool2d(2, ceil_mode=True), "rounds up"),
        (nn.GELU(), "approximated by tanh"),
    ],
)
def test_what_has_no_form_is_refused(layer, text):
    with pytest.raises(ExportError, match=text):
        export_torch(layer, (None, 4))
