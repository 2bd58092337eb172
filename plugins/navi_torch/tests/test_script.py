"""TorchScript: what is derived, what has to be said, what comes out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from navi_torch.testing import Double, Identity, Mlp, Pair, inputs_toml, scripted, store, traced
from torch import Tensor, nn

from navi_core import DType, ErrorCode, InferenceError, ModelLoadError, RequestError, TensorMismatchError

pytestmark = pytest.mark.integration

X = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
F32 = {"dtype": "float32", "shape": [-1, 3]}


class Scores(NamedTuple):
    mean: Tensor
    best: Tensor


class Many(nn.Module):
    """Methods of every kind of result."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1

    @torch.jit.export
    def named(self, x: Tensor) -> Scores:
        return Scores(x.mean(1), x.max(1)[1])

    @torch.jit.export
    def several(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return x, [x + 1, x + 2]

    @torch.jit.export
    def numbers(self, x: Tensor) -> tuple[Tensor, int, float, bool]:
        return x, x.size(0), 0.5, True

    @torch.jit.export
    def text(self, x: Tensor) -> str:
        return "text"

    @torch.jit.export
    def nothing(self, x: Tensor) -> None:
        return None


class Arguments(nn.Module):
    """Arguments of every kind."""

    def forward(
        self, x: Tensor, times: int, plus: float = 0.5, mask: Tensor | None = None, negate: bool = False
    ) -> Tensor:
        y = x * times + plus
        if mask is not None:
            y = y * mask
        return -y if negate else y


class Serve(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def forward_serve(self, x: Tensor) -> Tensor:
        return x * 2


def expected(x):
    return Mlp()(torch.from_numpy(x)).detach().numpy()


# --- where dtypes and shapes come from ------------------------------------------------------------------


def test_signature__a_scripted_perceptron_needs_nothing_said(load):
    loaded = load(scripted(Mlp()))
    assert loaded.signature.inputs["x"].shape == (None, 16)
    assert loaded.signature.inputs["x"].dtype is DType.FLOAT32
    assert loaded.signature.outputs["output_0"].shape == (None, 4)
    assert loaded.signature.batchable
    assert any("found out by trial runs" in note for note in loaded.servable.notes)
    np.testing.assert_allclose(loaded.run(x=X)["output_0"], expected(X), rtol=1e-5)


def test_signature__takes_the_weights_own_dtype(load):
    loaded = load(scripted(Mlp().double()))
    assert loaded.signature.inputs["x"].dtype is DType.FLOAT64
    assert loaded.signature.outputs["output_0"].dtype is DType.FLOAT64


def test_signature__a_traced_model_keeps_what_it_was_traced_with(load):
    loaded = load(traced(Pair(), torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64)))
    assert {spec.dtype for spec in loaded.signature.inputs.values()} == {DType.INT64}
    assert [spec.shape for spec in loaded.signature.inputs.values()] == [(None, 3), (None, 3)]
    assert list(loaded.signature.outputs) == ["sum", "difference"]
    assert loaded.signature.batchable


def test_signature__what_is_said_comes_before_what_was_traced(load):
    loaded = load(traced(Double(), torch.zeros(2, 3)), inputs={"x": {"shape": [-1, -1]}})
    assert loaded.signature.inputs["x"].shape == (None, None)
    assert loaded.signature.outputs["output_0"].shape == (None, None)


def test_signature__a_scripted_model_without_a_clue_is_refused_with_the_lines_to_write(load):
    with pytest.raises(ModelLoadError) as caught:
        load(scripted(Pair()))
    text = str(caught.value)
    for name in ("a", "b"):
        assert f'runtime_options.inputs.{name} = {{ dtype = "float32", shape = [-1, 16] }}' in text
    assert "\n" not in text


def test_signature__the_lines_of_the_refusal_work_in_navi_toml(tmp_path):
    """Written as they are, with sizes of the model, they are what the host reads."""
    from navi_torch.runtime import TorchRuntime

    from navi_core.config.records import ModelSettings
    from navi_core.models.loading import load_version
    from navi_core.testing.registries import registry_of

    lines = "\n".join(
        f'runtime_options.inputs.{name} = {{ dtype = "float32", shape = [-1, 3] }}' for name in ("a", "b")
    )
    artifact = store(scripted(Pair()), tmp_path / "pair" / "1")
    (tmp_path / "pair" / "navi.toml").write_text(lines)
    loaded = load_version(registry_of(runtimes=[TorchRuntime]), artifact, ModelSettings())
    try:
        assert loaded.signatures["serving_default"].model.batchable
        assert not any("failed" in note for note in loaded.notes), loaded.notes
    finally:
        loaded.servable.close()


def test_signature__the_file_may_describe_itself(load):
    loaded = load(scripted(Pair(), inputs_toml(a=[-1, 3], b=[-1, 3])))
    assert loaded.signature.batchable
    narrower = load(
        scripted(Pair(), inputs_toml(a=[-1, 3], b=[-1, 3])),
        inputs={"a": {"dtype": "float64", "shape": [-1, 3]}},
    )
    assert narrower.signature.inputs["a"].dtype is DType.FLOAT64


@pytest.mark.parametrize("text", ["inputs.x = 1", "device = 'cuda'", "not toml"])
def test_signature__a_wrong_description_in_the_file_is_refused(load, text):
    with pytest.raises(ModelLoadError, match=r"its own extra/navi\.toml is wrong"):
        load(scripted(Double(), {"navi.toml": text}))


def test_signature__a_name_that_is_not_there_is_refused(load):
    with pytest.raises(ModelLoadError, match=r"inputs: expected some of {x}, got 'y'"):
        load(scripted(Double()), inputs={"y": F32})
    with pytest.raises(ModelLoadError, match=r"outputs: expected some of {output_0}, got 'y'"):
        load(scripted(Double()), inputs={"x": F32}, outputs={"y": F32})


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def test_outputs__dynamic_sizes_are_found(load):
    loaded = load(scripted(Convolution()), inputs={"x": {"dtype": "float32", "shape": [-1, 3, -1, -1]}})
    assert loaded.signature.outputs["output_0"].shape == (None, 4, None, None)
    assert loaded.signature.batchable


class Summed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum()


def test_outputs__that_do_not_follow_the_rows_do_not_batch(load):
    signature = load(scripted(Summed()), inputs={"x": F32}).signature
    assert not signature.batchable
    assert "output_0" in signature.not_batchable_because


class Shifting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x])


def test_outputs__of_more_rows_than_the_inputs_do_not_batch(load):
    signature = load(scripted(Shifting()), inputs={"x": F32}).signature
    assert not signature.batchable
    assert "for 2 rows" in signature.not_batchable_because


class Picky(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if float(x.sum()) == 0.0:
            raise ValueError("zeros are not welcome")
        return x


def test_outputs__of_a_model_that_refuses_zeros_can_be_said(load):
    with pytest.raises(ModelLoadError, match=r"zeros are not welcome.*runtime_options\.outputs\.NAME"):
        load(scripted(Picky()), inputs={"x": F32})
    loaded = load(scripted(Picky()), inputs={"x": F32}, outputs={"same": F32})
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(loaded.run(x=x)["same"], x)
    with pytest.raises(InferenceError, match="zeros are not welcome") as caught:
        loaded.run(x=x - 1)
    assert "Traceback" not in str(caught.value)


# --- methods and results ----------------------------------------------------------------------------------


def test_methods__forward_serve_comes_before_forward(load):
    loaded = load(scripted(Serve()), inputs={"x": F32}, methods={"forward": {"inputs": {"x": F32}}})
    x = np.ones((1, 3), np.float32)
    assert loaded.run(x=x)["output_0"].tolist() == [[2, 2, 2]]
    assert loaded.run(x=x, method="forward")["output_0"].tolist() == [[1, 1, 1]]


def test_methods__the_configuration_may_name_the_default_one(load):
    loaded = load(scripted(Serve()), inputs={"x": F32}, load={"signature": "forward"})
    assert loaded.run(x=np.ones((1, 3), np.float32))["output_0"].tolist() == [[1, 1, 1]]
    with pytest.raises(ModelLoadError, match=r"signature: expected one of {forward.*got 'other'"):
        load(scripted(Serve()), inputs={"x": F32}, load={"signature": "other"})


def test_methods__that_nobody_described_are_not_served_and_noted(load):
    loaded = load(scripted(Serve()), inputs={"x": F32})
    assert list(loaded.servable.signatures) == ["serving_default"]
    assert any("method 'forward' is not served" in note for note in loaded.servable.notes)


def test_methods__that_are_not_there_cannot_be_described(load):
    with pytest.raises(ModelLoadError, match="methods: expected some of"):
        load(scripted(Serve()), inputs={"x": F32}, methods={"other": {}})


@pytest.fixture
def many(load):
    names = ("named", "several", "numbers")
    return load(scripted(Many()), inputs={"x": F32}, methods={name: {"inputs": {"x": F32}} for name in names})


def test_results__named_tuples_have_their_fields_names(many):
    signature = many.servable.signatures["named"]
    assert {name: spec.dtype for name, spec in signature.outputs.items()} == {
        "mean": DType.FLOAT32,
        "best": DType.INT64,
    }
    got = many.run(method="named", x=np.array([[1, 5, 3]], np.float32))
    assert (got["mean"].tolist(), got["best"].tolist()) == ([3], [1])


def test_results__tuples_and_lists_are_numbered(many):
    got = many.run(method="several", x=np.zeros((1, 3), np.float32))
    assert {name: array[0, 0] for name, array in got.items()} == {
        "output_0": 0,
        "output_1_0": 1,
        "output_1_1": 2,
    }


def test_results__numbers_become_scalars(many):
    signature = many.servable.signatures["numbers"]
    assert [(spec.dtype, spec.shape) for spec in signature.outputs.values()] == [
        (DType.FLOAT32, (None, 3)),
        (DType.INT64, ()),
        (DType.FLOAT64, ()),
        (DType.BOOL, ()),
    ]
    assert not signature.batchable
    got = many.run(method="numbers", x=np.zeros((5, 3), np.float32))
    assert [got[f"output_{index}"].item() for index in (1, 2, 3)] == [5, 0.5, True]


def test_results__names_can_be_given(load):
    said = {"named": {"inputs": {"x": F32}, "output_names": ["a", "b"]}}
    loaded = load(scripted(Many()), inputs={"x": F32}, output_names=["plus"], methods=said)
    assert list(loaded.signature.outputs) == ["plus"]
    assert list(loaded.servable.signatures["named"].outputs) == ["a", "b"]
    with pytest.raises(ModelLoadError, match=r"output_names: expected 1 names, for {output_0}, got 2"):
        load(scripted(Many()), inputs={"x": F32}, output_names=["a", "b"])


@pytest.mark.parametrize(("method", "why"), [("text", "is a str"), ("nothing", "gives nothing back")])
def test_results__that_no_protocol_carries_are_refused(load, method, why):
    with pytest.raises(ModelLoadError, match=why):
        load(scripted(Many()), inputs={"x": F32}, load={"signature": method})


# --- arguments that are no tensors --------------------------------------------------------------------------


def test_arguments__that_are_no_tensors_must_be_fixed_or_taken_from_requests(load):
    with pytest.raises(ModelLoadError) as caught:
        load(scripted(Arguments()), inputs={"x": F32})
    assert "argument 'times' is int" in str(caught.value)
    assert "runtime_options.constants.times = ..." in str(caught.value)
    assert 'runtime_options.inputs.times = { dtype = "int64", shape = [] }' in str(caught.value)


def test_arguments__fixed(load):
    loaded = load(scripted(Arguments()), inputs={"x": F32}, constants={"times": 3, "plus": 1})
    assert list(loaded.signature.inputs) == ["x"]
    assert loaded.signature.batchable
    assert loaded.run(x=np.ones((1, 3), np.float32))["output_0"].tolist() == [[4, 4, 4]]


@pytest.mark.parametrize(
    "constants",
    [{"times": 0.5}, {"times": True}, {"times": "3"}, {"times": 3, "negate": 1}, {"times": 3, "mask": 1}],
)
def test_arguments__fixed_at_what_they_are_not_are_refused(load, constants):
    with pytest.raises(ModelLoadError, match="constants"):
        load(scripted(Arguments()), inputs={"x": F32}, constants=constants)


def test_arguments__taken_from_a_tensor_of_one_element(load):
    inputs = {
        "x": F32,
        "times": {"dtype": "int32", "shape": [1]},
        "negate": {"dtype": "bool", "shape": []},
        "mask": F32,
    }
    loaded = load(scripted(Arguments()), inputs=inputs)
    assert loaded.signature.inputs["negate"].optional
    assert loaded.signature.inputs["mask"].optional
    assert not loaded.signature.inputs["times"].optional
    x, times = np.ones((1, 3), np.float32), np.array([2], np.int32)
    assert loaded.run(x=x, times=times)["output_0"].tolist() == [[2.5, 2.5, 2.5]]
    got = loaded.run(x=x, times=times, negate=np.array(True), mask=np.float32([[0, 1, 2]]))
    assert got["output_0"].tolist() == [[0, -2.5, -5]]


def test_arguments__of_more_elements_are_the_caller_s_fault(load):
    loaded = load(scripted(Arguments()), inputs={"x": F32, "times": {"shape": []}})
    with pytest.raises(TensorMismatchError, match="input 'times': expected size one element, got 2"):
        loaded.run(x=np.ones((1, 3), np.float32), times=np.array([1, 2]))


@pytest.mark.parametrize(
    "times", [{"dtype": "float32", "shape": []}, {"dtype": "int64", "shape": [2]}, {"dtype": "string"}]
)
def test_arguments__of_a_tensor_that_cannot_hold_them_are_refused(load, times):
    with pytest.raises(ModelLoadError, match="expected a tensor of one element"):
        load(scripted(Arguments()), inputs={"x": F32, "times": times})


class Spoken(nn.Module):
    def forward(self, x: Tensor, word: str) -> Tensor:
        return x * len(word)


def test_arguments__texts_come_as_strings(load):
    loaded = load(
        scripted(Spoken()), inputs={"x": F32, "word": {"shape": []}}, outputs={"y": F32}, output_names=["y"]
    )
    assert loaded.signature.inputs["word"].dtype is DType.STRING
    word = np.array(b"ab", dtype=object)
    assert loaded.run(x=np.ones((1, 3), np.float32), word=word)["y"].tolist() == [[2, 2, 2]]
    with pytest.raises(RequestError):
        loaded.run(x=np.ones((1, 3), np.float32), word=np.array(b"\xff", dtype=object))


class Listed(nn.Module):
    def forward(self, xs: list[Tensor]) -> Tensor:
        return xs[0]


def test_arguments__that_no_request_carries_are_refused(load):
    with pytest.raises(ModelLoadError, match=r"argument 'xs' is List\[Tensor\].*forward_serve"):
        load(scripted(Listed()))


# --- running ------------------------------------------------------------------------------------------------


class Writing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x.add_(1)
        return x


@pytest.mark.parametrize("writeable", [True, False])
def test_run__a_model_that_writes_to_its_input_gets_a_copy(load, writeable):
    loaded = load(scripted(Writing()), inputs={"x": F32})
    x = np.zeros((200, 3), np.float32)
    x.flags.writeable = writeable
    assert (loaded.run(x=x)["output_0"] == 1).all()
    assert (x == 0).all()


class Keeping(nn.Module):
    """Gives its weights, a view of them, its input and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.arange(4.0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        return self.kept, self.kept[1:], x, x[:, 1:], x


@pytest.mark.parametrize("can_count", [True, False])
def test_run__answers_are_no_views_of_inputs_weights_or_each_other(load, monkeypatch, can_count):
    """Also with a torch that cannot tell who holds a tensor: then everything is copied."""
    from navi_torch import convert

    assert convert._COUNTERS is not None, "this torch can tell"
    if not can_count:
        monkeypatch.setattr(convert, "_COUNTERS", None)
    loaded = load(scripted(Keeping()), inputs={"x": F32})
    x = np.ones((2, 3), np.float32)
    got = loaded.run(x=x)
    arrays = list(got.values())
    for index, array in enumerate(arrays):
        assert not np.shares_memory(array, x)
        assert not any(np.shares_memory(array, other) for other in arrays[:index])
        array[...] = 7
    assert (x == 1).all()
    again = loaded.run(x=x)
    assert again["output_0"].tolist() == [0, 1, 2, 3]
    assert again["output_1"].tolist() == [1, 2, 3]
    assert again["output_2"].tolist() == x.tolist()


@pytest.mark.parametrize("num_rows", [1, 10_000])
def test_run__large_read_only_arrays_are_read_in_place_without_a_warning(load, num_rows):
    loaded = load(scripted(Mlp()))
    x = np.frombuffer(np.ones((num_rows, 16), np.float32).tobytes(), np.float32).reshape(num_rows, 16)
    assert loaded.run(x=x)["output_0"].shape == (num_rows, 4)
    assert not x.flags.writeable


def test_run__other_dtypes_are_refused_not_cast(load):
    with pytest.raises(TensorMismatchError, match="input 'x': expected dtype float32, got float64"):
        load(scripted(Mlp())).run(x=np.zeros((1, 16)))


def test_run__of_wrong_names_is_the_caller_s_fault(load):
    loaded = load(scripted(Pair(), inputs_toml(a=[-1, 3], b=[-1, 3])))
    a = np.zeros((1, 3), np.float32)
    with pytest.raises(RequestError, match=r"expected some of {a, b}, got 'c'"):
        loaded.run(a=a, b=a, c=a)
    with pytest.raises(RequestError, match="'b' is missing"):
        loaded.run(a=a)


class Lookup(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x)


def test_run__an_index_out_of_range_is_the_caller_s_fault(load):
    loaded = load(scripted(Lookup()), inputs={"x": {"dtype": "int64", "shape": [-1]}})
    with pytest.raises(RequestError, match="index out of range") as caught:
        loaded.run(x=np.array([10]))
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    for leak in ("Traceback", "/", "\n", "torch.", "RuntimeError"):
        assert leak not in str(caught.value)
    assert loaded.run(x=np.array([9]))["output_0"].shape == (1, 3)


class Greedy(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tensor:
        return torch.zeros([n]) + x.sum()


def test_run__want_of_memory_is_told_apart(load):
    inputs = {"x": {"dtype": "float32", "shape": [1]}, "n": {"shape": []}}
    loaded = load(scripted(Greedy()), inputs=inputs)
    x = np.zeros(1, np.float32)
    with pytest.raises(InferenceError, match="allocate memory") as caught:
        loaded.run(x=x, n=np.array(1 << 55))
    assert caught.value.out_of_memory
    assert caught.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert loaded.run(x=x, n=np.array(4))["output_0"].shape == (4,)


class Dropping(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, self.training)


def test_load__a_module_that_was_saved_in_training_is_served_in_evaluation(load):
    import io
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.script(Dropping().train())
        buffer = io.BytesIO()
        torch.jit.save(module, buffer)
    loaded = load(buffer.getvalue(), inputs={"x": F32})
    x = np.ones((100, 3), np.float32)
    np.testing.assert_array_equal(loaded.run(x=x)["output_0"], x)


def test_load__two_model_files_are_refused(load, tmp_path):
    artifact = store(scripted(Mlp()), tmp_path / "m")
    store(scripted(Mlp()), tmp_path / "m", file="model.pt2")
    with pytest.raises(ModelLoadError, match="got both"):
        load(artifact)


def test_load__a_device_that_is_not_there_is_refused(load):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ModelLoadError, match=r"device: got 'cuda:1', but torch .* finds no CUDA device"):
        load(scripted(Mlp()), device="cuda:1")


def test_load__errors_name_no_directory(load, tmp_path):
    for content in (b"garbage", scripted(Mlp())[:-9], scripted(Identity())):
        with pytest.raises(ModelLoadError) as caught:
            load(content)
        assert str(tmp_path) not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith("model 'model' version 1: model.pt: ")
