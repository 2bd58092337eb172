"""Layouts from segdense files alone."""

from __future__ import annotations

import json
import math

import pytest
from navi_dr_transform.demo.features import write_mapping_files
from navi_dr_transform.feature_map import Place
from navi_dr_transform.layout import HOME, LayoutTensor, Source
from navi_dr_transform.options import BprOptions
from navi_dr_transform.resolve import resolve_layout
from navi_dr_transform.segdense import read_renamed_features, read_segdense
from navi_dr_transform.segdense_layout import segdense_layout

from navi_core import Artifact, DType, ModelLoadError


def part(tag, feature_type, length, kind="", value=""):
    return {
        "tag": tag,
        "generic_feature_type": feature_type,
        "feature_identifier": tag,
        "fixed_length": length,
        "default_value": {"type": kind, "value": value},
        "input_features": [],
    }


def feature(feature_id, feature_type, index, name=None, **more):
    return {
        "feature_id": feature_id,
        "full_feature_name": name or f"feature {feature_id}",
        "feature_type": feature_type,
        "index": index,
        "maybe_exclude": False,
        "tag": "t",
        "added_at": 0,
        **more,
    }


def document(**changes):
    """Return a segdense file of a model that is not the home timeline's."""
    parts = {
        "cont": part("ads_cont", 2, 4, "double", "-1.5"),
        "binary": part("ads_binary", 1, 3, "int", "0"),
        "discrete": part("ads_discrete", 3, 2, "long", "-7"),
        "string": part("ads_string", 4, 2, "string", "none"),
        "blob": part("ads_blob", 8, 0),
    }
    return {
        "common_prefix": "ads",
        "densification_transform_spec": {**parts, **changes.get("parts", {})},
        "identity_transform_spec": changes.get("identity", []),
        "complex_feature_type_transform_spec": changes.get("complex", []),
        "input_features_map": {
            str(each["feature_id"]): [each]
            for each in changes.get(
                "features", [feature(1, 2, 3), feature(2, 1, 0), feature(3, 3, 1), feature(4, 4, 1)]
            )
        },
    }


def build(renamed=None, widths=None, **changes):
    content = json.dumps(document(**changes)).encode()
    return segdense_layout(read_segdense(content, "s.json"), renamed or {}, widths or {}, "s.json")


def test_names_types_widths_and_defaults_are_the_files():
    resolved = build()
    assert resolved.layout.tensors == (
        LayoutTensor("ads_cont", DType.FLOAT64, 4, Source.CONTINUOUS, -1.5),
        LayoutTensor("ads_binary", DType.INT32, 3, Source.BINARY, 0),
        LayoutTensor("ads_discrete", DType.INT64, 2, Source.DISCRETE, -7),
        LayoutTensor("ads_string", DType.STRING, 2, Source.STRING, b"none"),
    )
    assert resolved.features.columns == {
        (Source.CONTINUOUS, 1): (Place(0, 3),),
        (Source.BINARY, 2): (Place(1, 0),),
        (Source.DISCRETE, 3): (Place(2, 1),),
        (Source.STRING, 4): (Place(3, 1),),
    }
    assert resolved.layout.positions == {4: (0, 1, 2, 3)}
    assert resolved.names == {number: f"feature {number}" for number in (1, 2, 3, 4)}


def test_a_part_takes_the_feature_type_that_it_says():
    """``discrete`` may hold another part's features: the type counts, not the key."""
    resolved = build(parts={"discrete": part("d", 2, 5), "cont": part("c", 3, 2)})
    sources = {tensor.name: tensor.source for tensor in resolved.layout.tensors}
    assert (sources["d"], sources["c"]) == (Source.CONTINUOUS, Source.DISCRETE)
    assert resolved.features.columns[Source.CONTINUOUS, 1] == (Place(2, 3),)


def test_what_a_file_leaves_open_is_the_sources_usual():
    empty = {name: part(name, kind, 2) for name, kind in (("cont", 2), ("binary", 1), ("discrete", 3))}
    resolved = build(parts={**empty, "string": None}, features=[])
    tensors = resolved.layout.tensors
    assert [tensor.dtype for tensor in tensors] == [DType.FLOAT32, DType.INT64, DType.INT64]
    assert math.isnan(tensors[0].default)
    assert [tensor.default for tensor in tensors[1:]] == [0, 0]


def test_without_a_length_a_tensor_is_as_wide_as_its_features_need():
    resolved = build(
        parts={"cont": part("c", 2, -1), "binary": part("b", 1, 0)}, features=[feature(1, 2, 41)]
    )
    assert {tensor.name: tensor.width for tensor in resolved.layout.tensors}["c"] == 42
    assert "b" not in {tensor.name for tensor in resolved.layout.tensors}


def test_complex_features_are_rows_of_any_width_and_number():
    complex_features = [
        feature(20, 9, 0, "user.vector", tensor_data_type=0, tensor_shape=[64]),
        feature(21, 9, 0, "author.vector", tensor_data_type=3, tensor_shape=[2, 3]),
        feature(22, 10, 0, "topics", tensor_data_type=1),
        feature(23, 9, 0, "texts", tensor_data_type=5, tensor_shape=[4]),
        feature(24, 9, 0, "left.out", tensor_shape=[4], maybe_exclude=True),
        feature(25, 9, 0, "user.vector", tensor_shape=[7]),
    ]
    resolved = build(complex=complex_features)
    assert resolved.layout.tensors[4:] == (
        LayoutTensor("user.vector", DType.FLOAT32, 64, Source.TENSOR, 0),
        LayoutTensor("author.vector", DType.INT64, 6, Source.TENSOR, 0),
        LayoutTensor("topics", DType.FLOAT64, 0, Source.TENSOR, 0),
    )
    assert resolved.features.embeddings == {4: 20, 5: 21, 6: 22}
    assert build(complex=complex_features, widths={"topics": 9}).layout.tensors[6].width == 9


def test_identity_features_are_tensors_of_one_column():
    identity = [
        {"feature_id": 30, "full_feature_name": "meta.author_id", "feature_type": 3},
        {"feature_id": 31, "full_feature_name": "unknown", "feature_type": 7},
    ]
    resolved = build({"meta__author_id": "meta.author_id"}, identity=identity)
    assert resolved.layout.tensors[4:] == (
        LayoutTensor("meta__author_id", DType.INT64, 1, Source.DISCRETE, 0),
    )
    assert resolved.features.columns[Source.DISCRETE, 30] == (Place(4, 0),)
    # inputs by position are the model's dense ones
    assert list(resolved.layout.positions) == [4]


def test_renames_are_those_of_all_config():
    config = {
        "train_data": {
            "seg_dense_schema": {
                "renamed_features": {
                    "continuous": "ads_cont",
                    "binary": "ads_binary__segdense_vals",
                    "user": "user.vector",
                }
            }
        }
    }
    renamed = read_renamed_features(json.dumps(config).encode(), "a.json")
    embedding = feature(20, 9, 0, "user.vector", tensor_shape=[64])
    resolved = build(renamed, complex=[embedding], parts={"binary": part("", 1, 3)})
    assert [tensor.name for tensor in resolved.layout.tensors] == [
        "continuous",
        "binary",
        "ads_discrete",
        "ads_string",
        "user",
    ]


@pytest.mark.parametrize(
    "content", [b"{}", b'{"train_data": {}}', b'{"train_data": {"seg_dense_schema": {}}}']
)
def test_a_config_without_renames_has_none(content):
    assert read_renamed_features(content, "a.json") == {}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"parts": {"cont": part("c", 2, 4, "double", "one")}},
            r"s.json: \$.densification_transform_spec.cont.default_value.value: expected the text of a float64, got 'one'",
        ),
        (
            {"parts": {"binary": part("b", 1, 4, "int", "3000000000")}},
            r"binary.default_value.value: expected an integer from -2147483648 to 2147483647, which int32 holds",
        ),
        (
            {"parts": {"discrete": part("d", 3, 4, "lnog", "0")}},
            r"discrete.default_value.type: expected one of .*, got 'lnog'; did you mean 'long'\?",
        ),
        (
            {"parts": {"cont": part("c", 2, 4, "string", "")}},
            r"cont.default_value.type: expected a type of continuous features \(float32, float64\), got 'string'",
        ),
        (
            {"parts": {"cont": part("c", 5, 4)}},
            r"cont.generic_feature_type: expected one of 1 \(binary\), .*, got 5",
        ),
        (
            {"parts": {"discrete": part("d", 2, 4)}},
            r"discrete.generic_feature_type: expected another type than that of 'cont', got 2",
        ),
        (
            {"features": [feature(1, 2, 4)]},
            r"\$.input_features_map\['1'\]\[0\].index: expected a column below 4, which 'ads_cont' has .*, got 4; option 'widths'",
        ),
        (
            {"parts": {"binary": part("ads_cont", 1, 4)}},
            r"binary: expected another name than 'ads_cont', which another tensor has",
        ),
        (
            {"complex": [feature(20, 9, 0, "v", tensor_shape=[64, -1])]},
            r"\$.complex_feature_type_transform_spec\[0\].tensor_shape: expected sizes of at least 1 .*got \[64, -1\]",
        ),
        ({"parts": {"cont": part("c", 2, 2**40)}}, r"cont.fixed_length: expected at most 16777216"),
        ({"parts": {"string": {"fixed_length": 3}}}, r"densification_transform_spec.string: .*missing"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_with_its_path(changes, text):
    with pytest.raises(ModelLoadError, match=text):
        build(**changes)


def test_widths_of_the_options_win_over_the_files():
    resolved = build(features=[feature(1, 2, 4)], widths={"ads_cont": 5})
    assert resolved.layout.tensors[0].width == 5


def test_of_one_id_the_key_that_sorts_last_counts():
    content = document()
    content["input_features_map"] = {"z": [feature(1, 2, 3)], "a": [feature(1, 1, 2)]}
    resolved = segdense_layout(read_segdense(json.dumps(content).encode(), ""), {}, {}, "")
    assert resolved.features.columns == {(Source.CONTINUOUS, 1): (Place(0, 3),)}


def test_the_home_timelines_files_describe_the_home_layout(tmp_path):
    """What Navi has in its code stands in the files too: names by renames, widths, places and embeddings."""
    write_mapping_files(tmp_path)
    artifact = Artifact(name="home", version=1, path=tmp_path)
    home, read = (resolve_layout(artifact, BprOptions(layout=name)) for name in ("home", "segdense"))
    assert [repr(tensor) for tensor in read.layout.tensors] == [repr(tensor) for tensor in HOME.tensors]
    assert read.features == home.features
    assert read.names == home.names
    assert read.layout.positions == {6: tuple(range(6))}
