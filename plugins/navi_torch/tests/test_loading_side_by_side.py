"""Several loads at once: a host loads on more than one thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from navi_torch.runtime import TorchRuntime
from navi_torch.testing import Mlp, exported, scripted, traced

from navi_core import DEFAULT_SIGNATURE, Artifact, LoadOptions
from navi_core.testing.run_context import SimpleRunContext

pytestmark = pytest.mark.integration

MODELS = {
    "torchscript": lambda: scripted(Mlp()),
    "traced": lambda: traced(Mlp(), torch.zeros(2, 16)),
    "torch_export": lambda: exported(Mlp(), torch.zeros(5, 16)),
}


@pytest.mark.parametrize("form", MODELS)
def test_load__side_by_side(form):
    artifact = Artifact(name="m", version=1, files={"model.pt": MODELS[form]()})
    x = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    expected = Mlp()(torch.from_numpy(x)).detach().numpy()
    runtime = TorchRuntime()
    barrier = threading.Barrier(4)

    def work(_):
        barrier.wait(timeout=120)
        for _ in range(5):
            servable = runtime.load(artifact, LoadOptions())
            got = servable.run(DEFAULT_SIGNATURE, {"x": x}, ["output_0"], SimpleRunContext())["output_0"]
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
            servable.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
