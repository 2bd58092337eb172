"""The shared suite over TensorFlow: the contract, every dtype, both loaders."""

from __future__ import annotations

import pytest
from navi_tf.options import TensorFlowOptions
from navi_tf.runtime import TensorFlowRuntime
from navi_tf.testing import (
    ELEMENT_TYPES,
    fixed_module,
    identity_graph,
    identity_module,
    pair_graph,
    pair_module,
    store_graph,
    store_module,
)

from navi_core import DType, LoadOptions
from navi_core.testing.runtime import RuntimeConformance

pytestmark = pytest.mark.integration


class TestTensorFlowRuntime(RuntimeConformance):
    """Graphs as TensorFlow 1 wrote them."""

    plugin_module = "navi_tf.plugin"
    dtypes = tuple(ELEMENT_TYPES)

    def make_runtime(self):
        return TensorFlowRuntime()

    def identity_model(self, dtype, rank, folder):
        return store_graph(identity_graph(dtype, [None] * rank), folder / "1")

    def pair_model(self, folder):
        return store_graph(pair_graph, folder / "1")

    def fixed_model(self, folder):
        return store_module(fixed_module(), folder / "1")

    def corrupt_model(self, folder):
        artifact = store_graph(pair_graph, folder / "1")
        file = artifact.path / "saved_model.pb"
        file.write_bytes(file.read_bytes()[:-9])
        return artifact


class TestTensorFlowRuntimeOfUnknownRank(TestTensorFlowRuntime):
    """The same where the file says nothing about the identity models' rank."""

    dtypes = (DType.FLOAT32, DType.BFLOAT16, DType.STRING)

    def identity_model(self, dtype, rank, folder):
        return store_graph(identity_graph(dtype, None), folder / "1")


class TestFunctionLoader(TestTensorFlowRuntime):
    """What TensorFlow 2 writes, loaded its way: which is chosen where the session loader cannot."""

    def load_options(self):
        return LoadOptions(options=TensorFlowOptions(loader="function"))

    def identity_model(self, dtype, rank, folder):
        return store_module(identity_module(dtype, [None] * rank), folder / "1")

    def pair_model(self, folder):
        return store_module(pair_module(), folder / "1")
