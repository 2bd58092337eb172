"""Columns with names as requests: what ``--encode bpr`` sends."""

from __future__ import annotations

import shutil

import msgspec
import numpy as np
import pytest
from navi_dr_transform._generated.data.ttypes import CompactDataRecord, DataRecord
from navi_dr_transform._generated.prediction_service.ttypes import PredictionRequest
from navi_dr_transform.converter import BprConverter
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.options import BprOptions
from navi_dr_transform.payload_encoder import BprEncoder
from navi_dr_transform.thrift_records import decode_request
from thrift.TSerialization import deserialize

from navi_core import ConfigError, RequestError


def objects(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def records(columns, **said):
    (payload,) = BprEncoder("examples", **said).encode(columns)
    return decode_request(payload).individualFeaturesList


def test_values_say_which_family_a_feature_belongs_to():
    first, second = records(
        {
            "a.flag": np.array([True, False]),
            "discrete:a.count": np.array([3, 4], np.int32),
            "a.score": np.array([0.5, np.nan], np.float32),
            "a.text": objects(b"x", b"y"),
            "a.blob": objects(b"x", b"\xff"),
            "a.words": np.array([[b"x", b"y"], [b"z", b""]], dtype=object),
            "-2": np.array([[1.0, 2.0], [3.0, 4.0]]),
            "a.weights": objects({"us": 0.5, "jp": 2}, None),
            "sparse_continuous:a.others": objects({}, {"us": 1}),
            "sparse_binary:a.countries": objects(np.array([b"us", b"jp"], object), np.array([])),
        }
    )
    assert first.binaryFeatures == {feature_id("a.flag")}
    assert second.binaryFeatures is None
    assert first.discreteFeatures == {feature_id("a.count"): 3}
    assert first.continuousFeatures == {feature_id("a.score"): 0.5}
    assert second.continuousFeatures is None
    assert first.stringFeatures == {feature_id("a.text"): "x"}
    assert second.blobFeatures == {feature_id("a.blob"): b"\xff"}
    assert second.tensors[-2].floatTensor.floats == [3.0, 4.0]
    assert second.tensors[feature_id("a.words")].stringTensor.strings == ["z", ""]
    assert first.sparseContinuousFeatures == {feature_id("a.weights"): {"us": 0.5, "jp": 2.0}}
    assert second.sparseContinuousFeatures == {feature_id("a.others"): {"us": 1.0}}
    assert first.sparseBinaryFeatures == {feature_id("a.countries"): {"us", "jp"}}
    assert second.sparseBinaryFeatures is None


def test_rows_may_lack_values():
    first, second = records(
        {
            "1": objects(None, np.float64(2)),
            "discrete:2": objects(np.int64(7), None),
            "3": objects(np.array([1.0]), None),
            "4": objects(np.bool_(True), None),
            "5": objects(None, None),
        }
    )
    assert first.continuousFeatures is None
    assert second.continuousFeatures == {1: 2.0}
    assert (first.discreteFeatures, first.binaryFeatures) == ({2: 7}, {4})
    assert list(first.tensors) == [3]
    assert second.tensors is None


def test_a_prefix_says_the_family():
    (record,) = records(
        {
            "continuous:1": np.array([3]),
            "binary:2": np.array([1]),
            "tensors:3": np.array([1.5]),
            "a:b": np.array([1.5]),
        }
    )
    assert (record.continuousFeatures[1], record.binaryFeatures) == (3.0, {2})
    assert record.tensors[3].floatTensor.floats == [1.5]
    assert record.continuousFeatures[feature_id("a:b")] == 1.5


def test_payloads_have_other_forms():
    columns = {"7": np.array([1.5, 2.5])}
    payloads = BprEncoder("examples", form="record").encode(columns)
    assert [deserialize(DataRecord(), each).continuousFeatures for each in payloads] == [{7: 1.5}, {7: 2.5}]
    payloads = BprEncoder("examples", form="prediction").encode(columns)
    assert [deserialize(PredictionRequest(), each).features.continuousFeatures for each in payloads] == [
        {7: 1.5},
        {7: 2.5},
    ]
    payloads = BprEncoder("examples", form="record", compact=True).encode(columns)
    assert deserialize(CompactDataRecord(), payloads[1]).continuousFeatures == {7: 0x40200000}


@pytest.mark.parametrize(
    ("name", "column", "text"),
    [
        ("a", np.ones(1, np.complex64), "feature 'a': expected numbers"),
        ("discrete:a", np.full(1, 2**64 - 1, np.uint64), "signed numbers"),
        (
            "a",
            objects({"no": "value"}),
            "sparse_continuous feature 'a': expected mappings from texts to numbers",
        ),
        ("a", np.array([3]), "expected 'continuous:a' or 'discrete:a', or the option encode_version_dir"),
        ("7", objects(np.int64(3), None), "expected 'continuous:7' or 'discrete:7'"),
        ("strings:a", objects({"us": 1.0}), "texts or bytes, got dict"),
        ("binary:a", objects(b"x"), "feature 'a': expected numbers, got bytes"),
        ("continuous:7", np.ones((1, 2)), "columns of single values"),
        ("a", objects(b"x", np.float64(1)), "values of one kind, got"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_by_its_column(name, column, text):
    with pytest.raises(RequestError, match=text) as caught:
        BprEncoder("examples").encode({name: column})
    assert caught.value.tensor == name


def test_a_feature_has_one_column():
    columns = {"7": np.array([1.5]), "continuous:7": np.array([2.5])}
    with pytest.raises(RequestError, match="column 'continuous:7': its feature has another column too"):
        BprEncoder("examples").encode(columns)


# --- with a layout ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def version(mapping, tmp_path_factory):
    """A version's directory: 7 and 8 are continuous, 5 is binary, 20 discrete, -2 the user's embedding."""
    segdense = mapping.segdense()
    segdense["input_features_map"]["8"][0]["full_feature_name"] = "a.score"
    return mapping.write(tmp_path_factory.mktemp("home") / "3", segdense=segdense)


def encoded(columns, **options):
    encoder = BprConverter().encoder(msgspec.convert(options, BprOptions))
    (payload,) = encoder.encode(columns)
    return decode_request(payload).individualFeaturesList


def test_a_layout_says_which_family_a_feature_belongs_to(version):
    columns = {
        "7": np.array([3]),
        "a.score": np.array([True]),
        "5": np.array([1.0]),
        "20": np.array([4.0]),
        "-2": np.array([[1, 2]]),
        "of.no.interest": np.array([9]),
        "discrete:6": np.array([2]),
    }
    (record,) = encoded(columns, encode_version_dir=str(version))
    assert record.continuousFeatures == {7: 3.0, 8: 1.0}  # the name's id is the file's, whatever its hash
    assert record.binaryFeatures == {5}
    assert record.discreteFeatures == {20: 4, feature_id("of.no.interest"): 9, 6: 2}
    assert list(record.tensors) == [-2]
    with pytest.raises(RequestError, match="whole numbers of 64 bits") as caught:
        encoded({"20": np.array([0.5])}, encode_version_dir=str(version))
    assert caught.value.tensor == "20"
    with pytest.raises(RequestError, match="continuous feature '8': expected numbers") as caught:
        encoded({"a.score": objects(b"x")}, encode_version_dir=str(version))
    assert caught.value.tensor == "a.score"


SECTION = {
    "tensors": [
        {"name": "x", "source": "continuous", "features": ["a.one", "a.both"]},
        {"name": "y", "source": "discrete", "features": ["a.both"]},
        {"name": "z", "source": "sparse_binary", "feature": "a.set", "categories": ["us"]},
    ]
}


def test_a_written_layout_needs_no_files():
    columns = {
        "a.one": np.array([3]),
        "a.both": np.array([4]),
        "a.set": np.array([[b"us", b"jp"]], dtype=object),
    }
    (record,) = encoded(columns, layout=SECTION)
    assert record.continuousFeatures == {feature_id("a.one"): 3.0}
    assert record.discreteFeatures == {feature_id("a.both"): 4}
    assert record.sparseBinaryFeatures == {feature_id("a.set"): {"us", "jp"}}
    with pytest.raises(RequestError, match="as continuous and as discrete, which one is meant") as caught:
        encoded({"a.both": np.array([True])}, layout=SECTION)
    assert caught.value.tensor == "a.both"


def test_a_versions_own_options_count_unless_others_are_said(version, tmp_path):
    own = shutil.copytree(version, tmp_path / "3")
    (own / "navi.toml").write_text('[converter_options]\nrequest = "record"\ninput_name = "records"\n')
    encoder = BprConverter().encoder(BprOptions(encode_version_dir=str(own)))
    assert encoder.input_name == "records"
    (payload,) = encoder.encode({"7": np.array([3])})
    assert deserialize(DataRecord(), payload).continuousFeatures == {7: 3.0}
    encoder = BprConverter().encoder(BprOptions(encode_version_dir=str(own), input_name="others"))
    assert encoder.input_name == "others"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path, "expected a version's directory, got"),
        (lambda path: path.mkdir() or path, "encode_version_dir: .*expected the mapping file"),
    ],
)
def test_a_wrong_directory_is_a_configuration_error(tmp_path, make, text):
    with pytest.raises(ConfigError, match=text):
        BprConverter().encoder(BprOptions(encode_version_dir=str(make(tmp_path / "3"))))
