"""What a model says of batching, and what the host says of all models."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.config.batching import with_defaults
from navi_core.config.checks import check_batching
from navi_core.config.load import parse_config
from navi_core.config.records import BatchingSettings
from navi_core.errors import ConfigError

NOTHING = BatchingSettings()


@pytest.mark.parametrize(
    ("own", "defaults", "expected"),
    [
        ({}, {}, {}),
        ({"max_batch_rows": 8}, {}, {"max_batch_rows": 8}),
        ({}, {"max_batch_rows": 8}, {"max_batch_rows": 8}),
        (
            {"max_batch_rows": 4},
            {"max_batch_rows": 8, "enabled": False},
            {"max_batch_rows": 4, "enabled": False},
        ),
        ({"allowed_batch_rows": (2, 4)}, {"max_batch_rows": 8}, {"allowed_batch_rows": (2, 4)}),
        (
            {"allowed_batch_rows": (2, 8)},
            {"max_batch_rows": 8},
            {"allowed_batch_rows": (2, 8), "max_batch_rows": 8},
        ),
        ({"max_batch_rows": 64}, {"allowed_batch_rows": (2, 8)}, {"max_batch_rows": 64}),
        ({"priority_levels": 2}, {"priority_levels": 5, "default_priority_level": 3}, {"priority_levels": 2}),
    ],
)
def test_with_defaults(own, defaults, expected):
    assert with_defaults(BatchingSettings(**own), BatchingSettings(**defaults)) == BatchingSettings(
        **expected
    )


SETTINGS = st.builds(
    BatchingSettings,
    enabled=st.none() | st.booleans(),
    max_batch_rows=st.none() | st.integers(1, 40),
    allowed_batch_rows=st.none()
    | st.lists(st.integers(1, 40), min_size=1, max_size=4, unique=True).map(lambda rows: tuple(sorted(rows))),
    priority_levels=st.none() | st.integers(0, 4),
    default_priority_level=st.none() | st.integers(1, 4),
)


def _fits(settings):
    try:
        check_batching(settings)
    except ConfigError:
        return False
    return True


@given(own=SETTINGS.filter(_fits), defaults=SETTINGS.filter(_fits))
def test_with_defaults__what_fits_apart_fits_together_and_the_model_wins(own, defaults):
    found = with_defaults(own, defaults)

    check_batching(found)
    for name, value in msgspec.structs.asdict(own).items():
        if value is not None:
            assert getattr(found, name) == value
    assert with_defaults(own, NOTHING) == own
    assert with_defaults(NOTHING, defaults) == defaults


def test_the_file_has_a_table_for_all_models():
    config = parse_config("[batching]\nmax_batch_rows = 16\n[[models]]\npath = 'a'\n")
    assert config.batching == BatchingSettings(max_batch_rows=16)
    with pytest.raises(ConfigError, match=r"^batching\.allowed_batch_rows: expected at least one"):
        parse_config("[batching]\nallowed_batch_rows = []\n")
