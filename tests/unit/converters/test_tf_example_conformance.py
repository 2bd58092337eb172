"""The shared converter suite over tf_example: every kind of list, defaults, an open size."""

from __future__ import annotations

import numpy as np
import pytest

from navi_core.columns import as_columns
from navi_core.contracts.artifact import Artifact
from navi_core.converters.tf_example.converter import TfExampleConverter
from navi_core.converters.tf_example.options import FeatureOptions, TfExampleOptions
from navi_core.signature import Signature, TensorSpec
from navi_core.tensors import DType
from navi_core.testing.converter import ConverterConformance
from navi_core.wire.tf_serving import Example

INPUTS = {
    "age": (DType.FLOAT32, ()),
    "scores": (DType.FLOAT64, (2, 2)),
    "clicks": (DType.INT32, (3,)),
    "seen": (DType.BOOL, ()),
    "words": (DType.STRING, (2,)),
}
FEATURES = {"scores": FeatureOptions(default=0.5), "words": FeatureOptions(feature="tokens")}


def specs(extra=()):
    return {
        name: TensorSpec(name=name, dtype=dtype, shape=("batch", *row))
        for name, (dtype, row) in {**INPUTS, **dict(extra)}.items()
    }


def example(**features):
    message = Example()
    for name, (kind, values) in features.items():
        getattr(message.features.feature[name], f"{kind}_list").value.extend(values)
    return message.SerializeToString()


def request(*payloads):
    array = np.empty(len(payloads), dtype=object)
    array[:] = payloads
    return {"examples": array}


FULL = {
    "age": ("float", [1.5]),
    "scores": ("float", [1, 2, np.nan, -4]),
    "clicks": ("int64", [-1, 0, 2**31 - 1]),
    "seen": ("int64", [1]),
    "tokens": ("bytes", [b"a", b""]),
    "never asked for": ("float", [9] * 50),
}
SPARE = {
    "age": ("float", [-0.0]),
    "clicks": ("int64", [-(2**31), 300, 7]),
    "seen": ("int64", [0]),
    "tokens": ("bytes", [b"\xff\0", b"word" * 50]),
}


def tensors(*rows):
    columns = {name: [row[name] for row in rows] for name in INPUTS}
    return {
        "age": np.array(columns["age"], np.float32),
        "scores": np.array(columns["scores"], np.float64).reshape(-1, 2, 2),
        "clicks": np.array(columns["clicks"], np.int32),
        "seen": np.array(columns["seen"], np.bool_),
        "words": np.array(columns["words"], dtype=object),
    }


FULL_ROW = {
    "age": 1.5,
    "scores": [1, 2, np.nan, -4],
    "clicks": [-1, 0, 2**31 - 1],
    "seen": True,
    "words": [b"a", b""],
}
SPARE_ROW = {
    "age": -0.0,
    "scores": [0.5] * 4,
    "clicks": [-(2**31), 300, 7],
    "seen": False,
    "words": [b"\xff\0", b"word" * 50],
}


def records(*rows):
    """Return columns that hold these rows, named as the features are; a spare row lacks its scores."""
    named = [{"tokens" if name == "words" else name: value for name, value in row.items()} for row in rows]
    return as_columns([{**row, "scores": None} if row["scores"] == [0.5] * 4 else row for row in named])


class TestTfExample(ConverterConformance):
    plugin_module = "navi_core.plugins.builtin"
    truncation_is_refused = False  # a prefix of a message can be a message

    @pytest.fixture
    def bind(self):
        signature = Signature(inputs=specs(), outputs={}, batchable=True)
        artifact = Artifact(name="m", version=1, files={})
        return lambda: TfExampleConverter().bind(artifact, signature, TfExampleOptions(features=FEATURES))

    @pytest.fixture
    def good_inputs(self):
        full, spare = example(**FULL), example(**SPARE)
        return [request(full), request(spare, full, spare), request(full, full)]

    @pytest.fixture
    def expected(self):
        return [
            tensors(FULL_ROW),
            tensors(SPARE_ROW, FULL_ROW, SPARE_ROW),
            tensors(FULL_ROW, FULL_ROW),
        ]

    @pytest.fixture
    def encoder(self):
        return TfExampleConverter().encoder(TfExampleOptions(features=FEATURES))

    @pytest.fixture
    def columns(self):
        return [records(FULL_ROW), records(SPARE_ROW, FULL_ROW, SPARE_ROW), records(FULL_ROW, FULL_ROW)]


class TestTfExampleOfOpenSize(ConverterConformance):
    """Rows whose size the examples give: requests of different sizes are different batches."""

    truncation_is_refused = False
    payloads_concatenate = False  # the examples of one request are of one size

    @pytest.fixture
    def bind(self):
        inputs = {"x": TensorSpec(name="x", dtype=DType.FLOAT16, shape=("batch", "length", 2))}
        signature = Signature(inputs=inputs, outputs={}, batchable=True)
        artifact = Artifact(name="m", version=1, files={})
        return lambda: TfExampleConverter().bind(artifact, signature, None)

    @pytest.fixture
    def good_inputs(self):
        two, four = (example(x=("float", range(size))) for size in (2, 4))
        return [request(two), request(four, four), request(two, two, two)]

    @pytest.fixture
    def expected(self):
        two = np.arange(2, dtype=np.float16).reshape(1, 1, 2)
        four = np.arange(4, dtype=np.float16).reshape(1, 2, 2)
        return [{"x": two}, {"x": np.repeat(four, 2, axis=0)}, {"x": np.repeat(two, 3, axis=0)}]

    @pytest.fixture
    def encoder(self):
        return TfExampleConverter().encoder(None)

    @pytest.fixture
    def columns(self, expected):
        return expected
