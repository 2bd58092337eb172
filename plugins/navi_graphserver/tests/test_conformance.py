"""The shared suites: over the runtime, for every element type, and over the service."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from navi_graphserver.flat.enums import NUMPY_DTYPES, Generation
from navi_graphserver.flat.enums import DType as FlatDType
from navi_graphserver.flat.messages import write_drop_request, write_request
from navi_graphserver.flat.records import Address, FlatVariable
from navi_graphserver.flat.write_graph import write_graph
from navi_graphserver.naming import DEAD_OUTPUT, GRAPH_SIGNATURE, graph_method
from navi_graphserver.options import GraphOptions
from navi_graphserver.runtime import GraphRuntime
from navi_graphserver.service.service import PREFIXES, GraphInferenceService
from navi_graphserver.testing import affine_graph, custom, graph_of, placeholder

from navi_core import DEFAULT_SIGNATURE, Artifact, DType, LoadOptions, Signature, TensorSpec
from navi_core.testing.runtime import RuntimeConformance
from navi_core.testing.service import ServiceConformance

pytestmark = pytest.mark.integration

FLAT_DTYPES = {
    DType(str(numpy)) if numpy.kind != "O" else DType.STRING: flat for flat, numpy in NUMPY_DTYPES.items()
}


def store(data, folder, name="graph.fb"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return Artifact(name="m", version=1, path=folder)


class TestGraphRuntime(RuntimeConformance):
    plugin_module = "navi_graphserver.plugin"
    dtypes = tuple(FLAT_DTYPES)

    def make_runtime(self):
        return GraphRuntime()

    def identity_model(self, dtype, rank, folder):
        x = placeholder(1, "x", (None,) * rank, FLAT_DTYPES[dtype])
        return store(write_graph(graph_of([x], [custom(2, "identity", [1], name="y")])), folder)

    def pair_graph(self):
        a, b = placeholder(1, "a", (None, 3)), placeholder(2, "b", (None, 3))
        nodes = [custom(3, "add", [1, 2], name="sum"), custom(4, "subtract", [1, 2], name="difference")]
        return graph_of([a, b], nodes)

    def pair_model(self, folder):
        return store(write_graph(self.pair_graph()), folder)

    def fixed_model(self, folder):
        x = placeholder(1, "x", (2, 3))
        return store(write_graph(graph_of([x], [custom(2, "add", [1, 1], name="y")])), folder)

    def corrupt_model(self, folder):
        return store(write_graph(self.pair_graph())[:-9], folder)


class TestGraphRuntimeOfJavasFiles(TestGraphRuntime):
    """The same where arrays are big-endian, and the file has a name of its own."""

    dtypes = (DType.FLOAT32,)

    def pair_model(self, folder):
        return store(write_graph(self.pair_graph(), big_endian=True), folder, "pair.fb")


class TestGraphService(ServiceConformance):
    plugin_module = "navi_graphserver.plugin"
    model = "graph-7"
    unknown_model = "graph-8"
    signature_name = GRAPH_SIGNATURE
    signature = Signature(
        inputs={"1:0 x": TensorSpec(name="1:0 x", dtype=DType.FLOAT32, shape=None)},
        outputs={
            "5:0 y": TensorSpec(name="5:0 y", dtype=DType.FLOAT32, shape=(None,)),
            DEAD_OUTPUT: TensorSpec(name=DEAD_OUTPUT, dtype=DType.BOOL, shape=(1,)),
        },
        method_name=graph_method(Generation.GEN2),
    )

    def make_service(self, context):
        return GraphInferenceService.create(context)

    def samples(self, model):
        graph_id = 7 if model == self.model else 8
        x = FlatVariable(
            address=Address(1), name="x", dtype=FlatDType.FLOAT, array=np.ones((2, 3), np.float32)
        )
        bodies = {
            "RegisterGraph": write_graph(affine_graph(graph_id=9)),
            "ReplaceGraph": write_graph(affine_graph(graph_id=7)),
            "ForgetGraph": write_drop_request(7),
            "InferenceRequest": write_request(graph_id, [x], Generation.GEN2),
        }
        return {
            f"/{prefix}.GraphInferenceServer/{method}": body
            for prefix in PREFIXES
            for method, body in bodies.items()
        }

    def says_not_found(self, where, reply):
        return reply.is_not_found and reply.text == "Unknown graph [8]"


def test_models_of_the_same_contents_and_options_share_a_graph(tmp_path):
    def load(name, engine="numpy", factor=2):
        data = write_graph(affine_graph(factor=factor))
        artifact = Artifact(name=name, version=1, files={"graph.fb": data})
        return GraphRuntime().load(artifact, LoadOptions(options=GraphOptions(engine=engine)))

    first, second = load("graph-7"), load("encoder")
    assert first._loaded is second._loaded
    assert load("other", factor=3)._loaded is not first._loaded
    assert load("other", engine="auto")._loaded is not first._loaded
    first.close()
    x = np.ones((2, 3), np.float32)
    y = second.run(DEFAULT_SIGNATURE, {"x": x}, ["y"], SimpleNamespace(deadline=None, is_cancelled=bool))["y"]
    np.testing.assert_array_equal(y, x * 3)
    shared = weakref.ref(second._loaded)
    second.close()
    gc.collect()
    assert shared() is None
