"""The laws that every runtime of navi keeps, tried on estimators."""

import numpy as np
import pytest
import skops.io
from navi_sklearn.plugin import MODEL_FILE, SAMPLE_FILE, SklearnRuntime
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from navi_core import Artifact, DType
from navi_core.testing import RuntimeConformance

X = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
CLASSIFIER = LogisticRegression().fit(X, X.sum(axis=1) > 0)


class TestSklearnRuntime(RuntimeConformance):
    """An estimator takes one table of numbers and has no sums: a classifier stands in the pair's place."""

    plugin_module = "navi_sklearn.plugin"
    heavy_modules = ("sklearn", "skops", "scipy")
    dtypes = tuple(map(DType, ("bool", "int8", "uint16", "int32", "int64", "float32", "float64")))
    ranks = (2,)
    pair_inputs = ("x",)
    pair_outputs = ("prediction", "probabilities", "scores")

    def make_runtime(self):
        return SklearnRuntime()

    def identity_model(self, dtype, rank, folder):
        artifact = store(FunctionTransformer().fit(X), folder)
        np.save(folder / SAMPLE_FILE, np.zeros((1, 3), dtype.value))
        return artifact

    def pair_model(self, folder):
        return store(CLASSIFIER, folder)

    def pair_answer(self, x):
        rows = x if len(x) else np.zeros((1, 3), np.float32)
        methods = CLASSIFIER.predict, CLASSIFIER.predict_proba, CLASSIFIER.decision_function
        return [method(rows)[: len(x)] for method in methods]

    def fixed_model(self, folder):
        pytest.skip("an estimator takes any number of rows")

    def corrupt_model(self, folder):
        artifact = self.pair_model(folder)
        whole = (folder / MODEL_FILE).read_bytes()
        (folder / MODEL_FILE).write_bytes(whole[:-30])
        return artifact


def store(estimator, folder):
    folder.mkdir(parents=True, exist_ok=True)
    skops.io.dump(estimator, folder / MODEL_FILE)
    return Artifact(name="model", version=1, path=folder)
