"""Columns -> examples: which list a column becomes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.columns import as_columns
from navi_core.converters.tf_example.converter import TfExampleConverter
from navi_core.converters.tf_example.options import FeatureOptions, TfExampleOptions
from navi_core.errors import RequestError
from navi_core.wire.tf_serving import Example


def encoder(**features):
    return TfExampleConverter().encoder(TfExampleOptions(features=features))


def features(payload):
    """Return name -> (kind, values) of an example."""
    found = {}
    for name, feature in Example.FromString(payload).features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = (kind, list(getattr(feature, kind).value) if kind else [])
    return found


def encoded(records, **said):
    return [features(payload) for payload in encoder(**said).encode(as_columns(records))]


def test_each_row_is_an_example():
    rows = [
        {"age": 31, "scores": [0.5, -1], "country": "is", "seen": True},
        {"age": 40, "scores": [1, 2], "country": b"\xff\0", "seen": False},
    ]
    assert encoded(rows) == [
        {
            "age": ("int64_list", [31]),
            "scores": ("float_list", [0.5, -1]),
            "country": ("bytes_list", [b"is"]),
            "seen": ("int64_list", [1]),
        },
        {
            "age": ("int64_list", [40]),
            "scores": ("float_list", [1, 2]),
            "country": ("bytes_list", [b"\xff\0"]),
            "seen": ("int64_list", [0]),
        },
    ]


def test_what_a_row_lacks_is_left_out():
    rows = [{"a": 1, "b": "x\0"}, {"a": None, "b": ["y", "z"]}, {"a": [2, 3]}]
    assert encoded(rows) == [
        {"a": ("int64_list", [1]), "b": ("bytes_list", [b"x\0"])},
        {"b": ("bytes_list", [b"y", b"z"])},
        {"a": ("int64_list", [2, 3])},
    ]


def test_a_matrix_is_flattened_and_no_values_are_no_kind():
    columns = {"m": np.arange(4, dtype=np.int8).reshape(1, 2, 2), "none": np.empty((1, 0), np.float32)}
    assert encoded(columns) == [{"m": ("int64_list", [0, 1, 2, 3]), "none": (None, [])}]


def test_the_options_say_what_a_feature_holds():
    said = {
        "x": FeatureOptions(feature="age", dtype="float32"),
        "n": FeatureOptions(dtype="int64"),
    }
    assert encoded({"age": [31], "n": [2.0]}, **said) == [
        {"age": ("float_list", [31]), "n": ("int64_list", [2])}
    ]
    assert TfExampleConverter().encoder(TfExampleOptions(input_name="e")).input_name == "e"


VALUES = {
    "int64_list": st.integers(-(2**63), 2**63 - 1),
    "float_list": st.floats(width=32, allow_nan=False),
    "bytes_list": st.binary(max_size=6),
}


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_rows__are_read_back_by_protobuf(data):
    kinds = data.draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=3))
    num_rows = data.draw(st.integers(0, 4))
    columns = {}
    for index, kind in enumerate(kinds):
        values = st.lists(VALUES[kind], min_size=1, max_size=3)
        rows = st.none() | VALUES[kind] | values if data.draw(st.booleans()) else VALUES[kind]
        columns[f"f{index}"] = data.draw(st.lists(rows, min_size=num_rows, max_size=num_rows))
    wanted = [
        {
            name: (kinds[int(name[1:])], value if isinstance(value, list) else [value])
            for name, values in columns.items()
            if (value := values[row]) is not None
        }
        for row in range(num_rows)
    ]
    assert encoded(columns) == wanted


WRONG = {
    "complex": (
        {"x": np.ones(1, np.complex64)},
        {},
        "expected numbers or strings, got values of dtype complex64",
    ),
    "beyond int64": ({"x": np.array([2**63], np.uint64)}, {}, "expected int64, got 9223372036854775808"),
    "beyond float32": ({"x": [1e300]}, {}, "expected float32, got values beyond it"),
    "a fraction": ({"x": [0.5]}, {"x": FeatureOptions(dtype="int64")}, "expected int64, got fractions"),
    "not a number": ({"x": [np.nan]}, {"x": FeatureOptions(dtype="int64")}, "expected int64, got fractions"),
    "a string": ({"x": ["a"]}, {"x": FeatureOptions(dtype="float32")}, "expected float32, got strings"),
    "no string": (
        {"x": [1]},
        {"x": FeatureOptions(dtype="string")},
        "expected string, got values of dtype int64",
    ),
}


@pytest.mark.parametrize(("records", "said", "text"), WRONG.values(), ids=WRONG)
def test_wrong(records, said, text):
    with pytest.raises(RequestError) as caught:
        encoded(records, **said)
    assert str(caught.value) == f"column 'x': {text}"
    assert caught.value.tensor == "x"
