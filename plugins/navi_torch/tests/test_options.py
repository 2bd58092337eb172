"""What options may say."""

from __future__ import annotations

import msgspec
import pytest
from navi_torch.options import MethodOptions, TensorOptions, TorchOptions

from navi_core import DType


def options(**table):
    return msgspec.convert(table, TorchOptions)


def test_options__defaults():
    assert options() == TorchOptions()
    assert options().device == "cpu"
    assert options().state is None


def test_options__describe_tensors_and_methods():
    got = options(
        inputs={"x": {"dtype": "int64", "shape": [-1, "width", 3]}},
        constants={"sr": 16000, "flag": True, "word": "a", "scale": 0.5},
        methods={"encode": {"inputs": {"x": {}}}},
    )
    assert got.inputs == {"x": TensorOptions(dtype=DType.INT64, shape=(-1, "width", 3))}
    assert got.constants == {"sr": 16000, "flag": True, "word": "a", "scale": 0.5}
    assert got.methods == {"encode": MethodOptions(inputs={"x": TensorOptions()})}


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:15"])
def test_options__devices(device):
    assert options(device=device).device == device


@pytest.mark.parametrize(
    "table",
    [
        {"device": "gpu"},
        {"device": "cuda:x"},
        {"device": "cpu:1"},
        {"intra_op_threads": -1},
        {"state": "private"},
        {"inputs": {"x": {"dtype": "float33"}}},
        {"inputs": {"x": {"shape": [-2]}}},
        {"inputs": {"x": {"size": [1]}}},
        {"constants": {"x": [1]}},
        {"methods": {"a": {"state": "shared"}}},
        {"aotinductor_runner": "fast"},
        {"no_such": 1},
    ],
    ids=str,
)
def test_options__refuse_what_they_do_not_know(table):
    with pytest.raises(msgspec.ValidationError):
        options(**table)
