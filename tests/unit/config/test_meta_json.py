"""Navi's META.json: pins and thread counts; nothing in it is an error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from navi_core.config.meta_json import MetaJson, ModelMeta, parse_meta_json

ITEMS = {
    "text": ({"version": "7"}, ModelMeta(version="7"), 0),
    "number": ({"version": 1671531533000}, ModelMeta(version="1671531533000"), 0),
    "time": ({"version": "2022-12-20T10:18:53.000Z"}, ModelMeta(version="2022-12-20T10:18:53.000Z"), 0),
    "threads as texts": (
        {"intra_op_parallelism": "4", "inter_op_parallelism": 2},
        ModelMeta(intra_op_threads=4, inter_op_threads=2),
        0,
    ),
    "unknown keys": ({"owner": "x"}, ModelMeta(), 0),
    "other JSON types": ({"version": None, "intra_op_parallelism": [1]}, ModelMeta(), 2),
    "a boolean is no number": ({"version": True}, ModelMeta(), 1),
    "threads that are no count": (
        {"intra_op_parallelism": "many", "inter_op_parallelism": -1},
        ModelMeta(),
        2,
    ),
    "too many threads": ({"intra_op_parallelism": 10**9}, ModelMeta(), 1),
    "an empty pin": ({"version": ""}, ModelMeta(), 0),
}


@pytest.mark.parametrize(("item", "expected", "num_problems"), ITEMS.values(), ids=ITEMS)
def test_parse__one_models_object(item, expected, num_problems):
    metas, problems = parse_meta_json(json.dumps({"m": item}).encode())
    assert metas == {"m": expected}
    assert len(problems) == num_problems


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000, b'{"m": 1' + b"1" * 5000 + b"}"]
)
def test_parse__a_bad_file_is_empty_and_says_why(content):
    metas, problems = parse_meta_json(content)
    assert metas == {}
    assert len(problems) == 1


def test_parse__a_bad_model_spares_the_others():
    metas, problems = parse_meta_json(b'{"a": 1, "b": {"version": "2"}}')
    assert metas == {"b": ModelMeta(version="2")}
    assert problems == ("a: expected an object, got a number",)


def test_read__each_problem_is_logged_once_until_it_changes(tmp_path):
    file = tmp_path / "META.json"
    meta = MetaJson(file)

    def look() -> list[str]:
        with capture_logs() as logs:
            meta.read()
        return [entry["event"] for entry in logs]

    assert look() == ["meta_json_missing"]
    assert look() == []
    file.write_text("{")
    assert look() == ["meta_json_bad"]
    assert look() == []
    file.write_text('{"m": {"version": 3}}')
    assert look() == []
    assert meta.read() == {"m": ModelMeta(version="3")}
    file.write_text("{")
    assert look() == ["meta_json_bad"]
    file.unlink()
    file.mkdir()
    assert look() == ["meta_json_unreadable"]


def test_read__what_is_bad_is_a_warning(tmp_path):
    (tmp_path / "META.json").write_text('{"m": []}')
    with capture_logs() as logs:
        MetaJson(tmp_path / "META.json").read()
    (entry,) = logs
    assert entry["log_level"] == "warning"
    assert entry["problems"] == ("m: expected an object, got an array",)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["version", "intra_op_parallelism", "inter_op_parallelism", "m"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(value=values)
@settings(max_examples=200, deadline=None)
def test_any_json__gives_metas(value):
    metas, _ = parse_meta_json(json.dumps(value).encode())
    for meta in metas.values():
        assert meta.version is None or isinstance(meta.version, str)
        assert meta.intra_op_threads is None or meta.intra_op_threads >= 0


@given(content=st.binary(max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_bytes__give_metas(content):
    parse_meta_json(content)
