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


def mobile_network():
    return nn.Sequential(
        *(nn.Conv2d(4, 8, 3, padding="same", groups=4), nn.Hardswish(), nn.Conv2d(8, 6, 1, groups=2)),
        *(nn.LocalResponseNorm(3), nn.Hardsigmoid(), nn.ConvTranspose2d(6, 3, 2, stride=2), nn.GELU()),
        *(nn.Dropout2d(), nn.Hardtanh(-0.5, 2.0), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(3)),
    ), (4, 6, 5)


def one_axis():
    return nn.Sequential(
        *(nn.Conv1d(2, 4, 3, padding=1, dilation=2), nn.BatchNorm1d(4), nn.MaxPool1d(2), nn.Softsign()),
        *(nn.AvgPool1d(2, stride=1), nn.Conv1d(4, 4, 2, groups=4), nn.LogSigmoid(), nn.AdaptiveAvgPool1d(1)),
    ), (2, 14)


def three_axes():
    return nn.Sequential(
        *(nn.Conv3d(2, 3, 2, bias=False), nn.BatchNorm3d(3), nn.ReLU(), nn.MaxPool3d((1, 2, 2))),
        *(nn.AvgPool3d(2, stride=1), nn.Flatten()),
    ), (2, 4, 6, 5)


NETWORKS = (perceptron, network, mobile_network, one_axis, three_axes)


@pytest.mark.parametrize("engine", ["numpy", "auto"])
@pytest.mark.parametrize("make", NETWORKS)
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
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "the padding 'reflect'"),
        (nn.ConvTranspose2d(4, 4, 3, groups=2), "in groups"),
        (nn.BatchNorm1d(4, track_running_stats=False), "the statistics of each batch"),
        (nn.AdaptiveAvgPool2d(2), "more than one place"),
        (nn.AdaptiveAvgPool2d((1, None)), "more than one place"),
        (nn.Softmax(), "a Softmax that does not say over which axis"),
        (nn.Softplus(2.0), "the factor 2.0"),
        (nn.AvgPool2d(2, divisor_override=3), "a divisor of its own"),
        (nn.MaxPool2d(2, ceil_mode=True), "rounds up"),
    ],
)
def test_what_has_no_form_is_refused(layer, text):
    with pytest.raises(ExportError, match=text):
        export_torch(layer, (None, 4))


def test_every_layer_that_is_known_is_tried():
    """The layers of the networks above, and of PyTorch's that stand for the same."""
    from navi_graphserver.export.torch_modules import _LAYERS

    tried = {type(layer).__name__ for make in NETWORKS for layer in make()[0].modules()}
    assert set(_LAYERS) - tried <= {"AdaptiveAvgPool3d", "BatchNorm2d", "Dropout1d", "Dropout3d", "Linear"}
