"""The shared suite over tract: the contract, every dtype; ONNX files, single files, NNEF of three kinds."""

from __future__ import annotations

import pytest
from navi_tract.options import TractOptions
from navi_tract.runtime import TractRuntime
from navi_tract.testing import (
    ELEMENT_TYPES,
    fixed_model,
    identity_model,
    pair_model,
    store,
    store_nnef,
)

from navi_core import Artifact, DType, LoadOptions
from navi_core.testing.runtime import RuntimeConformance

pytestmark = pytest.mark.integration


class TestTractRuntime(RuntimeConformance):
    plugin_module = "navi_tract.plugin"
    dtypes = tuple(ELEMENT_TYPES)

    def make_runtime(self):
        return TractRuntime()

    def identity_model(self, dtype, rank, folder):
        return store(identity_model(dtype, ["batch", "m", None][:rank]), folder)

    def pair_model(self, folder):
        return store(pair_model(), folder)

    def fixed_model(self, folder):
        return store(fixed_model(), folder)

    def corrupt_model(self, folder):
        return store(pair_model()[:-9], folder)


class TestTractRuntimeWithoutNames(TestTractRuntime):
    """The same where dimensions have no names, and the identity models' rank is unknown; not rehearsed."""

    dtypes = (DType.FLOAT32, DType.INT64)

    def load_options(self):
        return LoadOptions(options=TractOptions(rehearse=False))

    def identity_model(self, dtype, rank, folder):
        return store(identity_model(dtype, None), folder)

    def pair_model(self, folder):
        return store(pair_model(None), folder)


class TestTractRuntimeOfSingleFiles(TestTractRuntime):
    """The same where the artifact is one file of any name, without rehearsals."""

    dtypes = (DType.FLOAT32,)

    def load_options(self):
        return LoadOptions(options=TractOptions(rehearse=False))

    def pair_model(self, folder):
        artifact = store(pair_model(), folder)
        path = (folder / "model.onnx").rename(folder / "pair.onnx")
        return Artifact(name=artifact.name, version=artifact.version, path=path)

    def test_files_in_memory_answer_like_files_on_disk(self, tmp_path):
        pytest.skip("files in memory need the name model.onnx")


class TestTractRuntimeOfNnef(TestTractRuntime):
    """The same over NNEF archives, without rehearsals: those are of plans, whatever these were read from."""

    kind = "tgz"
    dtypes = tuple(ELEMENT_TYPES)
    ranks = (0, 1)

    def load_options(self):
        return LoadOptions(options=TractOptions(rehearse=False))

    def identity_model(self, dtype, rank, folder):
        return store_nnef(identity_model(dtype, ["batch"][:rank]), folder, kind=self.kind)

    def pair_model(self, folder):
        return store_nnef(pair_model(), folder, kind=self.kind)

    def fixed_model(self, folder):
        return store_nnef(fixed_model(), folder, kind=self.kind)

    def corrupt_model(self, folder):
        artifact = store_nnef(pair_model(), folder)
        whole = (folder / "model.nnef.tgz").read_bytes()
        (folder / "model.nnef.tgz").write_bytes(whole[: len(whole) // 2])
        return artifact


class TestTractRuntimeOfNnefFolders(TestTractRuntimeOfNnef):
    """The same over NNEF models that are no archives."""

    kind = "folder"
    dtypes = (DType.FLOAT32,)

    def corrupt_model(self, folder):
        artifact = self.pair_model(folder)
        text = (folder / "graph.nnef").read_text()
        (folder / "graph.nnef").write_text(text.replace("add(a, b)", "add(a, c)"))
        return artifact
