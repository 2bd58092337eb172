"""Shapes that a file declares and its model does not insist on."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from navi_core import (
    Host,
    HostConfig,
    ModelConfig,
    Runtime,
    Servable,
    Signature,
    TensorMismatchError,
    TensorSpec,
)
from navi_core.signature import DEFAULT_SIGNATURE, is_stray
from navi_core.tensors import DType
from navi_core.testing.registries import registry_of

pytestmark = pytest.mark.integration


def spec(name, shape, *, advisory=False, dtype=DType.FLOAT32):
    return TensorSpec(name=name, dtype=dtype, shape=shape, shape_is_advisory=advisory)


def signature(*inputs):
    return Signature(
        inputs={each.name: each for each in inputs},
        outputs={"y": spec("y", (None, 1)), "rows": spec("rows", (None,), dtype=DType.INT64)},
        batchable=True,
    )


X = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    ("inputs", "sent", "expected"),
    [
        ([spec("x", (None, 1), advisory=True)], {"x": X}, True),
        ([spec("x", (None, 1))], {"x": X}, False),
        ([spec("x", (None, 1), advisory=True)], {"x": X.astype(np.float64)}, False),
        ([spec("x", (None, 1), advisory=True), spec("z", (None, 1))], {"x": X, "z": X}, False),
        ([spec("x", (None, 1), advisory=True), spec("z", (None,))], {"x": X, "z": X}, True),
        ([spec("x", (None, 1), advisory=True)], {"other": X}, False),
        ([spec("x", (None, 1), advisory=True)], {"x": np.zeros(3, "V4")}, False),
    ],
)
def test_only_advisory_shapes_may_differ(inputs, sent, expected):
    assert is_stray(signature(*inputs), sent) == expected


class HalfPlusTwo(Servable):
    """Takes any shape; says with how many rows it ran."""

    def __init__(self):
        self.signatures = {DEFAULT_SIGNATURE: signature(spec("x", (None, 1), advisory=True))}

    def run(self, signature, inputs, outputs, ctx):
        x = inputs["x"]
        found = {"y": x / 2 + 2, "rows": np.full(len(x), len(x), np.int64)}
        return {name: found[name] for name in outputs}


class HalfRuntime(Runtime):
    name = "half"

    def recognise(self, artifact):
        return "half"

    def load(self, artifact, options):
        return HalfPlusTwo()


@pytest.fixture
async def host(tmp_path):
    (tmp_path / "half" / "1").mkdir(parents=True)
    (tmp_path / "half" / "1" / "model.half").touch()
    model = ModelConfig(path=str(tmp_path / "half"), stable_ms=0)
    async with Host(HostConfig(models=(model,)), registry=registry_of(runtimes=[HalfRuntime])) as running:
        yield running


async def test_a_request_of_another_shape_runs_alone_and_is_answered_in_its_shape(host):
    declared = [host.predict("half", {"x": np.ones((2, 1), np.float32)}) for _ in range(4)]
    stray = host.predict("half", {"x": np.array([1, 2, 5], np.float32)})
    *others, got = await asyncio.gather(*declared, stray)
    assert got["y"].tolist() == [2.5, 3.0, 4.5]
    assert got["rows"].tolist() == [3, 3, 3]
    assert all(other["y"].tolist() == [[2.5], [2.5]] for other in others)


async def test_another_dtype_is_refused_all_the_same(host):
    with pytest.raises(TensorMismatchError, match="dtype"):
        await host.predict("half", {"x": np.zeros(3, np.float64)})
