"""torch.export's programs: what they say becomes the signature, and is checked."""

from __future__ import annotations

import asyncio
import gc
import weakref

import numpy as np
import pytest
import torch
from navi_torch.servable import TorchServable
from navi_torch.testing import Mlp, Pair, exported, store
from torch import Tensor, nn
from torch.export import Dim

from navi_core import DType, Host, HostConfig, ModelConfig, ModelLoadError, RequestError, TensorMismatchError

pytestmark = pytest.mark.integration

X = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)


def mlp(**limits) -> bytes:
    return exported(Mlp(), torch.zeros(5, 16), dynamic_shapes=({0: Dim("rows", **limits)},))


def test_signature__is_the_program_s(load):
    loaded = load(mlp(max=64))
    (lead, width) = loaded.signature.inputs["x"].shape
    assert isinstance(lead, str)
    assert width == 16
    assert loaded.signature.outputs["output_0"].shape == (lead, 4)
    assert loaded.signature.batchable
    assert loaded.signature.max_rows == 64
    np.testing.assert_allclose(
        loaded.run(x=X)["output_0"], Mlp()(torch.from_numpy(X)).detach().numpy(), rtol=1e-5, atol=1e-6
    )


def test_signature__a_fixed_program_does_not_batch(load):
    signature = load(exported(Mlp(), torch.zeros(2, 16))).signature
    assert signature.inputs["x"].shape == (2, 16)
    assert not signature.batchable
    assert signature.max_rows is None


def test_signature__may_be_narrowed_and_not_contradicted(load):
    said = {"x": {"shape": [-1, 16], "dtype": "float32"}}
    assert load(mlp(max=64), inputs=said).signature.inputs["x"].shape == (None, 16)
    with pytest.raises(ModelLoadError, match="expected float32 as in the model, got float64"):
        load(mlp(max=64), inputs={"x": {"dtype": "float64"}})
    with pytest.raises(ModelLoadError, match="expected a shape that fits"):
        load(mlp(max=64), inputs={"x": {"shape": [-1, 8]}})
    with pytest.raises(ModelLoadError, match=r"expected some of {x}, got 'y'"):
        load(mlp(max=64), inputs={"y": {}})


@pytest.mark.parametrize(
    ("limits", "good", "bad", "expected"),
    [
        ({"max": 8}, (0, 1, 8), (9,), "at most 8"),
        ({"min": 1, "max": 8}, (1, 8), (0, 9), "1 to 8"),
        ({"min": 4, "max": 8}, (4, 8), (3, 9), "4 to 8"),
        ({"min": 4}, (4, 100), (1,), "at least 4"),
    ],
)
def test_run__sizes_are_those_that_the_program_was_exported_for(load, limits, good, bad, expected):
    loaded = load(mlp(**limits))
    for rows in good:
        assert loaded.run(x=np.zeros((rows, 16), np.float32))["output_0"].shape == (rows, 4)
    for rows in bad:
        with pytest.raises(TensorMismatchError) as caught:
            loaded.run(x=np.zeros((rows, 16), np.float32))
        text = f"input 'x': expected size of dimension 0 {expected}, got {rows}"
        assert text in str(caught.value)


class Both(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a.unsqueeze(2) * b.unsqueeze(1)


def test_run__equal_symbols_have_equal_sizes(load):
    rows, width = Dim("rows"), Dim("width")
    loaded = load(
        exported(
            Both(),
            torch.zeros(5, 6),
            torch.zeros(5, 6),
            dynamic_shapes=({0: rows, 1: width}, {0: rows, 1: width}),
        )
    )
    a = np.zeros((2, 4), np.float32)
    assert loaded.run(a=a, b=a)["output_0"].shape == (2, 4, 4)
    with pytest.raises(
        TensorMismatchError, match="input 'b': expected size of dimension 1 4 as in dimension 1 of 'a', got 3"
    ):
        loaded.run(a=a, b=a[:, :3])


class Halved(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x[::2] + y


@pytest.mark.parametrize("order", [("x", "y"), ("y", "x")])
def test_run__derived_sizes_are_checked(load, order):
    rows = Dim("rows", min=2, max=8)
    loaded = load(
        exported(Halved(), torch.zeros(8, 3), torch.zeros(4, 3), dynamic_shapes=({0: 2 * rows}, {0: rows}))
    )
    assert not loaded.signature.batchable, "a batch would join twice as many rows of one"
    arrays = {"x": np.ones((6, 3), np.float32), "y": np.ones((3, 3), np.float32)}
    assert (loaded.run(**{name: arrays[name] for name in order})["output_0"] == 2).all()
    with pytest.raises(TensorMismatchError, match=r"input 'x': expected size of dimension 0 6 \(2\*"):
        loaded.run(x=arrays["x"][:5], y=arrays["y"])


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.shape[0] % 2 == 0 else x


def test_run__conditions_beside_the_sizes_are_checked_by_torch(load):
    loaded = load(exported(Branching(), torch.zeros(6, 3), dynamic_shapes=({0: Dim.AUTO},)))
    assert loaded.run(x=np.zeros((4, 3), np.float32))["output_0"].tolist() == [[1.0] * 3] * 4
    with pytest.raises(RequestError, match=r"Guard failed: .*% 2 == 0") as caught:
        loaded.run(x=np.zeros((5, 3), np.float32))
    assert "\n" not in str(caught.value)


class Nested(nn.Module):
    def forward(self, x: Tensor, *, scale: Tensor, times: int = 2, flag: bool = True):
        return {"a": (x * scale, x.sum(1)), "b": x * times, "c": None, "d": times}


def test_structures__keywords_dicts_and_constants(load):
    rows = Dim("rows", max=64)
    loaded = load(
        exported(
            Nested(),
            torch.zeros(5, 3),
            scale=torch.zeros(3),
            times=4,
            dynamic_shapes={"x": {0: rows}, "scale": None, "times": None},
        ),
        load={"outputs": ("a_1", "a_0", "b")},
    )
    assert list(loaded.signature.inputs) == ["x", "scale"]
    assert list(loaded.signature.outputs) == ["a_1", "a_0", "b"]
    got = loaded.run(x=np.ones((2, 3), np.float32), scale=np.full(3, 5, np.float32))
    assert (got["a_0"][0, 0], got["a_1"][0], got["b"][0, 0]) == (5, 3, 4)


def test_structures__constants_of_the_program_cannot_be_changed(load):
    model = exported(Nested(), torch.zeros(5, 3), scale=torch.zeros(3), times=4)
    assert (
        load(model, constants={"times": 4})
        .run(x=np.ones((5, 3), np.float32), scale=np.ones(3, np.float32))["d"]
        .item()
        == 4
    )
    with pytest.raises(ModelLoadError, match="expected 4 as in the model, got 5"):
        load(model, constants={"times": 5})


def test_structures__names_can_be_given(load):
    loaded = load(mlp(max=64), output_names=["score"])
    assert list(loaded.signature.outputs) == ["score"]
    with pytest.raises(ModelLoadError, match="expected 1 different names"):
        load(mlp(max=64), output_names=["score", "more"])


class Repeating(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tensor:
        return x * n


def test_arguments__whole_numbers_of_any_value_come_as_tensors(load):
    model = exported(
        Repeating(), torch.zeros(5, 3), 4, dynamic_shapes={"x": {0: Dim("rows", max=64)}, "n": Dim.DYNAMIC}
    )
    loaded = load(model)
    assert loaded.signature.inputs["n"].dtype is DType.INT64
    x = np.ones((1, 3), np.float32)
    assert loaded.run(x=x, n=np.array(7))["output_0"].tolist() == [[7, 7, 7]]
    assert load(model, constants={"n": 5}).run(x=x)["output_0"].tolist() == [[5, 5, 5]]


class Writing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x.add_(1)
        return x * 2


@pytest.mark.parametrize("num_rows", [2, 20_000])
def test_run__a_program_that_writes_to_its_input_gets_a_copy(load, num_rows):
    loaded = load(exported(Writing(), torch.zeros(5, 3), dynamic_shapes=({0: Dim("rows")},)))
    for writeable in (True, False):
        x = np.zeros((num_rows, 3), np.float32)
        x.flags.writeable = writeable
        assert (loaded.run(x=x)["output_0"] == 2).all()
        assert (x == 0).all()


def test_archive__other_programs_are_signatures(load, tmp_path):
    from torch.export.pt2_archive._package import package_pt2

    def program(module, *example):
        return torch.export.export(module.eval(), example)

    path = tmp_path / "two.pt2"
    package_pt2(
        str(path),
        exported_programs={
            "pair": program(Pair(), torch.zeros(2, 3), torch.zeros(2, 3)),
            "model": program(Mlp(), torch.zeros(2, 16)),
        },
    )
    loaded = load(path.read_bytes())
    assert list(loaded.servable.signatures) == ["serving_default", "pair"]
    a = np.ones((2, 3), np.float32)
    assert (loaded.run(method="pair", a=a, b=a)["sum"] == 2).all()
    named = load(path.read_bytes(), load={"signature": "pair"})
    assert list(named.servable.signatures) == ["serving_default", "model"]
    with pytest.raises(ModelLoadError, match=r"signature: expected one of .*got 'other'"):
        load(path.read_bytes(), load={"signature": "other"})


def test_files__in_memory_and_named_model_pt(load):
    from navi_core import Artifact

    loaded = load(Artifact(name="m", version=1, files={"model.pt": mlp(max=64)}))
    assert loaded.run(x=X)["output_0"].shape == (3, 4)


async def test_host__batches_stay_within_the_program_s_range(tmp_path, monkeypatch):
    """Requests are joined up to what the program takes; one that is larger is refused by name."""
    store(mlp(max=8), tmp_path / "mlp" / "1")
    (tmp_path / "mlp" / "navi.toml").write_text(
        "batching = { max_batch_rows = 100, batch_timeout_ms = 30, max_concurrent_batches = 1 }"
    )
    rows = []
    run = TorchServable.run

    def recorded(self, signature, inputs, outputs, ctx):
        rows.append(len(inputs["x"]))
        return run(self, signature, inputs, outputs, ctx)

    async with Host(HostConfig(models=(ModelConfig(path=str(tmp_path / "mlp")),))) as host:
        monkeypatch.setattr(TorchServable, "run", recorded)
        answers = await asyncio.gather(*(host.predict("mlp", {"x": X}) for _ in range(12)))
        for answer in answers:
            assert answer["output_0"].shape == (3, 4)
        assert max(rows) == 6, rows
        with pytest.raises(TensorMismatchError, match="at most 8, got 9"):
            await host.predict("mlp", {"x": np.concatenate([X, X, X])})


@pytest.mark.parametrize(
    "model", [mlp(max=64), exported(Branching(), torch.zeros(6, 3), dynamic_shapes=({0: Dim.AUTO},))]
)
def test_close__lets_the_weights_go_at_once(load, model, monkeypatch):
    """Not when Python next looks for cycles, which may be long after a version was replaced."""
    made = []
    monkeypatch.setattr(
        torch.export.ExportedProgram,
        "module",
        lambda *args, _real=torch.export.ExportedProgram.module, **options: (
            made.append(weakref.ref(module := _real(*args, **options))) or module
        ),
    )
    gc.collect()
    gc.disable()
    try:
        loaded = load(model)
        (module,) = made
        assert module() is not None
        loaded.servable.close()
        assert module() is None
    finally:
        gc.enable()
