"""The shared suite over torch: TorchScript and torch.export, every dtype.

AOTInductor is left out: its compiler takes half a minute for each of the suite's models, of which there is one for
every dtype and rank. What the suite asks is asked of one compiled package in ``test_package.py``.
"""

from __future__ import annotations

import pytest
import torch
from navi_torch.convert import TORCH_DTYPES
from navi_torch.runtime import TorchRuntime
from navi_torch.testing import (
    Double,
    Pair,
    exported,
    exported_identity,
    inputs_toml,
    scripted,
    scripted_identity,
    store,
    traced,
)

from navi_core import Artifact, DType
from navi_core.testing.runtime import RuntimeConformance

pytestmark = pytest.mark.integration


class TestTorchScript(RuntimeConformance):
    plugin_module = "navi_torch.plugin"
    dtypes = tuple(TORCH_DTYPES)

    def make_runtime(self):
        return TorchRuntime()

    def identity_model(self, dtype, rank, folder):
        return store(scripted_identity(dtype, rank), folder)

    def pair_model(self, folder):
        return store(scripted(Pair(), inputs_toml(a=[-1, 3], b=[-1, 3])), folder)

    def fixed_model(self, folder):
        return store(scripted(Double(), inputs_toml(x=[2, 3])), folder)

    def corrupt_model(self, folder):
        return store(scripted(Pair())[:-9], folder)


class TestTracedTorchScript(TestTorchScript):
    """The same where the pair model is traced and nobody describes it; its file is a single one."""

    dtypes = (DType.FLOAT32,)

    def pair_model(self, folder):
        a, b = torch.zeros(2, 3), torch.zeros(2, 3)
        store(traced(Pair(), a, b), folder)
        return Artifact(name="pair", version=1, path=(folder / "model.pt").rename(folder / "pair.pt"))

    def test_files_in_memory_answer_like_files_on_disk(self, tmp_path):
        pytest.skip("files in memory need the name model.pt")


class TestTorchExport(TestTorchScript):
    """torch.export's programs."""

    def identity_model(self, dtype, rank, folder):
        return store(exported_identity(dtype, rank), folder, file="model.pt2")

    def pair_model(self, folder):
        rows = torch.export.Dim("rows", max=1 << 20)
        program = exported(
            Pair(), torch.zeros(5, 3), torch.zeros(5, 3), dynamic_shapes=({0: rows}, {0: rows})
        )
        return store(program, folder, file="model.pt2")

    def fixed_model(self, folder):
        return store(exported(Double(), torch.zeros(2, 3)), folder, file="model.pt2")

    def corrupt_model(self, folder):
        return store(exported(Double(), torch.zeros(2, 3))[:-9], folder, file="model.pt2")
