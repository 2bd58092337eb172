"""TensorFlow's own files and rules: record files that it writes, and examples that it parses."""

from __future__ import annotations

import io

import numpy as np
import pytest

from navi_core.contracts.artifact import Artifact
from navi_core.converters.tf_example.converter import TfExampleConverter
from navi_core.converters.tf_example.options import FeatureOptions, TfExampleOptions
from navi_core.errors import DecodeError
from navi_core.signature import Signature, TensorSpec
from navi_core.tensors import DType, numpy_dtype
from navi_core.testing.recorded_requests import tf_records
from navi_core.wire.tf_record import read_records

# TensorFlow and its dependencies warn at import about one another
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow", reason="TensorFlow is not installed")


def test_record_files(tf, tmp_path):
    contents = [np.random.default_rng(size).bytes(size) for size in (0, 1, 100, 2048, 2049, 70_000)]
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for content in contents:
            writer.write(content)
    written = (tmp_path / "theirs").read_bytes()
    assert (tf_records(contents) == written) is True
    assert (list(read_records(io.BytesIO(written), len(written))) == contents) is True


ROWS = {
    "f": (DType.FLOAT32, (2, 3)),
    "i": (DType.INT64, ()),
    "s": (DType.STRING, (2,)),
    "d": (DType.INT64, (2,)),
}
DEFAULTS = {"s": ["a", "b"], "d": [7, -7]}
KINDS = {DType.FLOAT32: "float_list", DType.INT64: "int64_list", DType.STRING: "bytes_list"}


@pytest.fixture(scope="module")
def bound():
    inputs = {
        name: TensorSpec(name=name, dtype=dtype, shape=("n", *row)) for name, (dtype, row) in ROWS.items()
    }
    said = {name: FeatureOptions(default=tuple(value)) for name, value in DEFAULTS.items()}
    signature = Signature(inputs=inputs, outputs={}, batchable=True)
    artifact = Artifact(name="m", version=1, files={})
    return TfExampleConverter().bind(artifact, signature, TfExampleOptions(features=said))


def ours(bound, examples):
    payloads = np.empty(len(examples), dtype=object)
    payloads[:] = examples
    plan = bound.plan({"examples": payloads})
    out = {
        name: np.empty((len(examples), *row.shape), numpy_dtype(row.dtype)) for name, row in plan.rows.items()
    }
    bound.fill(plan, out)
    return out


def theirs(tf, examples):
    kinds = {DType.FLOAT32: tf.float32, DType.INT64: tf.int64, DType.STRING: tf.string}
    features = {
        name: tf.io.FixedLenFeature(row, kinds[dtype], DEFAULTS.get(name))
        for name, (dtype, row) in ROWS.items()
    }
    return {
        name: value.numpy() for name, value in tf.io.parse_example(tf.constant(examples), features).items()
    }


def example(tf, random, *, spoil=None):
    """One with every feature of ROWS, now and then without those that have a default; or with one spoilt."""
    made = tf.train.Example()
    for name, (dtype, row) in ROWS.items():
        feature = made.features.feature[name]
        count = int(np.prod(row, dtype=int))
        if name in DEFAULTS and name != spoil and random.random() < 0.4:
            if random.random() < 0.5:
                del made.features.feature[name]
            continue
        if name == spoil:
            count += int(random.choice([-1, 1]))
        values = {
            DType.FLOAT32: lambda n: random.normal(size=n).tolist(),
            DType.INT64: lambda n: random.integers(-(2**63), 2**63, size=n).tolist(),
            DType.STRING: lambda n: [random.bytes(int(random.integers(300))) for _ in range(n)],
        }[dtype](count)
        getattr(feature, KINDS[dtype]).value.extend(values)
        getattr(feature, KINDS[dtype]).SetInParent()
    return made.SerializeToString()


@pytest.mark.parametrize("seed", range(10))
def test_examples_become_what_tensorflow_makes_of_them(tf, bound, seed):
    random = np.random.default_rng(seed)
    examples = [example(tf, random) for _ in range(5)]
    found, expected = ours(bound, examples), theirs(tf, examples)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("name", ROWS)
def test_what_tensorflow_refuses_is_refused(tf, bound, name):
    random = np.random.default_rng(3)
    examples = [example(tf, random), example(tf, random, spoil=name)]
    with pytest.raises(tf.errors.InvalidArgumentError):
        theirs(tf, examples)
    with pytest.raises(DecodeError, match=rf"feature '{name}': .* \(at payload 1\)"):
        ours(bound, examples)
