"""SameDiff graphs with NumPy and on ONNX Runtime, beside the same network as an ONNX model of navi-onnx.

The three servables take turns as in ``runtimes.py``; ratios are those of a graph to the ONNX model.

    python benchmarks/graphserver.py [--bursts 60] [--clock wall|processor]

ae_00, an encoder from DL4J's own tests, is measured where its file is at hand (``NAVI_SHARED_DATA``).
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import tempfile
from pathlib import Path

import numpy as np
from navi_graphserver import export_torch, read_graph, write_graph
from navi_graphserver.loading import load_servable
from navi_graphserver.options import GraphOptions
from runtimes import CLOCKS, CONTEXT, compare, load, store_onnx, torch_module, weights_of

from navi_core import DEFAULT_SIGNATURE, Artifact, LoadOptions

DATA = Path(os.environ.get("NAVI_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
AE_00 = DATA / "graphserver" / "gen1" / "ae_00.fb"
PERCEPTRON = (64, 128, 128, 10)


def graph_servable(graph, engine):
    artifact = Artifact(name="graph", version=1, files={"graph.fb": write_graph(graph)})
    return load_servable(artifact, "graph.fb", LoadOptions(options=GraphOptions(engine=engine)))


def encoder():
    """Return ae_00 with its input fed instead of stored, and its weights as an ONNX model's."""
    graph = read_graph(AE_00.read_bytes())
    variables = [
        dataclasses.replace(each, array=None, shape=(None, 4)) if each.name == "input" else each
        for each in graph.variables
    ]
    return dataclasses.replace(graph, variables=tuple(variables))


def cases():
    """Yield a label, a graph, its numbers of rows, and the weights of the same network as an ONNX model, if it is one."""
    weights = weights_of(PERCEPTRON)
    label = "perceptron " + "-".join(map(str, PERCEPTRON))
    yield label, export_torch(torch_module(weights), (None, PERCEPTRON[0])), (1, 64), weights
    if AE_00.is_file():
        yield "ae_00", encoder(), (5,), None
    else:
        print("ae_00 is left out: its file is not here (NAVI_SHARED_DATA names another place)")


def runs(servable, x):
    signature = servable.signatures[DEFAULT_SIGNATURE]
    [name_in], [name_out] = signature.inputs, signature.outputs
    return functools.partial(servable.run, DEFAULT_SIGNATURE, {name_in: x}, (name_out,), CONTEXT), name_out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bursts", type=int, default=60, help="of about 2 ms each, for every case and side")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    clock = CLOCKS[arguments.clock]
    print(
        "network                    rows  engine     graph, us   beside, us    ratio   middle 80 %    beside"
    )
    for label, graph, numbers, weights in cases():
        with tempfile.TemporaryDirectory() as parent:
            numpy_graph, onnx_graph = graph_servable(graph, "numpy"), graph_servable(graph, "onnx")
            if weights is not None:
                folder = Path(parent) / "1"
                folder.mkdir()
                store_onnx(weights, folder)
                native, beside = load("navi_onnx", folder), "navi-onnx"
            else:
                native, beside = onnx_graph, "the graph on ONNX Runtime"
            for rows in numbers:
                first = next(iter(numpy_graph.signatures[DEFAULT_SIGNATURE].inputs.values()))
                x = np.random.default_rng(1).normal(size=(rows, *first.shape[1:])).astype(np.float32)
                call, name = runs(native, x)
                for engine, servable in (("numpy", numpy_graph), ("onnx", onnx_graph)):
                    if servable is native:
                        continue
                    ours, own = runs(servable, x)
                    np.testing.assert_allclose(ours()[own], call()[name], rtol=1e-3, atol=1e-5)
                    result = compare(ours, call, arguments.bursts, clock)
                    print(
                        f"{label:26} {rows:4}  {engine:8} {result['ours_us']:11.1f} {result['theirs_us']:12.1f} "
                        f"{result['ratio']:8.2f}   {result['ratio_p10']:.2f} to {result['ratio_p90']:.2f}   {beside}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
