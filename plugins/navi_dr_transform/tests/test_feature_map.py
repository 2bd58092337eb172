"""From the home layout's mapping files to its feature map."""

from __future__ import annotations

import json

import pytest
from navi_dr_transform.feature_map import Place, home_feature_map
from navi_dr_transform.layout import HOME_EMBEDDINGS, HomeTensor, Source
from navi_dr_transform.segdense import read_all_config, read_segdense

TWHIN = (-2550691008059411095, 5390650078733277231, 3223956748566688423)


def build(mapping, features=None, embeddings=None, **names):
    return home_feature_map(
        read_segdense(json.dumps(mapping.segdense(features, embeddings)).encode(), "segdense"),
        read_all_config(json.dumps(mapping.all_config(**names)).encode(), "all_config"),
    )


def test_the_example_files_give_the_example_map(mapping, features):
    assert build(mapping) == features


def test_types_say_which_tensor(mapping):
    feature = mapping.feature
    built = build(mapping, {"a": feature(1, 1, 10), "b": feature(2, 2, 20), "c": feature(3, 3, 30)})
    assert built.columns == {
        (Source.BINARY, 1): (Place(HomeTensor.BINARY, 10),),
        (Source.CONTINUOUS, 2): (Place(HomeTensor.CONTINUOUS, 20),),
        (Source.DISCRETE, 3): (Place(HomeTensor.DISCRETE, 30),),
    }


@pytest.mark.parametrize("feature_type", [0, 4, 5, 9, 10, -1, 2**40])
def test_other_types_have_no_column(mapping, feature_type):
    assert build(mapping, {"a": mapping.feature(1, feature_type, 0)}).columns == {}


def test_excluded_features_and_negative_indices_have_no_column(mapping):
    feature = mapping.feature
    built = build(mapping, {"a": feature(1, 1, 0, exclude=True), "b": feature(2, 2, -1)})
    assert built.columns == {}


def test_of_one_id_the_key_that_sorts_last_counts(mapping):
    feature = mapping.feature
    entries = {"z": feature(1, 2, 3), "a": feature(1, 1, 4), "zz": feature(1, 3, 5, exclude=True)}
    assert build(mapping, entries).columns == {(Source.CONTINUOUS, 1): (Place(HomeTensor.CONTINUOUS, 3),)}


@pytest.mark.parametrize("feature_id", TWHIN)
def test_twhin_ids_have_no_column_whatever_their_type(mapping, feature_id):
    assert build(mapping, {"a": mapping.feature(feature_id, 2, 0)}).columns == {}


def test_embeddings_are_found_by_their_full_name(mapping):
    built = build(
        mapping, embeddings={"x": 10, "y": 11, "user": 12}, author_embedding="y", user_eng_embedding="x"
    )
    assert built.embeddings == dict(zip(HOME_EMBEDDINGS, (12, 10, 11), strict=True))


def test_an_unknown_embedding_has_the_id_minus_one(mapping):
    built = build(mapping, user_embedding="not there")
    assert built.embeddings[HomeTensor.USER_EMBEDDING] == -1


def test_of_embeddings_with_one_name_the_first_counts(mapping):
    document = mapping.segdense(embeddings={"user": 1, "user_eng": 2, "author": 3})
    document["complex_feature_type_transform_spec"].append(mapping.feature(9, 9, 0, name="user"))
    built = home_feature_map(
        read_segdense(json.dumps(document).encode(), ""),
        read_all_config(json.dumps(mapping.all_config()).encode(), ""),
    )
    assert built.embeddings[HomeTensor.USER_EMBEDDING] == 1
