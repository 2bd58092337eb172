"""On a CUDA device. Skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from navi_torch.testing import Mlp, Pair, exported, inputs_toml, scripted

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.integration,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

X = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)


def models():
    rows = torch.export.Dim("rows", max=64)
    return {
        "torchscript": scripted(Mlp()),
        "torch_export": exported(Mlp(), torch.zeros(3, 16), dynamic_shapes=({0: rows},)),
    }


@pytest.mark.parametrize("kind", ["torchscript", "torch_export"])
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_cuda__gives_the_cpu_s_answers(load, kind, device):
    model = models()[kind]
    expected = load(model).run(x=X)["output_0"]
    loaded = load(model, device=device)
    for _ in range(20):
        np.testing.assert_allclose(loaded.run(x=X)["output_0"], expected, rtol=1e-3, atol=1e-4)


def test_cuda__several_outputs_are_fetched_at_once(load):
    loaded = load(scripted(Pair(), inputs_toml(a=[-1, 3], b=[-1, 3])), device="cuda:0")
    a, b = np.float32([[1, 2, 3]]), np.float32([[4, 5, 6]])
    got = loaded.run(a=a, b=b)
    np.testing.assert_array_equal(got["sum"], a + b)
    np.testing.assert_array_equal(got["difference"], a - b)
    got["sum"][...] = 0
    np.testing.assert_array_equal(loaded.run(a=a, b=b)["sum"], a + b)


def test_cuda__a_device_beyond_the_last_is_refused(load):
    from navi_core import ModelLoadError

    with pytest.raises(ModelLoadError, match="device: got 'cuda:99'"):
        load(models()["torchscript"], device="cuda:99")
