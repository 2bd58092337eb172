"""A mixed load on one host: three models, random row counts, cancellations, deadlines. None wrong, none lost."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from navi_core import BatchingSettings, DeadlineExceededError, Host, HostConfig, ModelConfig

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

WIDTHS = {"tiny": (16, 32, 4), "small": (64, 256, 32), "large": (256, 2048, 512, 8)}
NUM_CALLERS = 24
REQUESTS_EACH = 30


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
    """Asks in a closed loop, and compares every answer."""

    def __init__(self, host, sessions, seed):
        self.host = host
        self.sessions = sessions
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.outcomes = Counter()
        self.wrong = []

    async def run(self):
        for _ in range(REQUESTS_EACH):
            await self.ask()

    async def ask(self):
        name = self.random.choice(list(WIDTHS))
        rows = self.random.choice((1, 1, 1, 2, 5, 33, 300))
        x = self.numbers.standard_normal((rows, WIDTHS[name][0])).astype(np.float32)
        timeout_s = self.random.choice((None, None, None, 30.0, 0.002))
        asked = asyncio.ensure_future(self.host.predict(name, {"x": x}, timeout_s=timeout_s))
        if self.random.random() < 0.1:
            await asyncio.sleep(self.random.random() * 0.002)
            asked.cancel()
        try:
            answer = await asked
        except DeadlineExceededError:
            assert timeout_s == 0.002
            self.outcomes["late"] += 1
        except asyncio.CancelledError:
            self.outcomes["cancelled"] += 1
        else:
            self.outcomes["answered"] += 1
            [expected] = self.sessions[name].run(["y"], {"x": x})
            if not np.allclose(answer["y"], expected, rtol=1e-4, atol=1e-5):
                self.wrong.append((name, rows))


@pytest.mark.parametrize("max_inline_run_us", [0, 200, 10_000])
async def test_mixed_load__every_answer_is_the_frameworks(tmp_path, monkeypatch, max_inline_run_us):
    monkeypatch.setenv("NAVI_DEBUG_BUFFERS", "1")  # whoever reads what was given back reads NaN
    batching = BatchingSettings(
        max_inline_run_us=max_inline_run_us, max_batch_rows=256, split_large_requests=True
    )
    sessions, models = {}, []
    for seed, (name, widths) in enumerate(WIDTHS.items()):
        path = tmp_path / name / "1" / "model.onnx"
        write_model(path, widths, seed)
        sessions[name] = ort.InferenceSession(path)
        models.append(ModelConfig(path=str(tmp_path / name), batching=batching))
    async with Host(HostConfig(models=tuple(models))) as host:
        callers = [Caller(host, sessions, seed) for seed in range(NUM_CALLERS)]
        await asyncio.gather(*(caller.run() for caller in callers))

    outcomes = sum((caller.outcomes for caller in callers), Counter())
    assert [caller.wrong for caller in callers if caller.wrong] == []
    assert outcomes.total() == NUM_CALLERS * REQUESTS_EACH
    assert outcomes["answered"] > outcomes.total() / 2
