"""What a host with one runtime costs before it does anything: disk, memory, time to start.

For each runtime that serves ONNX files: the size of navi-core, the plugin and all that they require, as
installed; and ``navi-host serve`` with that plugin alone (``NAVI_PLUGINS``) and one 16-32-4 perceptron: the time
from the start of the process to the first answer over REST, by the clock and of the processor, and resident
memory after it and after 200 more. Medians of ``--rounds`` starts in turn, after one that warms the file cache.
Beside them a process of Python that has NumPy and the framework imported and the model open, and nothing of navi.

    python benchmarks/footprint.py [--rounds 7] [--json]
"""

from __future__ import annotations

import argparse
import http.client
import importlib.metadata
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOSTS = {
    "navi-onnx": ("onnx", ""),
    "navi-tract": ("tract", ""),
    "navi-tract, rehearse = false": ("tract", "[runtime_options]\nrehearse = false\n"),
}
BARE = {
    "onnxruntime": """
import numpy, onnxruntime, sys
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
model = onnxruntime.InferenceSession(sys.argv[1], options)
model.run(None, {"x": numpy.ones((1, 16), numpy.float32)})
""",
    "tract": """
import numpy, tract, sys
model = tract.onnx().load(sys.argv[1]).into_model().into_runnable()
model.run([numpy.ones((1, 16), numpy.float32)])[0].to_numpy()
""",
}
REPORT = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))
"""
DISTRIBUTIONS = {"navi-onnx": "navi-onnx", "navi-tract": "navi-tract"}


def write_model(folder):
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights = [random.normal(size=shape).astype(np.float32) for shape in ((16, 32), (32, 4))]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["p"]),
        helper.make_node("Relu", ["p"], ["h"]),
        helper.make_node("MatMul", ["h", "w1"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(array, f"w{layer}") for layer, array in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def make_old(folder):
    """Make a version older than the source waits for."""
    for path in (*folder.iterdir(), folder):
        os.utime(path, (time.time() - 3600,) * 2)


# --- disk -----------------------------------------------------------------------------------------


def required(name, found=None):
    """Return a distribution and all that it requires here, extras left out."""
    found = {} if found is None else found
    key = canonicalize_name(name)
    if key not in found:
        distribution = found[key] = importlib.metadata.distribution(name)
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                required(requirement.name, found)
    return found


def size_bytes(distribution):
    """Return what a distribution's files take, without compiled caches."""
    files = [file for file in distribution.files or () if "__pycache__" not in file.parts]
    editable = [file for file in files if file.suffix == ".pth"]
    if editable:  # the files are in a source tree
        root = Path(distribution.locate_file(editable[0]).read_text().strip())
        package = canonicalize_name(distribution.name).replace("-", "_")
        paths = [
            path for path in (root / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts
        ]
        return sum(path.stat().st_size for path in paths)
    paths = [Path(distribution.locate_file(file)) for file in files]
    return sum(path.stat().st_size for path in paths if path.is_file())


# --- memory and time ------------------------------------------------------------------------------


def resident_mb(process):
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000


def processor_s(process):
    """Return the processor time that a process and its children have taken."""
    numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, numbers[11:15])) / os.sysconf("SC_CLK_TCK")


def predict(connection):
    connection.request("POST", "/v1/models/perceptron:predict", json.dumps({"instances": [[0.5] * 16]}))
    response = connection.getresponse()
    body = response.read()
    return response.status, body


def host(plugin, model):
    """Start a host, ask until it answers, ask more, stop it."""
    with tempfile.TemporaryDirectory() as folder:
        addresses, log = Path(folder) / "addresses.json", Path(folder) / "log"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("NAVI_")}
        environ["NAVI_PLUGINS"] = plugin
        command = [sys.executable, "-m", "navi_core", "serve", "--port=0", "--rest-port=0"]
        begun = time.perf_counter()
        with log.open("w") as stream:
            process = subprocess.Popen(
                [*command, f"--address-file={addresses}", "--model-dir", str(model)],
                env=environ,
                stderr=stream,
            )
        try:
            connection, status = None, 0
            while status != 200:
                if process.poll() is not None or time.perf_counter() - begun > 60:
                    raise SystemExit(f"the host did not answer: {log.read_text()}")
                time.sleep(0.005)
                if connection is None and addresses.exists():
                    [address] = json.loads(addresses.read_text())["addresses"]["http"]
                    connection = http.client.HTTPConnection("127.0.0.1", address["port"], timeout=30)
                if connection is not None:
                    status, _ = predict(connection)
            took, used = time.perf_counter() - begun, processor_s(process.pid)
            first = resident_mb(process.pid)
            for _ in range(200):
                predict(connection)
            after = resident_mb(process.pid)
            connection.close()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    return took, used, first, after


def bare(program, model):
    """Start Python with the framework alone."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program + REPORT, str(model / "1" / "model.onnx")],
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - begun, int(done.stdout) / 1000


def measure(rounds):
    sizes = {name: required(name) for name in DISTRIBUTIONS}
    shared = set.intersection(*(set(each) for each in sizes.values()))
    disk = {
        name: {
            "all_mb": sum(map(size_bytes, found.values())) / 1e6,
            "own": {
                key: {"version": each.version, "mb": size_bytes(each) / 1e6}
                for key, each in found.items()
                if key not in shared
            },
        }
        for name, found in sizes.items()
    }
    with tempfile.TemporaryDirectory() as parent:
        models = {}
        for number, (name, (_, settings)) in enumerate(HOSTS.items()):
            model = models[name] = Path(parent) / str(number) / "perceptron"
            write_model(model / "1")
            if settings:
                (model / "navi.toml").write_text(settings)
            make_old(model / "1")
        hosts = {name: [] for name in HOSTS}
        bares = {name: [] for name in BARE}
        for turn in range(rounds + 1):
            for name, (plugin, _) in HOSTS.items():
                result = host(plugin, models[name])
                hosts[name] += [result] if turn else []
            for name, program in BARE.items():
                result = bare(program, models["navi-onnx"])
                bares[name] += [result] if turn else []
    middle = {
        name: [statistics.median(each) for each in zip(*got, strict=True)] for name, got in hosts.items()
    }
    alone = {
        name: [statistics.median(each) for each in zip(*got, strict=True)] for name, got in bares.items()
    }
    spread = {
        name: [min(took for took, *_ in got), max(took for took, *_ in got)] for name, got in hosts.items()
    }
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "rounds": rounds,
        "disk": disk,
        "hosts": {
            name: {
                "first_answer_s": took,
                "first_answer_s_range": spread[name],
                "first_answer_processor_s": used,
                "resident_mb": first,
                "resident_after_mb": after,
            }
            for name, (took, used, first, after) in middle.items()
        },
        "bare": {name: {"done_s": took, "resident_mb": mb} for name, (took, mb) in alone.items()},
    }


def show(result):
    print("installed, MB                   all    of these its own")
    for name, each in result["disk"].items():
        own = ", ".join(f"{key} {one['version']}: {one['mb']:.1f}" for key, one in each["own"].items())
        print(f"{name:25} {each['all_mb']:10.1f}    {own}")
    print(
        "\nserving one perceptron        first answer, s (range)  of the processor  resident, MB  after 200 more"
    )
    for name, each in result["hosts"].items():
        low, high = each["first_answer_s_range"]
        print(
            f"{name:30} {each['first_answer_s']:8.2f} ({low:.2f} to {high:.2f}) "
            f"{each['first_answer_processor_s']:14.2f} {each['resident_mb']:14.1f} "
            f"{each['resident_after_mb']:14.1f}"
        )
    for name, each in result["bare"].items():
        print(f"{name + ', bare':30} {each['done_s']:8.2f} {each['resident_mb']:46.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="everything, for programs")
    arguments = parser.parse_args()
    result = measure(arguments.rounds)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)


if __name__ == "__main__":
    main()
