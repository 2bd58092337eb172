"""What each runtime adds to its framework's own call: ratios of times on the same array.

A perceptron of one set of weights is stored in every format. Each runtime loads it as a host would, and its
servable's ``run`` is timed beside the shortest call that the framework offers for the same model (given below,
arrays in and arrays out). The two take turns within one process: short bursts of one, then of the other, in
changing order. Shown are the medians of both, and the median of the bursts' ratios with the range that holds
their middle 80 %. Each format has a process of its own, so that frameworks do not meet. On a machine that others
use, ``--clock processor`` counts the time that the process ran; for one thread that is the same thing.

    python benchmarks/runtimes.py [--only FORMAT]... [--bursts 300] [--clock wall|processor] [--json] [--aotinductor]

The frameworks' own calls:

    onnx         session.run([name], {name: x}, run_options), one thread
    tract        runnable.run([x])[0].to_numpy()
    torchscript  module(torch.from_numpy(x)).numpy() under inference_mode
    export       the same with the exported program's module
    aotinductor  package.loader.run([torch.from_numpy(x)])[0].numpy() under inference_mode
    tensorflow   session._make_callable_from_options(...)(x)[0], the graph on the calling thread
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.metadata
import importlib.util
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from navi_core import DEFAULT_SIGNATURE, Artifact, LoadOptions
from navi_core.testing.run_context import SimpleRunContext

CONTEXT = SimpleRunContext()
BURST_S = 0.002
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
CASES = [((16, 32, 4), 1), ((16, 32, 4), 16), ((16, 32, 4), 64), ((1024, 2048, 2048, 64), 16)]


def weights_of(widths):
    random = np.random.default_rng(0)
    return [
        (random.normal(size=pair) / np.sqrt(pair[0])).astype(np.float32)
        for pair in itertools.pairwise(widths)
    ]


# --- one network, several formats -----------------------------------------------------------------


def store_onnx(weights, folder):
    from onnx import TensorProto, helper, numpy_helper

    nodes, name = [], "x"
    for layer in range(len(weights)):
        last = layer == len(weights) - 1
        nodes.append(helper.make_node("MatMul", [name, f"w{layer}"], ["y" if last else f"p{layer}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"p{layer}"], [f"h{layer}"]))
        name = f"h{layer}"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", weights[0].shape[0]])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", weights[-1].shape[1]])
    constants = [numpy_helper.from_array(array, f"w{layer}") for layer, array in enumerate(weights)]
    graph = helper.make_graph(nodes, "perceptron", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def torch_module(weights):
    import torch

    layers = []
    for layer, array in enumerate(weights):
        linear = torch.nn.Linear(*array.shape, bias=False)
        linear.weight = torch.nn.Parameter(torch.from_numpy(array.T.copy()), requires_grad=False)
        layers += [linear] if layer == len(weights) - 1 else [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers).eval()


def store_torchscript(weights, folder):
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript itself is deprecated
        torch.jit.trace(torch_module(weights), torch.zeros(2, weights[0].shape[0])).save(folder / "model.pt")


def exported(weights):
    import torch

    batch = torch.export.Dim("batch", min=1, max=4096)
    return torch.export.export(
        torch_module(weights), (torch.zeros(2, weights[0].shape[0]),), dynamic_shapes=({0: batch},)
    )


def store_export(weights, folder):
    import torch

    torch.export.save(exported(weights), folder / "model.pt2")


def store_aotinductor(weights, folder):
    import torch

    torch._inductor.aoti_compile_and_package(  # noqa: SLF001 - the documented name
        exported(weights), package_path=str(folder / "model.pt2")
    )


def store_tensorflow(weights, folder):
    import tensorflow as tf

    class Perceptron(tf.Module):
        def __init__(self):
            super().__init__()
            self.layers = [tf.Variable(array) for array in weights]

        @tf.function(input_signature=[tf.TensorSpec([None, weights[0].shape[0]], tf.float32, name="x")])
        def __call__(self, x):
            for layer in self.layers[:-1]:
                x = tf.nn.relu(x @ layer)
            return {"y": x @ self.layers[-1]}

    model = Perceptron()
    tf.saved_model.save(model, str(folder), signatures={DEFAULT_SIGNATURE: model.__call__})


# --- the frameworks' own calls --------------------------------------------------------------------


def own_onnx(folder):
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1
    session = ort.InferenceSession(str(folder / "model.onnx"), settings, providers=["CPUExecutionProvider"])
    options = ort.RunOptions()
    return lambda x: session.run(["y"], {"x": x}, options)[0]


def own_tract(folder):
    import tract

    plan = tract.onnx().load(folder / "model.onnx").into_model().into_runnable()
    return lambda x: plan.run([x])[0].to_numpy()


def own_torch(module):
    import torch

    def call(x):
        with torch.inference_mode():
            return module(torch.from_numpy(x)).numpy()

    return call


def own_torchscript(folder):
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return own_torch(torch.jit.load(folder / "model.pt"))


def own_export(folder):
    import torch

    return own_torch(torch.export.load(folder / "model.pt2").module())


def own_aotinductor(folder):
    import torch

    package = torch._inductor.aoti_load_package(str(folder / "model.pt2"))  # noqa: SLF001 - the documented name
    return own_torch(lambda tensor: package.loader.run([tensor])[0])


def own_tensorflow(folder):
    import tensorflow as tf
    from tensorflow.core.protobuf import config_pb2

    graph = tf.Graph()
    with graph.as_default():
        session = tf.compat.v1.Session(graph=graph)
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(folder))
    signature = meta.signature_def[DEFAULT_SIGNATURE]
    options = config_pb2.CallableOptions()
    options.feed.append(signature.inputs["x"].name)
    options.fetch.append(signature.outputs["y"].name)
    options.run_options.inter_op_thread_pool = -1
    call = session._make_callable_from_options(options)  # noqa: SLF001 - the public ones are 25 times dearer
    return lambda x: call(x)[0]


FORMATS = {
    "onnx": ("navi_onnx", "onnxruntime", store_onnx, own_onnx),
    "tract": ("navi_tract", "tract", store_onnx, own_tract),
    "torchscript": ("navi_torch", "torch", store_torchscript, own_torchscript),
    "export": ("navi_torch", "torch", store_export, own_export),
    "aotinductor": ("navi_torch", "torch", store_aotinductor, own_aotinductor),
    "tensorflow": ("navi_tf", "tensorflow", store_tensorflow, own_tensorflow),
}


# --- measuring ------------------------------------------------------------------------------------


def missing(name):
    """Return why a format cannot be measured; empty: it can."""
    plugin, framework, _, _ = FORMATS[name]
    needs = [plugin, framework, *(["onnx"] if name in ("onnx", "tract") else [])]
    absent = [each for each in needs if importlib.util.find_spec(each) is None]
    return f"{', '.join(absent)} not installed" if absent else ""


def version_of(framework):
    found = importlib.metadata.packages_distributions().get(framework, [framework])
    return f"{found[0]} {importlib.metadata.version(found[0])}"


def load(plugin, folder):
    [runtime_type] = importlib.import_module(f"{plugin}.plugin").navi_register_runtimes()
    options_type = runtime_type.options_type
    options = None if options_type is None else options_type()
    return runtime_type().load(
        Artifact(name="perceptron", version=1, path=folder), LoadOptions(options=options, intra_op_threads=1)
    )


def burst(call, number, clock):
    begun = clock()
    for _ in range(number):
        call()
    return (clock() - begun) / number


def compare(ours, theirs, bursts, clock):
    """Return medians in us, the median ratio, and the range of the middle 80 % of ratios."""
    for call in (ours, theirs):
        burst(call, 20, clock)
    number = max(1, round(BURST_S / min(burst(theirs, 10, clock) for _ in range(5))))
    pairs = []
    for index in range(bursts):
        order = (ours, theirs) if index % 2 else (theirs, ours)
        taken = {call: burst(call, number, clock) for call in order}
        pairs.append((taken[ours], taken[theirs]))
    ratios = sorted(our / their for our, their in pairs)
    return {
        "ours_us": statistics.median(our for our, _ in pairs) * 1e6,
        "theirs_us": statistics.median(their for _, their in pairs) * 1e6,
        "ratio": statistics.median(ratios),
        "ratio_p10": ratios[len(ratios) // 10],
        "ratio_p90": ratios[-1 - len(ratios) // 10],
    }


def measure(name, bursts, clock):
    plugin, framework, store, own = FORMATS[name]
    rows = []
    for widths, cases in itertools.groupby(CASES, key=lambda case: case[0]):
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "1"
            folder.mkdir()
            store(weights_of(widths), folder)
            servable = load(plugin, folder)  # first: threads that belong to the process are navi's choice
            call = own(folder)
            signature = servable.signatures[DEFAULT_SIGNATURE]
            [name_in], [name_out] = signature.inputs, signature.outputs
            for _, num_rows in cases:
                x = np.random.default_rng(1).normal(size=(num_rows, widths[0])).astype(np.float32)
                run = functools.partial(servable.run, DEFAULT_SIGNATURE, {name_in: x}, (name_out,), CONTEXT)
                np.testing.assert_allclose(run()[name_out], call(x), rtol=1e-4, atol=1e-5)
                result = compare(run, functools.partial(call, x), bursts, clock)
                label = "-".join(map(str, widths))
                rows.append({"format": name, "perceptron": label, "rows": num_rows, **result})
            servable.close()
    return {"version": version_of(framework), "rows": rows}


def in_a_process_of_its_own(name, bursts, clock):
    """Measure one format; an exception there is a reason here."""
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, __file__, "--one", name, "--bursts", str(bursts), "--clock", clock],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"skipped": lines[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def show(name, result):
    if "skipped" in result:
        print(f"{name:12} left out: {result['skipped']}", flush=True)
        return
    for row in result["rows"]:
        print(
            f"{name:12} {row['perceptron']:>20} {row['rows']:5} {row['ours_us']:11.1f} {row['theirs_us']:11.1f} "
            f"{row['ratio']:8.3f}  {row['ratio_p10']:.3f} to {row['ratio_p90']:.3f}  {result['version']}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=FORMATS, help="may be repeated")
    parser.add_argument("--bursts", type=int, default=300, help="of about 2 ms each, for every case and side")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="processor: time that threads of the process ran"
    )
    parser.add_argument("--json", action="store_true", help="everything, for programs")
    parser.add_argument("--aotinductor", action="store_true", help="compile with g++ too: minutes")
    parser.add_argument("--one", choices=FORMATS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.bursts, CLOCKS[arguments.clock])))
        return
    wanted = arguments.only or [name for name in FORMATS if name != "aotinductor" or arguments.aotinductor]
    if not arguments.json:
        print(
            "format                 perceptron  rows     navi, us      own, us    ratio  middle 80 %     version"
        )
    results = {}
    for name in wanted:
        reason = missing(name)
        results[name] = (
            {"skipped": reason}
            if reason
            else in_a_process_of_its_own(name, arguments.bursts, arguments.clock)
        )
        if not arguments.json:
            show(name, results[name])
    if arguments.json:
        about = {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "clock": arguments.clock,
        }
        print(json.dumps({**about, "formats": results}, indent=2))


if __name__ == "__main__":
    main()
