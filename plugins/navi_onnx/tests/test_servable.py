"""Runs: values, ownership, failures."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from navi_onnx.servable import shortest_run
from navi_onnx.testing import build, constant_output_model, identity_model, mlp_model, pair_model
from onnx import TensorProto, helper

from navi_core import (
    DecodeError,
    DType,
    ErrorCode,
    InferenceError,
    LifecycleError,
    RequestError,
    TensorMismatchError,
)

pytestmark = pytest.mark.integration


def node_model(operator, *, second=TensorProto.INT64):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "m"])
    i = helper.make_tensor_value_info("i", second, None)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return build([helper.make_node(operator, ["x", "i"], ["y"])], [x, i], [y])


def test_run__other_dtypes_are_refused_not_cast(load):
    loaded = load(pair_model())
    with pytest.raises(TensorMismatchError, match="input 'a': expected dtype float32, got float64"):
        loaded.run(a=np.zeros((1, 3)), b=np.zeros((1, 3), np.float32))


def test_run__of_wrong_names_is_the_caller_s_fault(load):
    loaded = load(pair_model())
    a = np.zeros((1, 3), np.float32)
    with pytest.raises(RequestError, match=r"expected some of {a, b}, got 'c'"):
        loaded.run(a=a, b=a, c=a)
    with pytest.raises(RequestError, match="'b'"):
        loaded.run(a=a)


@pytest.mark.parametrize(
    ("providers", "private", "is_short"),
    [
        (["CPUExecutionProvider"], {"_sess": SimpleNamespace(run=len)}, True),
        (["CPUExecutionProvider"], {"_sess": SimpleNamespace()}, False),
        (["CPUExecutionProvider"], {}, False),
        (["CUDAExecutionProvider", "CPUExecutionProvider"], {"_sess": SimpleNamespace(run=len)}, False),
    ],
    ids=["cpu", "another_version", "no_private_name", "gpu"],
)
def test_shortest_run__is_the_public_one_where_anything_is_different(providers, private, is_short):
    session = SimpleNamespace(get_providers=lambda: providers, run=max, **private)
    assert shortest_run(session) is (len if is_short else max)


def test_run__an_index_out_of_bounds_is_the_caller_s_fault(load):
    loaded = load(node_model("Gather"))
    with pytest.raises(RequestError, match="indices element out of data bounds") as caught:
        loaded.run(x=np.ones((2, 3), np.float32), i=np.array([9]))
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert "ONNXRuntimeError" not in str(caught.value)


def test_run__a_failure_inside_the_model_is_the_model_s(load, capfd):
    loaded = load(node_model("Reshape"))
    with pytest.raises(InferenceError, match="cannot be reshaped") as caught:
        loaded.run(x=np.ones((2, 3), np.float32), i=np.array([9]))
    text = str(caught.value)
    assert text.startswith("model 'model': Non-zero status code returned while running Reshape node")
    for leak in ("onnxruntime_src", ".h:", "ReshapeHelper", "\n"):
        assert leak not in text
    assert not caught.value.out_of_memory
    assert capfd.readouterr() == ("", ""), "clients could fill the log"


def test_run__want_of_memory_is_told_apart(load):
    loaded = load(node_model("Expand"))
    with pytest.raises(InferenceError, match="Failed to allocate memory") as caught:
        loaded.run(x=np.ones((1, 3), np.float32), i=np.array([1 << 50, 3]))
    assert caught.value.out_of_memory
    assert caught.value.code is ErrorCode.RESOURCE_EXHAUSTED
    got = loaded.run(x=np.ones((1, 3), np.float32), i=np.array([2, 3]))
    assert got["y"].shape == (2, 3)


def test_run__strings_name_the_item_that_is_no_text(load):
    loaded = load(identity_model(DType.STRING, ["n", "m"]))
    items = np.array([[b"good", b"\xc3\xa4"], [b"ab\xff", b""]], dtype=object)
    with pytest.raises(DecodeError, match="input 'x': expected UTF-8 text") as caught:
        loaded.run(x=items)
    assert (caught.value.row, caught.value.offset) == (2, 2)
    assert "xff" not in str(caught.value)


@pytest.mark.parametrize(
    "array",
    [
        np.array(["abcd", "abcd", "wxyz"], dtype="S4"),
        np.array(["abcd", "a", "\u4f60"], dtype="U"),
        np.array(["abcd", b"abcd"], dtype=object),
    ],
    ids=["S", "U", "mixed"],
)
def test_run__strings_of_every_kind_come_back_as_bytes(load, array):
    got = load(identity_model(DType.STRING, ["n"])).run(x=array)["y"]
    assert got.tolist() == [item.encode() if isinstance(item, str) else item for item in array.tolist()]


def test_run__answers_are_no_views_of_inputs_or_weights(load):
    loaded = load(constant_output_model())
    x = np.ones((2, 3), np.float32)
    got = loaded.run(x=x)
    assert set(got) == {"y", "w", "x"}
    for array in got.values():
        assert not np.shares_memory(array, x)
        array[...] = 7
    assert (x == 1).all()
    assert loaded.run(x=x)["w"].tolist() == [0, 1, 2, 3]


def test_run__answers_are_no_views_of_bfloat16_inputs(load):
    x = helper.make_tensor_value_info("x", TensorProto.BFLOAT16, ["n"])
    f = helper.make_tensor_value_info("f", TensorProto.FLOAT, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.BFLOAT16, ["n"])
    loaded = load(build([helper.make_node("Identity", ["x"], ["y"])], [x, f], [x, f, y]))
    sent = np.array([1.5, -2], ml_dtypes.bfloat16)
    other = np.array([3, 4], np.float32)
    got = loaded.run(x=sent, f=other)
    sent[:], other[:] = 0, 0
    assert got["x"].tolist() == got["y"].tolist() == [1.5, -2]
    assert got["f"].tolist() == [3, 4]
    assert got["x"].dtype == ml_dtypes.bfloat16


def test_run__bfloat16_of_awkward_layout_counts_by_value(load):
    loaded = load(identity_model(DType.BFLOAT16, ["n", "m"]))
    array = np.arange(12).astype(ml_dtypes.bfloat16).reshape(3, 4)
    body = b"\0" + array.tobytes()
    for awkward in (
        array.T,
        array[::-1, ::2],
        np.frombuffer(body, ml_dtypes.bfloat16, offset=1).reshape(3, 4),
        np.broadcast_to(array[:1], (3, 4)),
    ):
        np.testing.assert_array_equal(loaded.run(x=awkward)["y"], awkward)


def test_run__can_go_on_while_another_thread_closes(load):
    """A run that began before close finishes; one that begins after it is refused."""
    loaded = load(mlp_model((64, 256, 64)))
    x = np.ones((64, 64), np.float32)
    expected = loaded.run(x=x)["y"]
    begun = threading.Barrier(4)

    def work(_):
        begun.wait(timeout=120)
        for count in range(10_000):
            try:
                got = loaded.run(x=x)["y"]
            except LifecycleError:
                return count
            np.testing.assert_array_equal(got, expected)
        return None

    with ThreadPoolExecutor(3) as pool:
        results = pool.map(work, range(3))
        begun.wait(timeout=120)
        loaded.servable.close()
        assert all(count is not None for count in results)
