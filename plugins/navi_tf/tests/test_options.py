"""Options and flags."""

from __future__ import annotations

import msgspec
import pytest
from navi_tf.flags import SERVE_FLAGS, parse_names
from navi_tf.options import TensorFlowOptions


@pytest.mark.parametrize(
    "table",
    [
        {"loader": "v1"},
        {"intra_op_threads": -1},
        {"per_process_gpu_memory_fraction": 1.5},
        {"saved_model_tags": "serve"},
        {"no_such_option": 1},
    ],
)
def test_options__wrong_ones_are_refused(table):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table, TensorFlowOptions)


@pytest.mark.parametrize(
    ("text", "expected"), [("", ()), ("a.so", ("a.so",)), ("a.so,/b/c.so", ("a.so", "/b/c.so"))]
)
def test_parse_names(text, expected):
    assert parse_names(text) == expected


@pytest.mark.parametrize("text", [",", "a,", "a,,b"])
def test_parse_names__no_empty_ones(text):
    with pytest.raises(ValueError, match="separated by commas"):
        parse_names(text)


def test_flags__set_what_they_say():
    options = {flag.option: flag.parse("x,y") for flag in SERVE_FLAGS}
    converted = msgspec.convert(options, TensorFlowOptions)
    assert converted.custom_op_libraries == converted.saved_model_tags == ("x", "y")
    assert [flag.name for flag in SERVE_FLAGS] == ["--customops-lib", "--saved-model-tags"]
