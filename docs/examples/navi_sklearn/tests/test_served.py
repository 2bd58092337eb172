"""Models that people have: trained, stored, served, and compared with what scikit-learn itself says."""

from pathlib import Path

import numpy as np
import pytest
import skops.io
from navi_sklearn.plugin import MODEL_FILE, SAMPLE_FILE, SklearnRuntime
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from navi_core import Artifact, Host, HostConfig, LoadOptions, ModelConfig, ModelLoadError, RequestError

X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
X[:, 3] = np.arange(300) % 3 + 5  # a category: 5, 6 or 7
LIKED = X[:, 0] + X[:, 3] > 6
WORDS = np.array(["skip", "see", "like"])[X[:, 3].astype(int) - 5]

COLUMNS = ColumnTransformer([("numbers", StandardScaler(), [0, 1, 2]), ("category", OneHotEncoder(), [3])])
MODELS = {
    "pipeline": make_pipeline(COLUMNS, LogisticRegression()).fit(X, WORDS),
    "boosting": HistGradientBoostingClassifier(max_iter=10).fit(X, LIKED),
    "forest": RandomForestRegressor(10, n_jobs=-1).fit(X, X[:, :2]),
    "vectors": make_pipeline(StandardScaler(), SVC()).fit(X, LIKED),
    "clusters": KMeans(3, n_init=1).fit(X),
    "mixture": GaussianMixture(2).fit(X),
    "targets": RandomForestClassifier(3).fit(X, np.stack([LIKED, ~LIKED], axis=1)),
}
METHODS = {
    "prediction": "predict",
    "probabilities": "predict_proba",
    "scores": "decision_function",
    "transformed": "transform",
}
OUTPUTS = {
    "pipeline": {"prediction", "probabilities", "scores"},
    "boosting": {"prediction", "probabilities", "scores"},
    "forest": {"prediction"},
    "vectors": {"prediction", "scores"},
    "clusters": {"prediction", "transformed"},
    "mixture": {"prediction", "probabilities"},
    "targets": {"prediction"},
}


def store(model_dir, estimator):
    folder = model_dir / "1"
    folder.mkdir(parents=True)
    skops.io.dump(estimator, folder / MODEL_FILE)
    np.save(folder / SAMPLE_FILE, X[:1])
    return ModelConfig(path=str(model_dir), stable_ms=0)


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_the_estimator(name, tmp_path):
    estimator = MODELS[name]
    with Host(HostConfig(models=(store(tmp_path / name, estimator),))) as host:
        for rows in (X, X[:1], X[:0]):
            answer = host.predict(name, {"x": rows})
            assert set(answer) == OUTPUTS[name]
            for output, got in answer.items():
                want = getattr(estimator, METHODS[output])(rows) if len(rows) else got[:0]
                if got.dtype == object:
                    assert [item.decode() for item in got] == list(want)
                else:
                    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_values_that_the_estimator_refuses_are_the_callers_fault(tmp_path):
    bad = X[:2].copy()
    bad[1, 0] = np.nan
    with Host(HostConfig(models=(store(tmp_path / "m", MODELS["pipeline"]),))) as host:
        with pytest.raises(RequestError, match="NaN"):
            host.predict("m", {"x": bad})
        unseen = X[:1].copy()
        unseen[0, 3] = 1
        with pytest.raises(RequestError, match="unknown categories"):
            host.predict("m", {"x": unseen})
        assert len((host.predict("m", {"x": X[:5]}))["prediction"]) == 5


def test_the_model_of_the_readme(tmp_path, monkeypatch):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    folder = tmp_path / "iris" / "1"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    exec(readme.partition("```python\n")[2].partition("```")[0], {})
    model = ModelConfig(path=str(tmp_path / "iris"), stable_ms=0)
    with Host(HostConfig(models=(model,))) as host:
        answer = host.predict("iris", {"x": np.array([[5.1, 3.5, 1.4, 0.2]])})
    assert answer["prediction"].tolist() == [0]
    assert answer["probabilities"][0, 0] > 0.9


def load(path, **options):
    return SklearnRuntime().load(Artifact(name="m", version=1, path=path), LoadOptions(**options))


def test_the_columns_of_probabilities_are_told(tmp_path):
    store(tmp_path, MODELS["pipeline"])
    assert load(tmp_path / "1").notes == ("columns of 'probabilities': like, see, skip",)


def test_an_estimator_gets_no_threads_of_its_own(tmp_path):
    store(tmp_path, MODELS["forest"])
    assert load(tmp_path / "1")._estimator.n_jobs == 1
    assert load(tmp_path / "1", intra_op_threads=2)._estimator.n_jobs == 2


def test_the_sample_says_what_clients_send(tmp_path):
    store(tmp_path, MODELS["boosting"])
    for rows, dtype in ((X, "float32"), (X.astype(">f8"), "float64"), (X.astype(np.int16), "int16")):
        np.save(tmp_path / "1" / SAMPLE_FILE, rows)
        [spec] = load(tmp_path / "1").signatures["serving_default"].inputs.values()
        assert (spec.dtype, spec.shape) == (dtype, ("rows", 4))
    (tmp_path / "1" / SAMPLE_FILE).unlink()
    [spec] = load(tmp_path / "1").signatures["serving_default"].inputs.values()
    assert spec.dtype == "float32"


@pytest.mark.parametrize("rows", [X[:, :3], X[0], X.astype(str), np.array([[None] * 4]), X[:0]])
def test_a_sample_that_does_not_fit_is_refused(rows, tmp_path):
    store(tmp_path, MODELS["boosting"])
    np.save(tmp_path / "1" / SAMPLE_FILE, rows, allow_pickle=True)
    with pytest.raises(ModelLoadError, match="cannot be served"):
        load(tmp_path / "1")


class Stranger(LogisticRegression):
    """A class that nobody vouched for."""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (Stranger().fit(X, LIKED), "Stranger"),
        ({"a": "dict"}, "n_features_in_"),
        (LogisticRegression(), "n_features_in_"),
        (DBSCAN().fit(X), "the model has \\[\\], expected some"),
    ],
)
def test_what_is_no_fitted_estimator_of_known_types_is_refused(content, words, tmp_path):
    store(tmp_path, content)
    with pytest.raises(ModelLoadError, match=words):
        load(tmp_path / "1")


def test_pickles_are_not_even_looked_at(tmp_path):
    (tmp_path / "model.pkl").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert SklearnRuntime().recognise(Artifact(name="m", version=1, path=tmp_path)) is None
