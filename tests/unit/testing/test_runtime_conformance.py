"""RuntimeConformance passes a right runtime and catches every kind of wrong one."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from navi_core.contracts.artifact import Artifact
from navi_core.errors import ModelLoadError, NaviError
from navi_core.tensors import DType
from navi_core.testing.runtime import RuntimeConformance

_PATH = Path(__file__).with_name("toy_runtime.py")
_SPEC = importlib.util.spec_from_file_location("toy_runtime", _PATH)
toy = sys.modules["toy_runtime"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(toy)


def _artifact(folder, **model):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.json").write_text(json.dumps(model))
    return Artifact(name="model", version=1, path=folder)


class ToySuite(RuntimeConformance):
    plugin_module = "toy_runtime"
    dtypes = (DType.BOOL, DType.INT8, DType.UINT64, DType.BFLOAT16, DType.FLOAT32, DType.STRING)
    runtime = toy.ToyRuntime

    def make_runtime(self):
        return self.runtime()

    def identity_model(self, dtype, rank, folder):
        shape = [None, "m", "k"][:rank]
        return _artifact(folder, inputs=["x"], outputs=["y"], dtype=dtype, shape=shape)

    def pair_model(self, folder):
        outputs = ["sum", "difference"]
        return _artifact(folder, inputs=["a", "b"], outputs=outputs, dtype="float32", shape=["n", 3])

    def fixed_model(self, folder):
        return _artifact(folder, inputs=["x"], outputs=["twice"], dtype="float32", shape=[2, 3])

    def corrupt_model(self, folder):
        folder.mkdir(parents=True)
        (folder / "toy.json").write_text("{")
        return Artifact(name="model", version=1, path=folder)


class TestToyRuntime(ToySuite):
    @pytest.fixture(autouse=True)
    def _importable_in_a_child(self, monkeypatch):
        monkeypatch.setenv("PYTHONPATH", str(_PATH.parent))


def _suite(*, kind=toy.ToyRuntime, servable=None, **members):
    kind = type("Wrong", (kind,), {**members, **({"servable": servable} if servable else {})})
    return type("WrongSuite", (ToySuite,), {"runtime": kind, "rounds": 5})()


class _AnswersWithItsInput(toy.ToyServable):
    def _compute(self, name, arrays, inputs):
        return arrays[0] if name == "y" else super()._compute(name, arrays, inputs)


class _AnswersWithEverything(toy.ToyServable):
    def run(self, signature, inputs, outputs, ctx):
        return super().run(signature, inputs, tuple(self.signatures[signature].outputs), ctx)


class _ReusesItsBuffer(toy.ToyServable):
    def _compute(self, name, arrays, inputs):
        if name != "y":
            return super()._compute(name, arrays, inputs)
        self._buffer = getattr(self, "_buffer", np.empty(1000, arrays[0].dtype))
        self._buffer[: arrays[0].size] = arrays[0].reshape(-1)
        return self._buffer[: arrays[0].size].reshape(arrays[0].shape)


class _RunsWhenClosed(toy.ToyServable):
    def close(self):
        pass


class _WidensNothing(toy.ToyServable):
    def _compute(self, name, arrays, inputs):
        return np.atleast_1d(super()._compute(name, arrays, inputs))


class _LosesTheSignOfZero(toy.ToyServable):
    def _compute(self, name, arrays, inputs):
        result = super()._compute(name, arrays, inputs)
        return result + result.dtype.type(0) if result.dtype.kind == "f" else result


class _TrustsTheBytes(toy.ToyServable):
    def _compute(self, name, arrays, inputs):
        native = {key: array.view(array.dtype.newbyteorder("=")) for key, array in inputs.items()}
        return super()._compute(name, arrays, native)


class _SumsOverRows(toy.ToyServable):
    def _compute(self, name, arrays, inputs):
        result = super()._compute(name, arrays, inputs)
        return result - result.mean(axis=0, keepdims=True) if len(result) else result


class _TalksTooMuch(toy.ToyRuntime):
    def load(self, artifact, options):
        try:
            return super().load(artifact, options)
        except ModelLoadError as error:
            raise ModelLoadError(f"Traceback: {error}\nline 1") from error


class _RaisesItsOwn(toy.ToyRuntime):
    def load(self, artifact, options):
        json.loads(artifact.read("toy.json"))
        return super().load(artifact, options)


@pytest.mark.parametrize(
    ("suite", "law", "extra"),
    [
        (_suite(servable=_AnswersWithItsInput), "run_keeps_no_input_and_answers_with_no_view", ("float32",)),
        (_suite(servable=_ReusesItsBuffer), "run_keeps_no_input_and_answers_with_no_view", ("float32",)),
        (_suite(servable=_AnswersWithEverything), "only_the_outputs_asked_for", ()),
        (_suite(servable=_RunsWhenClosed), "close_can_be_called_again_and_ends_running", ()),
        (_suite(servable=_WidensNothing), "identity_gives_equal_bits", ("float32", 0)),
        (_suite(servable=_LosesTheSignOfZero), "identity_gives_equal_bits", ("float32", 1)),
        (_suite(servable=_TrustsTheBytes), "layouts", ()),
        (_suite(servable=_SumsOverRows), "a_batch_is_its_requests_one_after_the_other", ()),
        (_suite(kind=_TalksTooMuch), "a_load_that_fails_says_why_in_one_line", ()),
        (_suite(kind=_RaisesItsOwn), "a_load_that_fails_says_why_in_one_line", ()),
        (_suite(recognise=lambda self, artifact: "toy"), "recognise_takes_its_own_and_no_others", ()),
        (_suite(estimate_bytes=lambda self, artifact: 0), "estimate_is_positive", ()),
        (_suite(name="two words"), "class_says_what_the_host_needs", ()),
    ],
    ids=lambda value: value.runtime.__name__ if isinstance(value, ToySuite) else None,
)
def test_suite__catches_a_wrong_runtime(suite, law, extra, tmp_path):
    arguments = [DType(item) if isinstance(item, str) else item for item in extra]
    takes_folder = "class_says" not in law
    with pytest.raises((AssertionError, pytest.fail.Exception, ValueError, NaviError)):
        getattr(suite, f"test_{law}")(*arguments, *([tmp_path / "case"] if takes_folder else []))


def test_suite__makes_a_case_for_each_dtype_and_rank(request):
    suite = ToySuite()
    assert len(suite.dtypes) * len(suite.ranks) == sum(
        item.name.startswith("test_identity_gives_equal_bits") and item.cls is TestToyRuntime
        for item in request.session.items
    )
