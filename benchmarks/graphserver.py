"""SameDiff graphs with NumPy and on ONNX Runtime, beside the same network as an ONNX model of navi-onnx.

The servables take turns as in ``runtimes.py``; ratios are those of a graph to the ONNX model. The perceptron's is written
by itself, those of the other networks are what the plugin makes of their graphs. A convolutional network is computed
with NumPy's and with PyTorch's kernels, too.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/graphserver.py [--bursts 60] [--clock wall|processor]

One thread computes, as in ONNX Runtime here: NumPy's and PyTorch's wait for one another in busy loops otherwise, which
the clock of the processor counts.

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
import torch
from navi_graphserver import export_torch, read_graph, write_graph
from navi_graphserver.evaluator import Evaluator
from navi_graphserver.loading import load_servable
from navi_graphserver.onnx_engine.convert import convert
from navi_graphserver.options import GraphOptions
from navi_graphserver.plan import make_plan
from navi_graphserver.probing import made_up_inputs, probe
from navi_graphserver.signatures import default_inputs, describe
from runtimes import CLOCKS, CONTEXT, compare, load, store_onnx, torch_module, weights_of

from navi_core import DEFAULT_SIGNATURE, Artifact, LoadOptions

DATA = Path(os.environ.get("NAVI_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
AE_00 = DATA / "graphserver" / "gen1" / "ae_00.fb"
PERCEPTRON = (64, 128, 128, 10)


def graph_servable(graph, engine, kernels="numpy"):
    artifact = Artifact(name="graph", version=1, files={"graph.fb": write_graph(graph)})
    options = GraphOptions(engine=engine, kernels=kernels)
    return load_servable(artifact, "graph.fb", LoadOptions(options=options))


def convolutional():
    """Return a small network for images of 32 times 32: two convolutions, two poolings, two dense layers."""
    nn = torch.nn
    torch.manual_seed(1)
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(32 * 64, 64), nn.ReLU(), nn.Linear(64, 10), nn.Softmax(-1)),
    ).eval()


def encoder():
    """Return ae_00 with its input fed instead of stored."""
    graph = read_graph(AE_00.read_bytes())
    variables = [
        dataclasses.replace(each, array=None, shape=(None, 4)) if each.name == "input" else each
        for each in graph.variables
    ]
    return dataclasses.replace(graph, variables=tuple(variables))


def store_converted(graph, folder):
    """Write a graph as the ONNX model that the plugin makes of it."""
    plan = make_plan(graph)
    evaluator, inputs = Evaluator(plan), default_inputs(plan)
    outputs = describe(plan, *[probe(plan, inputs, plan.leaves, evaluator)] * 2, LoadOptions()).outputs[
        DEFAULT_SIGNATURE
    ]
    everything = [*(feed.address.node for feed in plan.feeds.values()), *plan.nodes]
    samples = evaluator.run(made_up_inputs(inputs), everything)
    model = convert(plan, inputs, outputs, samples, evaluator.constants)
    (folder / "model.onnx").write_bytes(model)


def cases():
    """Yield a label, a graph, its numbers of rows, and what writes the same network as an ONNX model to a folder."""
    weights = weights_of(PERCEPTRON)
    label = "perceptron " + "-".join(map(str, PERCEPTRON))
    yield (
        label,
        export_torch(torch_module(weights), (None, PERCEPTRON[0])),
        (1, 64),
        functools.partial(store_onnx, weights),
    )
    images = export_torch(convolutional(), (None, 3, 32, 32))
    yield "convolutional 3x32x32", images, (1, 16), functools.partial(store_converted, images)
    if AE_00.is_file():
        graph = encoder()
        yield "ae_00", graph, (5,), functools.partial(store_converted, graph)
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
    print("network                    rows  engine     graph, us   navi-onnx, us    ratio   middle 80 %")
    for label, graph, numbers, store in cases():
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "1"
            folder.mkdir()
            store(folder)
            native = load("navi_onnx", folder)
            numpy_graph, onnx_graph = graph_servable(graph, "numpy"), graph_servable(graph, "onnx")
            for rows in numbers:
                first = next(iter(numpy_graph.signatures[DEFAULT_SIGNATURE].inputs.values()))
                x = np.random.default_rng(1).normal(size=(rows, *first.shape[1:])).astype(np.float32)
                call, name = runs(native, x)
                engines = {"numpy": numpy_graph, "onnx": onnx_graph}
                if label.startswith("convolutional"):
                    engines["torch"] = graph_servable(graph, "numpy", "torch")
                for engine, servable in engines.items():
                    ours, own = runs(servable, x)
                    np.testing.assert_allclose(ours()[own], call()[name], rtol=1e-3, atol=1e-5)
                    result = compare(ours, call, arguments.bursts, clock)
                    print(
                        f"{label:26} {rows:4}  {engine:8} {result['ours_us']:11.1f} {result['theirs_us']:15.1f} "
                        f"{result['ratio']:8.2f}   {result['ratio_p10']:.2f} to {result['ratio_p90']:.2f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
