from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.config.write import toml_text

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS
VALUES = SCALARS | st.lists(SCALARS, max_size=3)
TABLES = st.recursive(
    st.dictionaries(TEXTS, VALUES, max_size=3),
    lambda inner: st.dictionaries(
        TEXTS, VALUES | inner | st.lists(inner, min_size=1, max_size=3), max_size=3
    ),
    max_leaves=12,
)


@given(TABLES, st.lists(TEXTS, max_size=2))
def test_what_is_written_reads_back(table, comments):
    assert tomllib.loads(toml_text(table, comments=comments)) == table


def test_how_it_looks():
    table = {"host": "::", "a": {"b": {"x": 1}}, "models": [{"name": "m", "labels": {"é": 2}}, {"name": "n"}]}
    assert toml_text(table, comments=["made\nby hand"]) == (
        '# made by hand\n\nhost = "::"\n\n[a.b]\nx = 1\n\n[[models]]\nname = "m"\n\n[models.labels]\n"é" = 2\n'
        '\n[[models]]\nname = "n"\n'
    )


@pytest.mark.parametrize("value", [None, b"x", [None], [[{}], 1]])
def test_what_toml_has_no_word_for_is_refused(value):
    with pytest.raises(TypeError, match="TOML: expected"):
        toml_text({"x": value})
