"""Records as callers have them -> columns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.columns import as_columns
from navi_core.errors import RequestError


class Frame:
    """What is asked of a data frame."""

    def __init__(self, **columns):
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name):
        values = self._columns[name]

        class Series:
            def to_numpy(self):
                return values

        return Series()


def column(values):
    [found] = as_columns({"x": values}).values()
    return found


def described(array):
    """Return an array's dtype, shape and items, those of ragged columns too."""
    items = [item.tolist() if isinstance(item, np.ndarray) else item for item in array]
    return str(array.dtype), array.shape, items


FORMS = {
    "columns": {"age": [31, 40], "word": ["a", "b\0"]},
    "rows": [{"age": 31, "word": "a"}, {"age": 40, "word": b"b\0"}],
    "a data frame": Frame(age=np.array([31, 40]), word=np.array(["a", "b\0"], object)),
    "arrays": {"age": np.array([31, 40]), "word": np.array([b"a", b"b\0"], object)},
}


@pytest.mark.parametrize("records", FORMS.values(), ids=FORMS)
def test_the_same_records_in_every_form(records):
    found = as_columns(records)
    assert {name: described(array) for name, array in found.items()} == {
        "age": ("int64", (2,), [31, 40]),
        "word": ("object", (2,), [b"a", b"b\0"]),
    }


VALUES = {
    "an array stays": (np.ones((2, 3), np.float16), ("float16", (2, 3), [[1, 1, 1]] * 2)),
    "lists of one length": ([[1, 2], [3, 4.5]], ("float64", (2, 2), [[1.0, 2.0], [3.0, 4.5]])),
    "lists of several": ([[1], [2, 3]], ("object", (2,), [[1], [2, 3]])),
    "none among numbers, which become one type": ([1, None, 2.5], ("object", (3,), [1.0, None, 2.5])),
    "none among strings": (["a\0", None], ("object", (2,), [b"a\0", None])),
    "strings in lists": ([["a", "b"], ["c", "d"]], ("object", (2, 2), [[b"a", b"b"], [b"c", b"d"]])),
    "ragged strings": ([["a"], []], ("object", (2,), [[b"a"], []])),
    "no rows": ([], ("object", (0,), [])),
    "fixed-width strings": (np.array(["a", "b"]), ("object", (2,), [b"a", b"b"])),
    "bools": ([True, False], ("bool", (2,), [True, False])),
    "mappings": ([{"us": 0.5, "jp": 2}, None, {}], ("object", (3,), [{"us": 0.5, "jp": 2}, None, {}])),
    "mappings among numbers": ([{"us": 1}, 2, [3.5]], ("object", (3,), [{"us": 1}, 2.0, [3.5]])),
}


@pytest.mark.parametrize(("values", "expected"), VALUES.values(), ids=VALUES)
def test_values(values, expected):
    assert described(column(values)) == expected


def test_an_array_is_not_copied():
    array = np.ones(3, np.float32)
    assert column(array) is array


def test_numbers_of_ragged_columns_are_of_one_type():
    assert {item.dtype for item in column([[1], [2.5, 3]])} == {np.dtype(np.float64)}
    assert [type(item) for item in column([1, None, 2.5])] == [np.float64, type(None), np.float64]


def test_a_data_frame_writes_missing_strings_as_nan():
    [found] = as_columns(Frame(word=np.array(["a", float("nan")], object))).values()
    assert found.tolist() == [b"a", None]
    [found] = as_columns(Frame(score=np.array([1.0, np.nan]))).values()
    np.testing.assert_array_equal(found, [1.0, np.nan])


WRONG = {
    "no columns": ({}, "records: expected at least one column, got none", ""),
    "no rows": ([], "records: expected at least one column, got none", ""),
    "several lengths": (
        {"a": [1], "b": [1, 2]},
        "records: expected columns of one length, got 'a': 1, 'b': 2",
        "",
    ),
    "a row that is none": ([{"a": 1}, 2], "records: expected rows that are mappings, got int (row 1)", ""),
    "a text": ("rows", "records: expected columns, rows or a data frame, got str", ""),
    "a column without a name": ({1: [1]}, "records: expected columns with names, got 1", ""),
    "a scalar array": ({"a": np.float32(1)}, "column 'a': expected a list or an array, got float32", "a"),
    "an array of rank 0": (
        {"a": np.array(1)},
        "column 'a': expected one value for each row, got a scalar",
        "a",
    ),
    "a text as a column": ({"a": "xyz"}, "column 'a': expected a list or an array, got str", "a"),
    "a mapping of something else": (
        [{"a": {"b": "c"}}],
        "column 'a': expected a mapping of texts to numbers, got one of str to str (row 0)",
        "a",
    ),
    "a mapping by number": (
        [{"a": {}}, {"a": {1: 2.0}}],
        "column 'a': expected a mapping of texts to numbers, got one of int to float (row 1)",
        "a",
    ),
    "an irregular list": (
        {"a": [[1], [[1], [2, 3]]]},
        "column 'a': expected numbers or strings, or a regular array of them, got a mixed or irregular list (row 1)",
        "a",
    ),
    "a mixed list": (
        {"a": [[1, "x"]]},
        "column 'a': expected numbers or strings, or a regular array of them, got a mixed or irregular list (row 0)",
        "a",
    ),
    "a date": (
        {"a": np.array(["2020-01-01"], "M8[D]")},
        "column 'a': expected numbers or strings, or a regular array of them, got datetime64 (row 0)",
        "a",
    ),
    "an integer without end": (
        {"a": [10**30]},
        "column 'a': expected numbers or strings, or a regular array of them, got int (row 0)",
        "a",
    ),
}


@pytest.mark.parametrize(("records", "text", "tensor"), WRONG.values(), ids=WRONG)
def test_wrong(records, text, tensor):
    with pytest.raises(RequestError) as caught:
        as_columns(records)
    assert str(caught.value) == text
    assert caught.value.tensor == tensor


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
)


@given(records=ANYTHING)
@settings(max_examples=300, deadline=None)
def test_anything__becomes_columns_or_a_request_error(records):
    try:
        columns = as_columns(records)
    except RequestError:
        return
    assert columns
    assert len({len(array) for array in columns.values()}) == 1
    assert all(isinstance(array, np.ndarray) and array.ndim for array in columns.values())
