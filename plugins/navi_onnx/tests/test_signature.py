"""What a model's tensors look like to clients."""

from __future__ import annotations

import numpy as np
import pytest
from navi_onnx.testing import (
    build,
    fixed_model,
    identity_model,
    mlp_model,
    optional_input_model,
    pair_model,
    sequence_model,
    zipmap_model,
)
from onnx import TensorProto, helper

from navi_core import DType, ModelLoadError

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (None, None),
        ([], ()),
        ([None], (None,)),
        (["batch", 3], ("batch", 3)),
        ([-1, 3], (None, 3)),
        (["", 0], (None, 0)),
    ],
)
def test_shape__is_the_file_s(load, shape, expected):
    signature = load(identity_model(DType.FLOAT32, shape)).signature
    assert signature.inputs["x"].shape == expected
    assert signature.outputs["y"].shape == expected


@pytest.mark.parametrize(
    ("model", "batches"),
    [
        (mlp_model(), True),
        (pair_model(), True),
        (fixed_model(), False),
        (identity_model(DType.FLOAT32, []), False),
        (identity_model(DType.FLOAT32, None), False),
        (identity_model(DType.FLOAT32, [None, None]), True),
    ],
)
def test_batchable__follows_the_leading_dimensions(load, model, batches):
    signature = load(model).signature
    assert signature.batchable is batches
    assert bool(signature.not_batchable_because) is not batches


def test_batchable__not_when_symbols_differ(load):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m", "k"])
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
    signature = load(build([node], [x], [y])).signature
    assert not signature.batchable


def test_optional_inputs__are_initializers_that_are_inputs_too(load):
    loaded = load(optional_input_model())
    assert list(loaded.signature.inputs) == ["x", "bias"]
    assert not loaded.signature.inputs["x"].optional
    assert loaded.signature.inputs["bias"].optional
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(loaded.run(x=x)["y"], x + np.float32([1, 2, 3]))
    np.testing.assert_array_equal(loaded.run(x=x, bias=np.full(3, 5, np.float32))["y"], x + 5)


def test_optional_inputs__are_constants_before_ir_version_4(load):
    assert list(load(optional_input_model(ir_version=3)).signature.inputs) == ["x"]


def test_optional_inputs__can_be_left_out_by_the_configuration(load):
    loaded = load(optional_input_model(), load={"inputs": ("x",)})
    assert list(loaded.signature.inputs) == ["x"]
    assert loaded.signature.batchable


def test_inputs__that_the_model_needs_cannot_be_left_out(load):
    with pytest.raises(ModelLoadError, match="'b' cannot be left out"):
        load(pair_model(), load={"inputs": ("a",)})


def test_inputs__take_the_order_of_the_configuration(load):
    assert list(load(pair_model(), load={"inputs": ("b", "a")}).signature.inputs) == ["b", "a"]


@pytest.mark.parametrize("labels", [(3, -1, 2**40), ("b", "a", "h\u00e4"), (7,), ("only",)])
def test_zipmap__becomes_values_and_keys(load, labels):
    loaded = load(zipmap_model(labels))
    width = len(labels)
    values, keys = loaded.signature.outputs.values()
    assert (values.name, values.dtype, values.shape) == ("probabilities", DType.FLOAT32, (None, width))
    is_text = isinstance(labels[0], str)
    assert (keys.name, keys.dtype) == ("probabilities_keys", DType.STRING if is_text else DType.INT64)
    assert keys.shape == (None, width)
    assert loaded.signature.batchable

    expected = [label.encode() if is_text else label for label in labels]
    for rows in (4, 1, 0):
        x = np.arange(rows * width, dtype=np.float32).reshape(rows, width)
        got = loaded.run(x=x)
        np.testing.assert_array_equal(got["probabilities"], x)
        assert got["probabilities"].dtype == np.float32
        assert got["probabilities_keys"].shape == (rows, width)
        assert got["probabilities_keys"].dtype == (object if is_text else np.int64)
        assert got["probabilities_keys"].tolist() == [expected] * rows


def test_zipmap__either_part_can_be_asked_for_alone(load):
    loaded = load(zipmap_model([5, 2]))
    x = np.array([[0.25, 0.75]], np.float32)
    assert loaded.run(["probabilities_keys"], x=x)["probabilities_keys"].tolist() == [[5, 2]]
    assert loaded.run(["probabilities"], x=x)["probabilities"].tolist() == [[0.25, 0.75]]


def test_zipmap__outputs_can_be_restricted(load):
    for names in (("probabilities",), ("probabilities_keys",), ("probabilities_keys", "probabilities")):
        assert tuple(load(zipmap_model([5, 2]), load={"outputs": names}).signature.outputs) == names


def test_zipmap__can_be_served_without_keys_or_refused(load):
    assert list(load(zipmap_model([5, 2]), zipmap="values").signature.outputs) == ["probabilities"]
    with pytest.raises(ModelLoadError, match=r"'probabilities' is seq\(map\(int64,tensor\(float\)\)\)"):
        load(zipmap_model([5, 2]), zipmap="refuse")


def test_zipmap__labels_that_repeat_are_refused(load):
    with pytest.raises(ModelLoadError, match="class label twice"):
        load(zipmap_model(["a", "b", "a"]))


def test_sequences__are_refused_by_name_and_type(load):
    with pytest.raises(ModelLoadError, match=r"output 'parts'.*got seq\(tensor\(float\)\)"):
        load(sequence_model())


def test_sequences__can_be_left_out(load):
    loaded = load(sequence_model(), load={"outputs": ("y",)})
    x = np.ones((2, 3), np.float32)
    assert list(loaded.run(x=x)) == ["y"]


def test_sequences__as_inputs_are_refused(load):
    x = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("ConcatFromSequence", ["x"], ["y"], axis=0)
    with pytest.raises(ModelLoadError, match=r"input 'x'.*got seq\(tensor\(float\)\)"):
        load(build([node], [x], [y]))


def test_types__that_one_run_cannot_pass_together_are_refused(load):
    x = helper.make_tensor_value_info("x", TensorProto.BFLOAT16, ["n"])
    s = helper.make_tensor_value_info("s", TensorProto.STRING, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.BFLOAT16, ["n"])
    t = helper.make_tensor_value_info("t", TensorProto.STRING, ["n"])
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["s"], ["t"])]
    with pytest.raises(ModelLoadError, match="'s' is string and 'x' bfloat16"):
        load(build(nodes, [x, s], [y, t]))


def test_signature__there_is_one(load):
    assert load(pair_model(), load={"signature": "serving_default"}).signature.batchable
    with pytest.raises(ModelLoadError, match="an ONNX model has one, 'serving_default', got 'other'"):
        load(pair_model(), load={"signature": "other"})
