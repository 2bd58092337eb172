"""From the mapping files to the table that kernels search."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from navi_dr_transform import wire
from navi_dr_transform._accelerate import JIT
from navi_dr_transform._kernels import find
from navi_dr_transform.feature_map import feature_map, freeze
from navi_dr_transform.layout import EMBEDDINGS, Kind
from navi_dr_transform.segdense import read_all_config, read_segdense

TWHIN = (-2550691008059411095, 5390650078733277231, 3223956748566688423)
INT64 = st.integers(-(2**63), 2**63 - 1)


def build(mapping, features=None, embeddings=None, **names):
    return feature_map(
        read_segdense(json.dumps(mapping.segdense(features, embeddings)).encode(), "segdense"),
        read_all_config(json.dumps(mapping.all_config(**names)).encode(), "all_config"),
    )


def search(table, feature_id):
    """Look an id up as the kernels do."""
    find_in_python = find.py_func if JIT else find
    return find_in_python(table, feature_id)


def test_the_example_files_give_the_example_map(mapping, features):
    assert build(mapping) == features


def test_types_say_which_tensor(mapping):
    feature = mapping.feature
    built = build(mapping, {"a": feature(1, 1, 10), "b": feature(2, 2, 20), "c": feature(3, 3, 30)})
    assert built.columns == {1: (Kind.BINARY, 10), 2: (Kind.CONTINUOUS, 20), 3: (Kind.DISCRETE, 30)}


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
    assert build(mapping, entries).columns == {1: (Kind.CONTINUOUS, 3)}


@pytest.mark.parametrize("feature_id", TWHIN)
def test_twhin_ids_have_no_column_whatever_their_type(mapping, feature_id):
    assert build(mapping, {"a": mapping.feature(feature_id, 2, 0)}).columns == {}


def test_embeddings_are_found_by_their_full_name(mapping):
    built = build(
        mapping, embeddings={"x": 10, "y": 11, "user": 12}, author_embedding="y", user_eng_embedding="x"
    )
    assert built.embedding_ids == dict(zip(EMBEDDINGS, (12, 10, 11), strict=True))


def test_an_unknown_embedding_has_the_id_minus_one(mapping):
    built = build(mapping, user_embedding="not there")
    assert built.embedding_ids[Kind.USER_EMBEDDING] == -1


def test_of_embeddings_with_one_name_the_first_counts(mapping):
    document = mapping.segdense(embeddings={"user": 1, "user_eng": 2, "author": 3})
    document["complex_feature_type_transform_spec"].append(mapping.feature(9, 9, 0, name="user"))
    built = feature_map(
        read_segdense(json.dumps(document).encode(), ""),
        read_all_config(json.dumps(mapping.all_config()).encode(), ""),
    )
    assert built.embedding_ids[Kind.USER_EMBEDDING] == 1


def test_columns_outside_their_tensor_are_left_out():
    columns = {
        1: (Kind.CONTINUOUS, 3),
        2: (Kind.CONTINUOUS, 4),
        3: (Kind.BINARY, 0),
        4: (Kind.CONTINUOUS, 2**62),
    }
    table = freeze(columns, {Kind.CONTINUOUS: 4})
    assert search(table, 1) == 3
    assert [search(table, feature_id) for feature_id in (2, 3, 4)] == [-1, -1, -1]


def test_an_empty_table_finds_nothing():
    table = freeze({}, {})
    assert [search(table, feature_id) for feature_id in (-1, 0, 1)] == [-1, -1, -1]


def test_the_table_is_read_only_and_at_most_half_full():
    table = freeze({n: (Kind.BINARY, n) for n in range(1000)}, {Kind.BINARY: 1000})
    assert not table.flags.writeable
    assert len(table) // 2 >= 2000
    assert int(np.sum(table[1::2] >= 0)) == 1000


@given(
    entries=st.dictionaries(INT64, st.tuples(st.sampled_from(list(Kind)[:3]), st.integers(0, 9000))),
    others=st.lists(INT64),
)
def test_every_entry_is_found_and_nothing_else(entries, others):
    table = freeze(entries, dict.fromkeys(Kind, 8000))
    for feature_id in [*entries, *others, -1, 0]:
        kind, column = entries.get(feature_id, (Kind.CONTINUOUS, 9000))
        expected = (kind << wire.KIND_SHIFT) | column if column < 8000 else -1
        assert search(table, feature_id) == expected
