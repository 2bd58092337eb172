"""navi-client beside tensorflow-serving-api's stubs, tritonclient and bare gRPC calls, in one run.

One server process answers every request with the same bytes, ready made: what differs is the client. Each case
runs in a process of its own, in turn, ``--rounds`` times; the median of all its calls counts. A bare call sends
and receives the same bytes without looking at them: it is what gRPC alone costs. tritonclient wants a protobuf of
its own: give the Python of an environment that has it. What a client needs and is not there is left out. glibc
is told to keep large buffers (``MALLOC_MMAP_THRESHOLD_``), in every process alike: mapping them anew in every
call costs more than any client does, and comes and goes with the order of allocations.

    python benchmarks/client.py [--triton-python /path/to/python] [--seconds 1] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SIZES = {"1 x 16": (1, 16), "64 x 5293": (64, 5293)}
PREDICT = "/tensorflow.serving.PredictionService/Predict"
INFER = "/inference.GRPCInferenceService/ModelInfer"
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
CASES = {
    "TensorFlow Serving": ("bare_tf", "navi_tf", "stubs"),
    "Open Inference Protocol": ("bare_oip", "navi_oip", "triton"),
}
ENVIRON = {
    **os.environ,
    "CUDA_VISIBLE_DEVICES": "",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 26),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
TITLES = {
    "bare_tf": "bare gRPC call",
    "navi_tf": "navi-client",
    "stubs": "tensorflow-serving-api, `make_tensor_proto`, `make_ndarray`",
    "bare_oip": "bare gRPC call",
    "navi_oip": "navi-client",
    "triton": "tritonclient",
}


def make_bodies() -> dict[str, tuple[bytes, bytes]]:
    """Return method and shape -> a request and its answer, as this repository's codecs write them."""
    import numpy as np
    from navi_client import Request, Target
    from navi_client.protocols.oip import OpenInference
    from navi_client.protocols.tf_serving import TfServing

    from navi_core.wire.oip_infer_response import encode_infer_response
    from navi_core.wire.predict_proto import encode_predict_response

    bodies = {}
    for shape in SIZES.values():
        x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        request = Request(Target("m"), {"x": x})
        tf, _ = encode_predict_response({"y": x}, model="m", version=1, signature="serving_default")
        oip, _ = encode_infer_response({"y": x}, model="m", version=1)
        bodies[f"{PREDICT} {shape}"] = TfServing(1 << 30).predict(request).body, b"".join(tf)
        bodies[f"{INFER} {shape}"] = OpenInference(1 << 30).predict(request).body, b"".join(oip)
    return bodies


def serve() -> None:
    """Answer by method and size until stdin ends."""
    import grpc

    small, large = SIZES.values()
    bodies = make_bodies()

    class Answers(grpc.GenericRpcHandler):
        def service(self, details):
            answers = [bodies[f"{details.method} {shape}"][1] for shape in (small, large)]
            return grpc.unary_unary_rpc_method_handler(lambda body, _: answers[len(body) > 1 << 16])

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Answers()], options=UNLIMITED)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None)


def client_of(case: str, address: str, shape: tuple[int, int]) -> Callable[[], float]:
    """Return one call of a client, from an array to an array; it returns the answer's first number."""
    import numpy as np

    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    if case.startswith("navi"):
        from navi_client import Client

        client = Client(address, protocol="tf_serving" if case == "navi_tf" else "oip")
        return lambda: client.predict("m", {"x": x})["y"][0, 0]
    if case == "triton":
        from tritonclient.grpc import InferenceServerClient, InferInput

        triton = InferenceServerClient(address)

        def infer() -> float:
            given = InferInput("x", x.shape, "FP32")
            given.set_data_from_numpy(x)
            return triton.infer("m", [given]).as_numpy("y")[0, 0]

        return infer
    import grpc

    channel = grpc.insecure_channel(address, options=UNLIMITED)
    if case == "stubs":
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict

        def ask() -> float:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "m"
            request.inputs["x"].CopyFrom(tf.make_tensor_proto(x))
            return tf.make_ndarray(predict(request, timeout=30).outputs["y"])[0, 0]

        return ask
    method = PREDICT if case == "bare_tf" else INFER
    body, _ = make_bodies()[f"{method} {shape}"]
    call = channel.unary_unary(method)
    return lambda: call(body, timeout=30) and x[0, 0]


def measure(case: str, address: str, shape: tuple[int, int], seconds: float) -> None:
    """Print the latencies of calls in a closed loop, in microseconds, and what the client needed."""
    began = time.perf_counter()
    call = client_of(case, address, shape)
    imported = time.perf_counter() - began
    import numpy as np

    expected = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)[0, 0]
    for _ in range(20):
        if call() != expected:
            raise SystemExit(f"{case}: a wrong answer")
    latencies = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        call()
        latencies.append((time.perf_counter() - began) * 1e6)
    resident_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"latencies": latencies, "import_s": imported, "resident_mb": resident_mb}))


def run(python: str, case: str, address: str, size: str, seconds: float) -> dict | None:
    """Measure one case in a process of its own; None: what it needs is not there."""
    command = [
        python,
        __file__,
        "--case",
        case,
        "--address",
        address,
        "--size",
        size,
        "--seconds",
        str(seconds),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRON)
    if done.returncode:
        if "ModuleNotFoundError" in done.stderr:
            return None
        raise SystemExit(f"{case}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def report(size: str, found: dict[str, list[dict]]) -> None:
    """Print one size's tables."""
    for protocol, cases in CASES.items():
        print(f"\n{protocol}, {size} float32 in and out\n")
        print("| client | median, us | beside the bare call | beyond it, us | import, s | resident, MB |")
        print("|---|---|---|---|---|---|")
        bare = statistics.median([each for one in found[cases[0]] for each in one["latencies"]])
        for case in cases:
            if not found[case]:
                print(f"| {TITLES[case]} | not installed | | | | |")
                continue
            median = statistics.median([each for one in found[case] for each in one["latencies"]])
            imported = min(one["import_s"] for one in found[case])
            resident = min(one["resident_mb"] for one in found[case])
            print(
                f"| {TITLES[case]} | {median:,.0f} | {median / bare:.2f} | {median - bare:,.0f} | "
                f"{imported:.2f} | {resident:,.0f} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--triton-python", default=sys.executable, metavar="FILE")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    for inner in ("--case", "--address", "--size"):
        parser.add_argument(inner, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve()
        return
    if given.case:
        measure(given.case, given.address, SIZES[given.size], given.seconds)
        return
    command = [sys.executable, str(Path(__file__)), "--serve"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=ENVIRON, **pipes) as server:
        address = f"127.0.0.1:{server.stdout.readline().strip()}"
        for size in SIZES:
            found: dict[str, list[dict]] = {case: [] for cases in CASES.values() for case in cases}
            for _ in range(given.rounds):
                for case, results in found.items():
                    python = given.triton_python if case == "triton" else sys.executable
                    result = run(python, case, address, size, given.seconds)
                    if result is not None:
                        results.append(result)
            report(size, found)
        server.stdin.close()


if __name__ == "__main__":
    main()
