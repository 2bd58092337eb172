"""Runs: whose memory the arrays are, subsets of outputs, failures, closing."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest
from navi_tf import session_loader
from navi_tf.framework import tf, tf1
from navi_tf.testing import ELEMENT_TYPES, identity_graph, mlp_module, pair_graph, store_graph, store_module

from navi_core import (
    DType,
    ErrorCode,
    InferenceError,
    InputNamesError,
    LifecycleError,
    OutputNamesError,
    RequestError,
    SignatureNotFoundError,
    TensorMismatchError,
)
from navi_core.testing.run_context import SimpleRunContext

pytestmark = pytest.mark.integration


def aligned(shape, dtype=np.float32):
    """Return zeros at an address that TensorFlow reads in place."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def graph(function, *specs):
    """Return a builder of a graph with the placeholders x, i, s as they are asked for."""

    def build():
        inputs = {name: tf1.placeholder(dtype, shape, name=name) for name, dtype, shape in specs}
        outputs = function(*inputs.values())
        return inputs, outputs if isinstance(outputs, dict) else {"y": outputs}

    return build


FLOATS = ("x", tf.float32, [None, None])
INDICES = ("i", tf.int64, None)
STRINGS = ("s", tf.string, None)


@pytest.fixture
def made(monkeypatch):
    """Return the callables that sessions made, as they come."""
    callables = []

    def make_call(*arguments, **settings):
        callables.append(arguments)
        return real(*arguments, **settings)

    real = session_loader.make_call
    monkeypatch.setattr(session_loader, "make_call", make_call)
    return callables


# --- whose memory ---------------------------------------------------------------------------------------


def passing_through(x):
    v = tf1.get_variable("v", initializer=np.arange(4, dtype=np.float32), use_resource=True)
    r = tf1.get_variable("r", initializer=np.arange(4, dtype=np.float32), use_resource=False)
    return {
        "itself": x,
        "again": x,
        "same": tf.identity(x),
        "twice": (y := x * 2),
        "twice_again": y,
        "constant": tf.constant(np.arange(4, dtype=np.float32)),
        "variable": v.read_value(),
        "reference": tf.identity(r),
    }


def test_run__answers_are_no_views_of_inputs_constants_or_variables(load, tmp_path):
    loaded = load(store_graph(graph(passing_through, FLOATS), tmp_path / "1"))
    x = aligned((2, 3))
    x[...] = 1
    first = loaded.run(x=x)
    expected = {name: array.copy() for name, array in first.items()}
    assert set(expected) == {
        "itself",
        "again",
        "same",
        "twice",
        "twice_again",
        "constant",
        "variable",
        "reference",
    }
    for name, array in first.items():
        assert not np.shares_memory(array, x), name
        assert array.flags.writeable
        array[...] = -7
    assert (x == 1).all()
    for name, array in loaded.run(x=x).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    itself = loaded.run(["itself"], x=x)["itself"]
    assert not np.shares_memory(itself, x)
    assert itself.tolist() == [[1, 1, 1]] * 2


@pytest.mark.parametrize("use_resource", [True, False])
def test_run__what_the_model_stores_is_not_the_caller_s_array(load, tmp_path, use_resource):
    """TensorFlow's variable would be the input array itself, and change with the next request."""

    def build():
        x = tf1.placeholder(tf.float32, [None, 3], name="x")
        state = tf1.get_variable("state", shape=[2, 3], use_resource=use_resource)
        with tf.control_dependencies([tf1.assign(state, x)]):
            done = tf.constant(True)
            stored = tf.identity(done)
        return {
            "serving_default": ({"x": x}, {"stored": stored}),
            "recall": ({}, {"state": tf.identity(state.read_value())}),
        }

    loaded = load(store_graph(build, tmp_path / "1"))
    x = aligned((2, 3))
    x[...] = 3
    assert loaded.run(x=x)["stored"]
    x[...] = 9
    assert loaded.run(key="recall")["state"].tolist() == [[3, 3, 3]] * 2


def test_run__what_a_function_of_the_model_stores_is_not_the_caller_s_array(load, tmp_path):
    class Memory(tf.Module):
        def __init__(self):
            super().__init__()
            self.state = tf.Variable(np.zeros((2, 3), np.float32))

        @tf.function(input_signature=[tf.TensorSpec([2, 3], tf.float32, "x")])
        def store(self, x):
            self.state.assign(x)
            return {"stored": tf.constant(True)}

        @tf.function(input_signature=[])
        def recall(self):
            return {"state": self.state.read_value()}

    memory = Memory()
    signatures = {"serving_default": memory.store, "recall": memory.recall}
    artifact = store_module(memory, tmp_path / "1", signatures=signatures)
    for loader in ("session", "function"):
        loaded = load(artifact, loader=loader)
        x = aligned((2, 3))
        x[...] = 3
        loaded.run(x=x)
        x[...] = 9
        assert loaded.run(key="recall")["state"].tolist() == [[3, 3, 3]] * 2, loader


# --- outputs --------------------------------------------------------------------------------------------


def test_run__any_subset_of_many_outputs(load, tmp_path, made):
    """Also of more subsets than get a callable of their own."""
    loaded = load(store_graph(graph(lambda x: {f"y{n}": x + n for n in range(6)}, FLOATS), tmp_path / "1"))
    x = np.zeros((1, 1), np.float32)
    for first in range(6):
        for second in range(6):
            names = [f"y{first}"] if first == second else [f"y{first}", f"y{second}"]
            got = loaded.run(names, x=x)
            assert list(got) == names
            assert [array.item() for array in got.values()] == [int(name[1:]) for name in names]
    assert len(made) == 8
    with pytest.raises(OutputNamesError, match="got 'nothing'"):
        loaded.run(["nothing"], x=x)
    with pytest.raises(OutputNamesError, match="got 'y1' twice"):
        loaded.run(["y1", "y1"], x=x)


@pytest.mark.parametrize("dtype", [each for each in DType if not each.startswith("float8")], ids=str)
def test_run__scalars_are_arrays(load, tmp_path, dtype):
    """TensorFlow gives NumPy's scalars, or bytes. (It has no kernel that takes one element of float8.)"""
    kind = ELEMENT_TYPES[dtype]
    loaded = load(store_graph(graph(lambda x: x[0], ("x", kind, [None])), tmp_path / "1"))
    x = np.array([b"word" if dtype is DType.STRING else 1], dtype=kind.as_numpy_dtype)
    got = loaded.run(x=x)["y"]
    assert isinstance(got, np.ndarray)
    assert got.shape == ()
    assert got.dtype == x.dtype
    assert got[()] == x[0]


def test_run__names_of_outputs_may_come_in_a_list(load, tmp_path):
    loaded = load(store_graph(pair_graph, tmp_path / "1"))
    a = np.ones((1, 3), np.float32)
    got = loaded.servable.run("serving_default", {"a": a, "b": a}, ["sum"], SimpleRunContext())
    assert got["sum"].tolist() == [[2, 2, 2]]


# --- inputs ---------------------------------------------------------------------------------------------


def test_run__other_dtypes_are_refused_not_cast(load, tmp_path):
    loaded = load(store_graph(pair_graph, tmp_path / "1"))
    with pytest.raises(TensorMismatchError, match="input 'a': expected dtype float32, got float64"):
        loaded.run(a=np.zeros((1, 3)), b=np.zeros((1, 3), np.float32))


def test_run__of_wrong_names_is_the_caller_s_fault(load, tmp_path):
    loaded = load(store_graph(pair_graph, tmp_path / "1"))
    a = np.zeros((1, 3), np.float32)
    with pytest.raises(InputNamesError, match=r"unknown {c}"):
        loaded.run(a=a, b=a, c=a)
    with pytest.raises(InputNamesError, match=r"missing {b}"):
        loaded.run(a=a)
    with pytest.raises(SignatureNotFoundError, match="got 'nothing'"):
        loaded.feed({"a": a, "b": a}, ["sum"], key="nothing")


@pytest.mark.parametrize(
    "array",
    [
        np.array(["abcd", "abcd", "wxyz"], dtype="S4"),
        np.array(["abcd", "a", "\u4f60"], dtype="U"),
        np.array(["abcd", b"\xff"], dtype=object),
    ],
    ids=["S", "U", "mixed"],
)
def test_run__strings_of_every_kind_come_back_as_bytes(load, tmp_path, array):
    loaded = load(store_graph(identity_graph(DType.STRING, [None]), tmp_path / "1"))
    want = [item.encode() if isinstance(item, str) else item for item in array.tolist()]
    assert loaded.run(x=array)["y"].tolist() == want


def test_run__what_is_no_string_is_the_caller_s_fault(load, tmp_path):
    loaded = load(store_graph(identity_graph(DType.STRING, [None]), tmp_path / "1"))
    with pytest.raises(RequestError, match="input 'x': string tensor: expected bytes or str, got int"):
        loaded.run(x=np.array([b"a", 1], dtype=object))


def test_run__bfloat16_of_awkward_layout_counts_by_value(load, tmp_path):
    loaded = load(store_graph(identity_graph(DType.BFLOAT16, [None, None]), tmp_path / "1"))
    array = np.arange(12).astype(ml_dtypes.bfloat16).reshape(3, 4)
    body = b"\0" + array.tobytes()
    for awkward in (
        array.T,
        array[::-1, ::2],
        np.frombuffer(body, ml_dtypes.bfloat16, offset=1).reshape(3, 4),
        np.broadcast_to(array[:1], (3, 4)),
    ):
        np.testing.assert_array_equal(loaded.run(x=awkward)["y"], awkward)


# --- failures -------------------------------------------------------------------------------------------


def parse(s):
    return tf.io.parse_example(s, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]


@pytest.mark.parametrize("loader", ["session", "function"])
@pytest.mark.parametrize(
    ("function", "specs", "inputs", "expected"),
    [
        (
            tf.gather,
            (FLOATS, INDICES),
            {"x": np.ones((2, 3), np.float32), "i": np.array([9])},
            "indices[0] = 9 is not in [0, 2)",
        ),
        (
            tf.reshape,
            (FLOATS, INDICES),
            {"x": np.ones((2, 3), np.float32), "i": np.array([9])},
            "Input to reshape is a tensor with 6 values, but the requested shape has 9",
        ),
        (
            parse,
            (("s", tf.string, [None]),),
            {"s": np.array([b"secret 's"], object)},
            "Could not parse example input",
        ),
        (
            tf.strings.to_number,
            (STRINGS,),
            {"s": np.array([b"secret"], object)},
            "StringToNumberOp could not correctly convert",
        ),
    ],
    ids=["gather", "reshape", "parse", "number"],
)
def test_run__an_invalid_argument_is_the_caller_s_fault(
    load, tmp_path, capfd, loader, function, specs, inputs, expected
):
    loaded = load(store_graph(graph(function, *specs), tmp_path / "1"), loader=loader)
    capfd.readouterr()
    with pytest.raises(RequestError) as caught:
        loaded.feed(inputs)
    text = str(caught.value)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert text.startswith("model 'model': ")
    assert text.removeprefix("model 'model': ").startswith(expected)
    for leak in ("secret", "node", "{{", "[[", "Op:", "\n", ".py", str(tmp_path)):
        assert leak not in text
    assert capfd.readouterr() == ("", ""), "clients could fill the log"


def test_run__want_of_memory_is_told_apart(load, tmp_path):
    loaded = load(store_graph(graph(tf.broadcast_to, FLOATS, INDICES), tmp_path / "1"))
    x = np.ones((1, 3), np.float32)
    with pytest.raises(InferenceError, match="OOM when allocating tensor") as caught:
        loaded.run(x=x, i=np.array([1 << 44, 3]))
    assert caught.value.out_of_memory
    assert caught.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert "job:" not in str(caught.value)
    assert loaded.run(x=x, i=np.array([2, 3]))["y"].shape == (2, 3)


def test_run__a_failure_of_the_model_is_the_model_s(load, tmp_path):
    def build():
        x = tf1.placeholder(tf.float32, [None, 3], name="x")
        forgotten = tf1.get_variable("forgotten", [3], collections=["nobody_initialises_these"])
        return {"x": x}, {"y": x + forgotten}

    loaded = load(store_graph(build, tmp_path / "1"))
    with pytest.raises(InferenceError) as caught:
        loaded.run(x=np.ones((2, 3), np.float32))
    assert caught.value.code is ErrorCode.INTERNAL
    assert not caught.value.out_of_memory
    assert "forgotten" not in str(caught.value)


# --- closing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loader", ["session", "function"])
def test_run__can_go_on_while_another_thread_closes(load, tmp_path, loader):
    """A run that began before close finishes; one that begins after it is refused."""
    loaded = load(store_module(mlp_module((64, 256, 64)), tmp_path / "1"), loader=loader)
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
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
        return None

    with ThreadPoolExecutor(3) as pool:
        results = pool.map(work, range(3))
        begun.wait(timeout=120)
        loaded.servable.close()
        assert all(count is not None for count in results)


def test_close__frees_the_session_without_the_collector(load, tmp_path):
    loaded = load(store_graph(pair_graph, tmp_path / "1"))
    a = np.zeros((1, 3), np.float32)
    loaded.run(a=a, b=a)
    model = loaded.servable._model
    session, of_graph = weakref.ref(model._session), weakref.ref(model.graph)
    del model
    gc.disable()
    try:
        loaded.servable.close()
        assert session() is None
        assert of_graph() is None
    finally:
        gc.enable()
    loaded.servable.close()
    with pytest.raises(LifecycleError, match="model 'model' was run after it was closed"):
        loaded.run(a=a, b=a)


def test_run__threads_go_side_by_side(load, tmp_path, made):
    """As many first runs at once as there are threads: one callable is made, everybody gets the answer."""
    loaded = load(store_graph(pair_graph, tmp_path / "1"))
    begun = threading.Barrier(4)

    def work(number):
        a = np.full((1, 3), number, np.float32)
        begun.wait(timeout=120)
        return loaded.run(["sum"], a=a, b=a)["sum"].tolist()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [[[2.0 * number] * 3] for number in range(4)]
    assert len(made) == 2, "one for all outputs when it was loaded, one for this one"
