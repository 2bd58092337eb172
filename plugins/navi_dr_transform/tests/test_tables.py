"""The table that kernels search."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from navi_dr_transform import wire
from navi_dr_transform._accelerate import JIT
from navi_dr_transform._kernels import find
from navi_dr_transform.feature_map import Place
from navi_dr_transform.layout import HomeTensor, Source
from navi_dr_transform.tables import freeze

INT64 = st.integers(-(2**63), 2**63 - 1)
SCALARS = {
    HomeTensor.CONTINUOUS: Source.CONTINUOUS,
    HomeTensor.BINARY: Source.BINARY,
    HomeTensor.DISCRETE: Source.DISCRETE,
}


def columns(entries):
    """Return feature id -> (tensor, column) as a feature map has it."""
    return {
        (SCALARS[tensor], feature_id): (Place(tensor, column),)
        for feature_id, (tensor, column) in entries.items()
    }


def search(table, feature_id):
    """Look an id up as the kernels do."""
    find_in_python = find.py_func if JIT else find
    return find_in_python(table, feature_id)


def test_columns_outside_their_tensor_are_left_out():
    entries = {
        1: (HomeTensor.CONTINUOUS, 3),
        2: (HomeTensor.CONTINUOUS, 4),
        3: (HomeTensor.BINARY, 0),
        4: (HomeTensor.CONTINUOUS, 2**62),
    }
    table = freeze(columns(entries), {HomeTensor.CONTINUOUS: 4})
    assert search(table, 1) == 3
    assert [search(table, feature_id) for feature_id in (2, 3, 4)] == [-1, -1, -1]


def test_an_empty_table_finds_nothing():
    table = freeze({}, {})
    assert [search(table, feature_id) for feature_id in (-1, 0, 1)] == [-1, -1, -1]


def test_the_table_is_read_only_and_at_most_half_full():
    entries = {n: (HomeTensor.BINARY, n) for n in range(1000)}
    table = freeze(columns(entries), {HomeTensor.BINARY: 1000})
    assert not table.flags.writeable
    assert len(table) // 2 >= 2000
    assert int(np.sum(table[1::2] >= 0)) == 1000


@given(
    entries=st.dictionaries(INT64, st.tuples(st.sampled_from(list(SCALARS)), st.integers(0, 9000))),
    others=st.lists(INT64),
)
def test_every_entry_is_found_and_nothing_else(entries, others):
    table = freeze(columns(entries), dict.fromkeys(HomeTensor, 8000))
    for feature_id in [*entries, *others, -1, 0]:
        tensor, column = entries.get(feature_id, (HomeTensor.CONTINUOUS, 9000))
        expected = (tensor << wire.KIND_SHIFT) | column if column < 8000 else -1
        assert search(table, feature_id) == expected
