"""Runs: values, plans made on the way, failures, threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from navi_tract import plans as plans_module
from navi_tract.testing import mlp_model, node_model, pair_model, store, store_nnef
from onnx import TensorProto

from navi_core import (
    ErrorCode,
    InferenceError,
    InputNamesError,
    LifecycleError,
    ModelLoadError,
    RequestError,
    TensorMismatchError,
)

pytestmark = pytest.mark.integration

F = TensorProto.FLOAT
MATMUL = node_model("MatMul", [("a", F, ["n", "m"]), ("b", F, ["k", "l"])])


def zeros(*shape):
    return np.zeros(shape, np.float32)


def test_run__other_dtypes_are_refused_not_cast(load):
    loaded = load(pair_model())
    with pytest.raises(TensorMismatchError, match="input 'a': expected dtype float32, got float64"):
        loaded.run(a=np.zeros((1, 3)), b=zeros(1, 3))


@pytest.mark.parametrize("names", [("a",), ("a", "c"), ("a", "b", "c"), ()])
def test_run__wrong_names_are_refused(load, names):
    """tract reads past the end of the list where one is missing."""
    loaded = load(pair_model())
    with pytest.raises(InputNamesError):
        loaded.run(**dict.fromkeys(names, zeros(1, 3)))


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 4), (2, 4)), ((2, 3), (3, 3)), ((6,), (6,)), ((2, 3, 1), (2, 3, 1)), ((), ())],
)
def test_run__wrong_shapes_are_refused_before_tract_sees_them(load, a, b):
    loaded = load(pair_model())
    with pytest.raises(TensorMismatchError, match="expected shape") as caught:
        loaded.run(a=zeros(*a), b=zeros(*b))
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_run__the_other_byte_order_counts_by_value(load):
    """tract's binding looks at the kind and the size of a dtype alone."""
    a = np.array([[1, 2, 3]], dtype=">f4")
    assert load(pair_model()).run(a=a, b=zeros(1, 3))["sum"].tolist() == [[1, 2, 3]]


def test_run__only_what_fits_is_planned(load):
    """tract multiplies matrices that do not fit, past their end, where their sizes are symbols."""
    loaded = load(MATMUL)
    assert loaded.run(a=zeros(2, 3), b=zeros(3, 5))["y"].shape == (2, 5)
    with pytest.raises(
        RequestError, match=r"no plan for the shapes a \(2, 3\), b \(4, 5\): .*MatMul"
    ) as caught:
        loaded.run(a=zeros(2, 3), b=zeros(4, 5))
    assert "backtrace" not in str(caught.value)
    assert loaded.run(a=zeros(2, 3), b=zeros(3, 5))["y"].shape == (2, 5)


def test_run__shapes_that_end_the_process_are_refused(load):
    third_column = [("i", np.array([[2]]))]
    model = node_model("GatherElements", [("x", F, ["n", "m"])], initializers=third_column, axis=1)
    loaded = load(model, rehearse=True)
    with pytest.raises(
        RequestError, match=r"no plan for the shapes x \(2, 2\): ndarray: index out of"
    ) as caught:
        loaded.run(x=zeros(2, 2))
    assert "(src/arraytraits.rs)" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert loaded.run(x=zeros(2, 4))["y"].shape == (1, 1)


def test_run__of_an_nnef_model_with_several_symbols_is_for_those_who_trust_their_clients(load, tmp_path):
    artifact = store_nnef(node_model("Add", [("a", F, ["n", 3]), ("b", F, ["m", 3])]), tmp_path / "nnef")
    with pytest.raises(ModelLoadError, match="2 symbols"):
        load(artifact)
    loaded = load(artifact, trust_requests=True)
    assert loaded.run(a=zeros(1, 3), b=zeros(4, 3))["y"].shape == (4, 3)


def test_run__a_failure_says_where_and_holds_no_numbers(load):
    data = [("x", F, ["n"]), ("i", TensorProto.INT64, ["k", 1]), ("u", F, ["k"])]
    loaded = load(node_model("ScatterND", data), trust_requests=True)
    secret = np.array([123.456], np.float32)
    with pytest.raises(InferenceError) as caught:
        loaded.run(x=secret, i=np.array([[98765]]), u=secret)
    assert str(caught.value) == "model 'model': operator ScatterNd 'y' failed"
    assert not caught.value.out_of_memory


def test_plans__as_many_as_there_is_room_for(load, monkeypatch):
    made = []
    make_plan = plans_module.make_plan
    monkeypatch.setattr(
        plans_module, "make_plan", lambda *args, **more: made.append(args[2]) or make_plan(*args, **more)
    )
    loaded = load(MATMUL, max_plans=2)
    sizes = [1, 2, 1, 3, 1, 2]  # 3 takes the place of 2, and 2 the place of 3
    for size in sizes:
        assert loaded.run(a=zeros(size, 3), b=zeros(3, 1))["y"].shape == (size, 1)
    assert [key[0] for key in made] == [1, 2, 3, 2]
    assert len(loaded.servable._plans) == 2


def test_plans__are_made_once_however_many_ask(load, monkeypatch):
    made = []
    make_plan = plans_module.make_plan
    monkeypatch.setattr(
        plans_module, "make_plan", lambda *args, **more: made.append(1) or make_plan(*args, **more)
    )
    loaded = load(MATMUL)
    begun = threading.Barrier(4)

    def work(_):
        begun.wait(timeout=120)
        return loaded.run(a=zeros(2, 3), b=zeros(3, 4))["y"].shape

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [(2, 4)] * 4
    assert len(made) == 1


def test_plans__are_made_from_the_file_that_was_loaded(load, tmp_path):
    artifact = store(MATMUL, tmp_path / "m")
    loaded = load(artifact)
    loaded.run(a=zeros(1, 3), b=zeros(3, 4))
    (tmp_path / "m" / "model.onnx").write_bytes(pair_model())
    with pytest.raises(InferenceError, match=r"model.onnx was changed or removed since it was loaded"):
        loaded.run(a=zeros(2, 3), b=zeros(3, 4))
    loaded.run(a=zeros(1, 3), b=zeros(3, 4))


def test_run__one_plan_shared_by_threads_gives_each_its_own(load):
    loaded = load(mlp_model((64, 128, 8)))
    random = np.random.default_rng(0)
    inputs = [random.normal(size=(1 + rows, 64)).astype(np.float32) for rows in range(8)]
    expected = [loaded.run(x=x)["y"] for x in inputs]

    def work(thread):
        for step in range(300):
            index = (thread + step) % len(inputs)
            np.testing.assert_array_equal(loaded.run(x=inputs[index])["y"], expected[index])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


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
