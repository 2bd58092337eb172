"""A small, right runtime: a JSON file names one of three formulas, NumPy computes them."""

from __future__ import annotations

import json

import msgspec
import numpy as np

from navi_core.contracts.runtime import Runtime, Servable
from navi_core.errors import InferenceError, LifecycleError, ModelLoadError
from navi_core.signature import DEFAULT_SIGNATURE, Signature, TensorSpec, why_not_batchable
from navi_core.tensors import DType


class ToyServable(Servable):
    def __init__(self, model):
        self._model = model
        specs = {
            role: {
                name: TensorSpec(name=name, dtype=DType(model["dtype"]), shape=tuple(model["shape"]))
                for name in model[role]
            }
            for role in ("inputs", "outputs")
        }
        why_not = why_not_batchable(**specs)
        self.signatures = {
            DEFAULT_SIGNATURE: Signature(**specs, batchable=not why_not, not_batchable_because=why_not)
        }

    def run(self, signature, inputs, outputs, ctx):
        if self._model is None:
            raise LifecycleError("closed")
        arrays = list(inputs.values())
        width = self._model["shape"][-1] if self._model["shape"] else None
        if isinstance(width, int) and any(array.shape[-1] != width for array in arrays):
            raise InferenceError("wrong width")
        return {name: self._compute(name, arrays, inputs) for name in outputs}

    def _compute(self, name, arrays, inputs):
        if name == "sum":
            return (inputs["a"] + inputs["b"]).astype(np.float32)
        if name == "difference":
            return (inputs["a"] - inputs["b"]).astype(np.float32)
        if name == "twice":
            return 2 * arrays[0]
        return np.array(arrays[0], copy=True)

    def close(self):
        self._model = None


class ToyOptions(msgspec.Struct, forbid_unknown_fields=True):
    speed: int = 1


class ToyRuntime(Runtime):
    name = "toy"
    options_type = ToyOptions
    servable = ToyServable

    def recognise(self, artifact):
        return "toy" if artifact.path and artifact.path.is_dir() and artifact.has("toy.json") else None

    def load(self, artifact, options):
        try:
            model = json.loads(artifact.read("toy.json"))
        except (OSError, ValueError) as error:
            raise ModelLoadError(f"toy.json: {type(error).__name__}") from error
        for role in ("inputs", "outputs"):
            wanted = getattr(options, role)
            for name in wanted:
                if name not in model[role]:
                    raise ModelLoadError(f"{role}: expected some of {model[role]}, got '{name}'")
            model[role] = list(wanted) or model[role]
        return self.servable(model)
