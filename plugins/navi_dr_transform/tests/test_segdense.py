"""The readers of the mapping files, and the JSON schemas that say the same."""

from __future__ import annotations

import copy
import json

import jsonschema
import pytest
from navi_dr_transform.segdense import read_all_config, read_segdense

from navi_core import ModelLoadError

FEATURE = "input_features_map"
DELETE = type("Delete", (), {"__repr__": lambda _: "DELETE"})()  # in the names of tests, the same each time


def changed(document, path, value):
    """Return a copy with the value at ``path`` replaced, or removed."""
    document = copy.deepcopy(document)
    *parents, last = path
    target = document
    for key in parents:
        target = target[key]
    if value is DELETE:
        del target[last]
    else:
        target[last] = value
    return document


BROKEN_SEGDENSE = [
    ((FEATURE, "7", 0, "feature_id"), "7", "$.input_features_map['7'][0].feature_id: expected int, got str"),
    ((FEATURE, "7", 0, "feature_id"), 2**63, "$.input_features_map['7'][0].feature_id: expected int <= "),
    (
        (FEATURE, "7", 0, "feature_id"),
        7.0,
        "$.input_features_map['7'][0].feature_id: expected int, got float",
    ),
    ((FEATURE, "7", 0, "index"), None, "$.input_features_map['7'][0].index: expected int, got null"),
    (
        (FEATURE, "7", 0, "maybe_exclude"),
        0,
        "$.input_features_map['7'][0].maybe_exclude: expected bool, got int",
    ),
    ((FEATURE, "7", 0, "tag"), DELETE, "$.input_features_map['7'][0]: object missing required field tag"),
    ((FEATURE, "7"), [], "$.input_features_map['7']: expected array of length >= 1"),
    ((FEATURE, "7"), {}, "$.input_features_map['7']: expected array, got object"),
    ((FEATURE,), [], "$.input_features_map: expected object, got array"),
    ((FEATURE,), DELETE, "$: object missing required field input_features_map"),
    (("common_prefix",), 1, "$.common_prefix: expected str, got int"),
    (("densification_transform_spec", "string"), DELETE, "$.densification_transform_spec: object missing"),
    (
        ("densification_transform_spec", "cont", "default_value", "value"),
        0.0,
        "cont.default_value.value: expected",
    ),
    (
        ("densification_transform_spec", "cont", "input_features"),
        [1],
        "cont.input_features[0]: expected object",
    ),
    (
        ("identity_transform_spec", 0, "feature_type"),
        "x",
        "$.identity_transform_spec[0].feature_type: expected",
    ),
    (("complex_feature_type_transform_spec", 1, "tensor_shape"), ["x"], "[1].tensor_shape[0]: expected int"),
    (
        ("complex_feature_type_transform_spec", 0, "tensor_data_type"),
        "x",
        "[0].tensor_data_type: expected int",
    ),
]
RENAMED = ("train_data", "seg_dense_schema", "renamed_features")
BROKEN_ALL_CONFIG = [
    ((*RENAMED, "meta__tweet_id"), DELETE, "renamed_features: object missing required field meta__tweet_id"),
    ((*RENAMED, "user_embedding"), None, "renamed_features.user_embedding: expected str, got null"),
    (("train_data",), [], "$.train_data: expected object, got array"),
]


@pytest.fixture(scope="module")
def segdense_schema(specs):
    return json.loads((specs / "segdense" / "segdense_transform_spec.schema.json").read_text())


@pytest.fixture(scope="module")
def all_config_schema(specs):
    return json.loads((specs / "segdense" / "all_config.schema.json").read_text())


def test_good_files_are_read(mapping):
    segdense = read_segdense(json.dumps(mapping.segdense()).encode(), "file")
    assert segdense.input_features_map["-9"].index == 3
    assert [item.feature_id for item in segdense.complex_feature_type_transform_spec] == [-2, -3, -4]
    config = read_all_config(json.dumps(mapping.all_config()).encode(), "file")
    assert config.train_data.seg_dense_schema.renamed_features.user_eng_embedding == "user_eng"


def test_good_files_fit_the_schemas(mapping, segdense_schema, all_config_schema):
    jsonschema.validate(mapping.segdense(), segdense_schema)
    jsonschema.validate(mapping.all_config(), all_config_schema)


def test_keys_that_are_not_listed_are_ignored(mapping, segdense_schema):
    document = changed(mapping.segdense(), (FEATURE, "7", 0, "new_key"), [1])
    document["another"] = {"x": 1}
    assert read_segdense(json.dumps(document).encode(), "file").input_features_map["7"].feature_id == 7
    jsonschema.validate(document, segdense_schema)


def test_optional_keys_of_complex_features(mapping, segdense_schema):
    path = ("complex_feature_type_transform_spec", 0)
    document = changed(mapping.segdense(), (*path, "tensor_data_type"), None)
    document = changed(document, (*path, "tensor_shape"), [200])
    features = read_segdense(json.dumps(document).encode(), "file").complex_feature_type_transform_spec
    assert (features[0].tensor_data_type, features[0].tensor_shape) == (None, [200])
    assert (features[1].tensor_data_type, features[1].tensor_shape) == (None, [])
    jsonschema.validate(document, segdense_schema)


@pytest.mark.parametrize(("path", "value", "text"), BROKEN_SEGDENSE, ids=lambda value: str(value)[:40])
def test_a_broken_segdense_file_is_refused_with_its_path(mapping, segdense_schema, path, value, text):
    document = changed(mapping.segdense(), path, value)
    with pytest.raises(ModelLoadError) as caught:
        read_segdense(json.dumps(document).encode(), "models/m/1/spec.json")
    assert caught.value.message.startswith("models/m/1/spec.json: $")
    assert text in caught.value.message
    # JSON Schema takes 7.0 for an integer; the reader, as Navi's, does not
    if value != 7.0:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, segdense_schema)


@pytest.mark.parametrize(("path", "value", "text"), BROKEN_ALL_CONFIG, ids=lambda value: str(value)[:40])
def test_a_broken_all_config_is_refused_with_its_path(mapping, all_config_schema, path, value, text):
    document = changed(mapping.all_config(), path, value)
    with pytest.raises(ModelLoadError) as caught:
        read_all_config(json.dumps(document).encode(), "all_config.json")
    assert text in caught.value.message
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, all_config_schema)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}x", b"\xff\xfe", b'{"a": "\xff"}', b"[" * 100_000, b"NaN"]
)
def test_what_is_no_json_is_refused(content):
    for read in (read_segdense, read_all_config):
        with pytest.raises(ModelLoadError, match=r"^a file: "):
            read(content, "a file")
