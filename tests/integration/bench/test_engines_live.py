"""Each engine against servers of the test's own, whose failures and wrong answers are known."""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from navi_core import DEFAULT_SIGNATURE, DType, ModelRef, Prediction, RemoteClient, Signature, TensorSpec
from navi_core.bench.echo import EchoServer
from navi_core.bench.load import LoadPlan, Target
from navi_core.bench.python_engine import PythonEngine
from navi_core.clients.exchanges.oip import OipGrpc
from navi_core.wire.oip_infer_response import encode_infer_response

pytestmark = pytest.mark.integration

Y = np.array([[1.0, 2.0]], np.float32)


def needs(name: str):
    return pytest.param(
        name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")
    )


def answer(values) -> bytes:
    return b"".join(encode_infer_response({"y": values}, model="m", version=1)[0])


class Server(grpc.GenericRpcHandler):
    """Answers with ``Y``, and, from the tenth call on, each fourth one with something else."""

    def __init__(self, otherwise) -> None:
        self._otherwise = otherwise
        self._calls = 0
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=[self])
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def service(self, _details):
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, _body, context):
        with self._lock:
            self._calls += 1
            is_odd = self._calls >= 10 and self._calls % 4 == 1
        return self._otherwise(context) if is_odd else answer(Y)

    def stop(self) -> None:
        self._server.stop(None)


@pytest.fixture
def serve():
    servers: list[Server] = []

    def start(otherwise) -> Server:
        servers.append(Server(otherwise))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


class StubClient(RemoteClient):
    """Asks over gRPC, with as little as there is."""

    name = "oip+grpc"
    default_port = 8500

    def __init__(self, endpoint) -> None:
        self._channel = grpc.insecure_channel(endpoint.address)

    @classmethod
    def connect(cls, endpoint):
        return cls(endpoint)

    def close(self):
        self._channel.close()

    def models(self, names):
        raise NotImplementedError

    def signatures(self, model):
        tensor = TensorSpec(name="x", dtype=DType.FLOAT32, shape=(None, 2))
        return {DEFAULT_SIGNATURE: Signature(inputs={"x": tensor}, outputs={"y": tensor})}

    def predict(self, model, inputs, signature):
        request = OipGrpc().record(ModelRef("m"), inputs, signature)
        return Prediction(OipGrpc().read(self._channel.unary_unary(request.path)(request.body)), 1)


def refuse(context):
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full")


@pytest.mark.parametrize("engine", ["python", needs("h2load")])
def test_rpcs_that_fail_are_counted(bench, serve, engine):
    """h2load takes them for successes: they are found by the bytes that are missing."""
    words = ("m", f"--engine={engine}", "--warm-up-s=0", "--requests=200", "-c2", "--json")
    ended = bench(*words, f"--url=oip+grpc://127.0.0.1:{serve(refuse).port}", clients=(StubClient,))
    assert ended.returncode == 1
    assert "of 200 requests failed, expected at most 0 percent" in ended.stderr
    [found] = json.loads(ended.stdout)["measurements"]
    assert 45 <= found["num_failed"] <= 51
    assert found["num_failed"] + found["num_succeeded"] == 200
    [error] = found["errors"]
    assert error["code"] == ("RESOURCE_EXHAUSTED" if engine == "python" else "no message")
    if engine == "python":
        assert error["example"] == "the queue is full"
    url = f"--url=oip+grpc://127.0.0.1:{serve(refuse).port}"
    ended = bench(*words, url, "--max-failed-percent=60", clients=(StubClient,))
    assert ended.returncode == 0, ended.stderr


def test_wrong_answers_are_found_whatever_may_fail(bench, serve):
    server = serve(lambda _context: answer(Y * 3))
    words = ("m", f"--url=oip+grpc://127.0.0.1:{server.port}", "--engine=python", "--requests=100", "--json")
    ended = bench(*words, "--max-failed-percent=100", clients=(StubClient,))
    assert ended.returncode == 1
    assert "answers were wrong" in ended.stderr
    [found] = json.loads(ended.stdout)["measurements"]
    assert 20 <= found["num_wrong"] <= 30
    assert found["errors"][0]["example"] == "output 'y': expected 1 at [0, 0], got 3"
    ended = bench(*words, "--no-check", clients=(StubClient,))
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["checked"] == "none"


@pytest.mark.parametrize("engine", [needs("h2load"), needs("wrk")])
def test_engines_of_others_over_http(bench, urls, engine):
    ended = bench("m", f"--url=oip+{urls['http']}", f"--engine={engine}", "--duration-s=1", "-c2", "--json",
                  "--request", '{"x": [[1.0, 2.0]]}')  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    [found] = report["measurements"]
    assert (found["engine"], report["checked"], found["num_failed"]) == (engine, "before and after", 0)
    assert found["num_requests"] > 10
    # two in flight, all the time, but where the engine waits for a processor: what Little's law says of the average
    assert 0.5 < found["requests_per_s"] * found["latency"]["average_ms"] / 1000 < 2.5
    assert bool(found["seconds"]) is (engine == "h2load")


@pytest.mark.parametrize("engine", [needs("h2load")])
def test_engines_of_others_over_grpc(bench, urls, engine):
    words = (
        "m",
        f"--url=tf-serving+{urls['grpc']}",
        f"--engine={engine}",
        "--request",
        '{"x": [[1.0, 2.0]]}',
    )
    ended = bench(*words, "--duration-s=1", "-c4", "--connections=2", "--json")
    assert ended.returncode == 0, ended.stderr
    [found] = json.loads(ended.stdout)["measurements"]
    assert (found["num_failed"], found["connections"]) == (0, 2)
    assert sum(each["num_succeeded"] for each in found["seconds"]) == found["num_succeeded"]


@pytest.mark.parametrize("scheme", ["grpc", "http"])
@pytest.mark.parametrize("size", [0, 300_000])
def test_echo__answers_of_any_size(scheme, size):
    """The generator against the server that it measures itself with; large answers need windows to be kept."""
    with EchoServer(scheme, b"x" * size) as echo:
        target = Target(
            scheme=scheme, host=echo.host, port=echo.port, path="/a/B", body=b"y" * size, protocol="oip+grpc"
        )
        plan = LoadPlan(concurrency=4, connections=2, num_requests=60)
        outcome = PythonEngine(1).run(target, plan, lambda _part, _ended: None)
    assert (outcome.tally.num_succeeded, outcome.tally.failures) == (60, {})
