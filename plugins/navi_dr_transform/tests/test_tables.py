"""The tables that kernels search."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_dr_transform import _plan
from navi_dr_transform._accelerate import INT, INTS, SMALL_INTS, kernel
from navi_dr_transform._scatter import find
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import HOME, HomeTensor, Source
from navi_dr_transform.perfect_hash import perfect_hash
from navi_dr_transform.tables import freeze

INT64 = st.integers(-(2**63), 2**63 - 1)
SCALARS = {
    HomeTensor.CONTINUOUS: Source.CONTINUOUS,
    HomeTensor.BINARY: Source.BINARY,
    HomeTensor.DISCRETE: Source.DISCRETE,
}


@kernel(INT(INTS, SMALL_INTS, INT, INT))
def look_up(plan, displacements, at, key):
    return find(plan, displacements, at, key)


def frozen(entries, widths):
    """Freeze feature id -> (tensor, column)."""
    columns = {
        (SCALARS[tensor], feature_id): (Place(tensor, column),)
        for feature_id, (tensor, column) in entries.items()
    }
    return freeze(HOME, FeatureMap(columns, {}), widths, exact=False)


def search(plan, displacements, feature_id):
    """Return source -> byte offset of an id, as the kernels find it."""
    found = {}
    for source in SCALARS.values():
        passes = plan[_plan.SOURCES_AT + source], plan[_plan.SOURCES_AT + source + 1]
        for index in range(*passes):
            slot = look_up(plan, displacements, int(_plan.PASSES_AT + _plan.PASS_FIELDS * index), feature_id)
            if plan[slot] == feature_id:
                found[source] = int(plan[slot + 1])
    return found


def test_columns_outside_their_tensor_are_left_out():
    entries = {
        1: (HomeTensor.CONTINUOUS, 3),
        2: (HomeTensor.CONTINUOUS, 4),
        3: (HomeTensor.BINARY, 0),
        4: (HomeTensor.CONTINUOUS, 2**62),
        5: (HomeTensor.CONTINUOUS, -1),
    }
    made = frozen(entries, {HomeTensor.CONTINUOUS: 4})
    assert search(made.plan, made.displacements, 1) == {Source.CONTINUOUS: 12}
    assert [search(made.plan, made.displacements, each) for each in (2, 3, 4, 5)] == [{}] * 4


def test_an_empty_layout_finds_nothing():
    made = frozen({}, {})
    assert [search(made.plan, made.displacements, each) for each in (-1, 0, 1)] == [{}] * 3


def test_what_is_frozen_is_read_only():
    made = frozen({n: (HomeTensor.BINARY, n) for n in range(100)}, {HomeTensor.BINARY: 100})
    assert not any(array.flags.writeable for array in (made.plan, made.displacements, *made.defaults))


@settings(deadline=None)
@given(
    entries=st.dictionaries(INT64, st.tuples(st.sampled_from(list(SCALARS)), st.integers(0, 9000))),
    others=st.lists(INT64),
)
def test_every_entry_is_found_and_nothing_else(entries, others):
    made = frozen(entries, dict.fromkeys(HomeTensor, 8000))
    for feature_id in [*entries, *others, -1, 0]:
        tensor, column = entries.get(feature_id, (HomeTensor.CONTINUOUS, 9000))
        size = 4 if tensor is HomeTensor.CONTINUOUS else 8
        expected = {SCALARS[tensor]: size * column} if column < 8000 else {}
        assert search(made.plan, made.displacements, feature_id) == expected


@pytest.mark.parametrize(
    "keys",
    [range(3000), range(-3000, 0), [n << 40 for n in range(3000)], [n * n * n for n in range(3000)]],
    ids=["small", "negative", "high", "cubes"],
)
def test_ids_of_any_pattern_get_slots_of_their_own(keys):
    hashed = perfect_hash(list(keys))
    assert len(set(hashed.slots)) == len(keys)
    assert [hashed.slot(key) for key in keys] == list(hashed.slots)
    assert max(hashed.slots) < 2**hashed.slot_bits <= 4 * len(keys)
