"""A fitted estimator: loaded from a skops file, tried out, run."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import skops.io

import navi_core as navi
from navi_core import DEFAULT_SIGNATURE, Array, ModelLoadError, TensorSpec
from navi_sklearn.plugin import MODEL_FILE, SAMPLE_FILE

METHODS = {
    "prediction": "predict",
    "probabilities": "predict_proba",
    "scores": "decision_function",
    "transformed": "transform",
}

# Beside what skops trusts: arrays of nodes, no code. No option of the model: its navi.toml may come with it.
TRUSTED = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor", "sklearn.tree._tree.Tree"]


def load_servable(artifact: navi.Artifact, options: navi.LoadOptions) -> navi.Servable:
    """Load and try out an estimator; raises ModelLoadError."""
    try:
        estimator = skops.io.loads(artifact.read(MODEL_FILE), trusted=TRUSTED)
        rows = _sample(artifact, int(estimator.n_features_in_))
        # a server has its threads in its requests: an estimator's own would fight with them
        jobs = [name for name in estimator.get_params() if name.rpartition("__")[2] == "n_jobs"]
        estimator.set_params(**dict.fromkeys(jobs, options.intra_op_threads or 1))
        inputs = {"x": TensorSpec(name="x", dtype=navi.dtype_of(rows), shape=("rows", rows.shape[1]))}
        outputs = dict(_try_out(estimator, rows))
        _check_names("inputs", options.inputs, inputs)
        _check_names("outputs", options.outputs, outputs)
    except Exception as error:  # a file that is damaged, forged or of another version fails in any way
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        text = f"model '{artifact.name}': {MODEL_FILE} cannot be served: {reason}"
        raise ModelLoadError(text, model=artifact.name, version=artifact.version) from error
    outputs = {name: outputs[name] for name in options.outputs or outputs}
    signature = navi.Signature(inputs=inputs, outputs=outputs, batchable=True)
    return SklearnServable(estimator, signature, rows, artifact.name)


def _sample(artifact: navi.Artifact, width: int) -> Array:
    """Return some rows that the estimator can do with: those that lie beside it, or zeros."""
    if not artifact.has(SAMPLE_FILE):
        return np.zeros((1, width), np.float32)
    rows: Array = np.load(io.BytesIO(artifact.read(SAMPLE_FILE)), allow_pickle=False)
    if rows.ndim != 2 or rows.shape[1] != width or rows.dtype.kind not in "biuf":
        raise ValueError(f"{SAMPLE_FILE}: expected numbers, (any, {width}), got {rows.dtype}, {rows.shape}")
    return rows[:2].astype(rows.dtype.newbyteorder("="))


def _check_names(role: str, wanted: Sequence[str], known: Mapping[str, TensorSpec]) -> None:
    if not known or not set(wanted) <= set(known):
        raise ValueError(f"{role}: the model has {list(known)}, expected {list(wanted) or 'some'}")


def _try_out(estimator: Any, x: Array) -> Iterator[tuple[str, TensorSpec]]:
    """Yield what the estimator answers with one row for each row."""
    for name, method in METHODS.items():
        answer = _answer(estimator, name, x) if hasattr(estimator, method) else x[:0]
        if len(answer) == len(x):
            shape = ("rows", *answer.shape[1:])
            yield name, TensorSpec(name=name, dtype=navi.dtype_of(answer), shape=shape)


def _answer(estimator: Any, name: str, x: Array) -> Array:
    answer = getattr(estimator, METHODS[name])(x)
    if isinstance(answer, list):  # of several targets: an array for each
        return x[:0]
    answer = answer.toarray() if hasattr(answer, "toarray") else np.array(answer)  # never x itself
    return navi.string_array(answer) if answer.dtype.kind in "OU" else answer


class SklearnServable(navi.Servable):
    """Runs side by side on any threads: fitted estimators are not changed by what they are asked."""

    def __init__(self, estimator: Any, signature: navi.Signature, sample: Array, model: str) -> None:
        self.signatures = {DEFAULT_SIGNATURE: signature}
        self._estimator, self._sample, self._model = estimator, sample, model
        if "probabilities" in signature.outputs and hasattr(estimator, "classes_"):
            self.notes = (f"columns of 'probabilities': {', '.join(map(str, estimator.classes_))}",)

    def run(
        self, signature: str, inputs: navi.NamedArrays, outputs: Sequence[str], ctx: navi.RunContext
    ) -> dict[str, Array]:
        """Call a method for each output; values that the estimator refuses are a RequestError."""
        del ctx  # estimators make their own arrays
        estimator, specs = self._estimator, self.signatures[signature]
        if estimator is None:
            raise navi.LifecycleError(f"model '{self._model}' was run after it was closed")
        navi.check_inputs(specs, inputs, model=self._model, signature_name=signature)
        x = np.require(inputs["x"], self._sample.dtype, ["C", "A"])
        rows = x if len(x) else self._sample  # it wants at least one
        try:
            return {name: _answer(estimator, name, rows)[: len(x)] for name in outputs}
        except ValueError as error:  # NaN where it knows none, a category that it has not seen...
            reason = str(error).partition("\n")[0]
            raise navi.RequestError(f"model '{self._model}': {reason}", model=self._model) from error
        except Exception as error:
            raise navi.InferenceError(f"model '{self._model}': {error!r:.200}", model=self._model) from error

    def close(self) -> None:
        """Let the estimator go."""
        self._estimator = None
