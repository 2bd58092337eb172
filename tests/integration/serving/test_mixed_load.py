"""A mixed load on one host: three models, random row counts, cancellations, deadlines. None wrong, none lost.

Once in process, and once over sockets: Predict and ModelInfer over grpcio, both REST APIs beside them.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections import Counter

import aiohttp
import grpc.aio
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from navi_core import (
    BatchingSettings,
    DeadlineExceededError,
    Host,
    HostConfig,
    ModelConfig,
    PredictRequest,
    PredictResponse,
    TransportSettings,
)
from navi_core.wire import oip

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

WIDTHS = {"tiny": (16, 32, 4), "small": (64, 256, 32), "large": (256, 2048, 512, 8)}
NUM_CALLERS = 24
REQUESTS_EACH = 20
ROWS = (1, 1, 1, 2, 5, 33, 300)
SMALL_ROWS = (1, 1, 2, 5, 33)
TIMEOUTS_S = (None, None, None, 30.0, 0.2, 0.02, 0.002)
MAY_PASS_S = 1.0
"""Shorter timeouts may pass, longer ones must not."""
LATE_OVER_HTTP = 504


def write_model(path, widths, seed):
    """Write a perceptron with weights of its own."""
    numbers = np.random.default_rng(seed)
    nodes, weights, last = [], [], "x"
    for index, (rows, columns) in enumerate(itertools.pairwise(widths)):
        weight = numbers.standard_normal((rows, columns)).astype(np.float32) / np.float32(rows) ** 0.5
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        out = "y" if index == len(widths) - 2 else f"h{index}"
        nodes.append(helper.make_node("MatMul", [last, f"w{index}"], [out]))
        if out != "y":
            nodes.append(helper.make_node("Relu", [out], [f"a{index}"]))
            last = f"a{index}"
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", widths[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", widths[-1]])],
        weights,
    )
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    for each in (path, path.parent):
        os.utime(each, (time.time() - 3600,) * 2)


class Caller:
    """Asks in a closed loop, and compares every answer.

    ``predict(name, x, timeout_s)`` returns the outputs ``y``, or raises DeadlineExceededError.
    """

    def __init__(self, predict, sessions, seed, rows=ROWS):
        self.predict = predict
        self.sessions = sessions
        self.rows = rows
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.outcomes = Counter()
        self.wrong = []

    async def run(self):
        for _ in range(REQUESTS_EACH):
            await self.ask()

    async def ask(self):
        name = self.random.choice(list(WIDTHS))
        rows = self.random.choice(self.rows)
        x = self.numbers.standard_normal((rows, WIDTHS[name][0])).astype(np.float32)
        timeout_s = self.random.choice(TIMEOUTS_S)
        asked = asyncio.ensure_future(self.predict(name, x, timeout_s))
        is_given_up = self.random.random() < 0.1
        if is_given_up:
            await asyncio.sleep(self.random.random() * 0.002)
            asked.cancel()
        try:
            answer = await asked
        except DeadlineExceededError:
            assert timeout_s < MAY_PASS_S
            self.outcomes["late"] += 1
        except asyncio.CancelledError:
            assert is_given_up
            self.outcomes["cancelled"] += 1
        else:
            self.outcomes["answered"] += 1
            [expected] = self.sessions[name].run(["y"], {"x": x})
            if answer.shape != expected.shape or not np.allclose(answer, expected, rtol=1e-4, atol=1e-5):
                self.wrong.append((name, rows))


def served(tmp_path, **batching):
    """Write the models; returns their configurations, and sessions that know better."""
    settings = BatchingSettings(max_batch_rows=256, split_large_requests=True, **batching)
    sessions, models = {}, []
    alone = ort.SessionOptions()  # threads of its own would wait for the host's, and spin
    alone.intra_op_num_threads = 1
    for seed, (name, widths) in enumerate(WIDTHS.items()):
        path = tmp_path / name / "1" / "model.onnx"
        write_model(path, widths, seed)
        sessions[name] = ort.InferenceSession(path, alone)
        models.append(ModelConfig(path=str(tmp_path / name), batching=settings))
    return tuple(models), sessions


async def all_called(callers):
    """Have all of them call at once; none may have got a wrong answer, or none at all. Returns what they got."""
    await asyncio.gather(*(caller.run() for caller in callers))
    outcomes = sum((caller.outcomes for caller in callers), Counter())
    assert [caller.wrong for caller in callers if caller.wrong] == []
    assert outcomes.total() == len(callers) * REQUESTS_EACH
    assert outcomes["answered"] > outcomes.total() / 3  # those that may take their time
    return outcomes


@pytest.mark.parametrize("max_inline_run_us", [0, 200, 10_000])
async def test_mixed_load__every_answer_is_the_frameworks(tmp_path, monkeypatch, max_inline_run_us):
    monkeypatch.setenv("NAVI_DEBUG_BUFFERS", "1")  # whoever reads what was given back reads NaN
    models, sessions = served(tmp_path, max_inline_run_us=max_inline_run_us)
    async with Host(HostConfig(models=models)) as host:

        async def predict(name, x, timeout_s):
            return (await host.predict(name, {"x": x}, timeout_s=timeout_s))["y"]

        await all_called([Caller(predict, sessions, seed) for seed in range(NUM_CALLERS)])


# --- over sockets -------------------------------------------------------------------------------------------


async def called(channel, path, message, timeout_s):
    """Make one call; raises DeadlineExceededError."""
    try:
        return await channel.unary_unary(path)(message.SerializeToString(), timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise DeadlineExceededError(error.details()) from None
        raise


def over_predict(channel):
    async def predict(name, x, timeout_s):
        request = PredictRequest()
        request.model_spec.name = name
        tensor = request.inputs["x"]
        tensor.dtype = 1
        for size in x.shape:
            tensor.tensor_shape.dim.add().size = size
        tensor.float_val.extend(x.reshape(-1).tolist())
        body = await called(channel, "/tensorflow.serving.PredictionService/Predict", request, timeout_s)
        tensor = PredictResponse.FromString(body).outputs["y"]
        return np.array(tensor.float_val, np.float32).reshape([dim.size for dim in tensor.tensor_shape.dim])

    return predict


def over_model_infer(channel):
    async def predict(name, x, timeout_s):
        request = oip.ModelInferRequest(model_name=name, id=str(len(x)))
        request.inputs.add(name="x", datatype="FP32", shape=x.shape)
        request.raw_input_contents.append(x.tobytes())
        body = await called(channel, "/inference.GRPCInferenceService/ModelInfer", request, timeout_s)
        answer = oip.ModelInferResponse.FromString(body)
        assert (answer.model_name, answer.id) == (name, str(len(x)))
        return np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(answer.outputs[0].shape)

    return predict


def over_v2(session):
    async def predict(name, x, timeout_s):
        tensor = {"name": "x", "datatype": "FP32", "shape": x.shape, "data": x.reshape(-1).tolist()}
        timeout_us = 0 if timeout_s is None else int(timeout_s * 1e6)
        document = {"inputs": [tensor], "parameters": {"timeout": timeout_us}}
        async with session.post(f"/v2/models/{name}/infer", json=document) as response:
            answer = await response.json()
        if response.status == LATE_OVER_HTTP:
            raise DeadlineExceededError(answer["error"])
        assert response.status == 200, answer
        [output] = answer["outputs"]
        return np.array(output["data"], np.float32).reshape(output["shape"])

    return predict


def over_v1(session):
    async def predict(name, x, timeout_s):
        del timeout_s  # the protocol has none
        document = {"instances": x.tolist()}
        async with session.post(f"/v1/models/{name}:predict", json=document) as response:
            answer = await response.json()
        assert response.status == 200, answer
        return np.array(answer["predictions"], np.float32)

    return predict


@pytest.mark.parametrize("max_inline_run_us", [0, 10_000])
async def test_mixed_load_over_sockets__every_answer_is_the_frameworks(
    tmp_path, monkeypatch, max_inline_run_us
):
    monkeypatch.setenv("NAVI_DEBUG_BUFFERS", "1")
    models, sessions = served(tmp_path, max_inline_run_us=max_inline_run_us)
    ports = {name: TransportSettings(port=0) for name in ("grpc", "http")}
    async with Host(HostConfig(models=models, transports=ports)) as host:
        [rpc], [web] = host.addresses["grpc"], host.addresses["http"]
        async with (
            grpc.aio.insecure_channel(f"{rpc.host}:{rpc.port}") as channel,
            grpc.aio.insecure_channel(f"{rpc.host}:{rpc.port}") as other,
            aiohttp.ClientSession(f"http://{web.host}:{web.port}") as session,
        ):
            callers = []
            for seed in range(0, NUM_CALLERS, 6):
                callers += [
                    Caller(over_predict(channel), sessions, seed),
                    Caller(over_predict(other), sessions, seed + 1),
                    Caller(over_model_infer(channel), sessions, seed + 2),
                    Caller(over_model_infer(other), sessions, seed + 3),
                    Caller(over_v2(session), sessions, seed + 4, SMALL_ROWS),
                    Caller(over_v1(session), sessions, seed + 5, SMALL_ROWS),
                ]
            outcomes = await all_called(callers)
        assert outcomes["late"] > 0
        assert outcomes["cancelled"] > 0
        for name, _version, batcher in host.plane.manager.batchers():
            assert (name, batcher.in_flight, len(batcher.queue)) == (name, 0, 0)
