"""Configuration errors: the path, what was expected, what came."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.config.convert import convert, convert_options
from navi_core.config.records import HostConfig, ModelSettings
from navi_core.config.wording import key_path
from navi_core.errors import ConfigError, ErrorCode, NaviError


def message(table: object, kind: type = HostConfig, path: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        convert(table, kind, path)
    return str(caught.value)


def model(**said: object) -> dict:
    return {"models": [{"path": "models/a", **said}]}


CASES = {
    "constraint and type": (
        model(batching={"max_batch_rows": "many"}),
        'models[0].batching.max_batch_rows: expected int >= 1, got "many"',
    ),
    "below the bound": (
        model(batching={"max_batch_rows": 0}),
        "models[0].batching.max_batch_rows: expected int >= 1, got 0",
    ),
    "bool is no int": (
        model(batching={"max_batch_rows": True}),
        "models[0].batching.max_batch_rows: expected int >= 1, got true",
    ),
    "close match": (model(batchng={}), "models[0].batchng: unknown key, did you mean 'batching'?"),
    "second model": (
        {"models": [{"path": "a"}, {"path": "b", "stable_ms": -1}]},
        "models[1].stable_ms: expected number >= 0 and <= 1e+09, got -1",
    ),
    "no close match": (
        model(warmup={"zzz": 1}),
        "models[0].warmup.zzz: unknown key, expected one of 'enabled', 'rows', 'records', 'max_records', 'iterations'",
    ),
    "missing key": ({"models": [{}]}, "models[0].path: missing, expected str of at least 1 character"),
    "misspelt required key": (
        {"models": [{"pth": "a"}]},
        "models[0].pth: unknown key, did you mean 'path'?",
    ),
    "array of tables": ({"models": "x"}, 'models: expected array of tables, got "x"'),
    "table": ({"models": ["x"]}, 'models[0]: expected table, got "x"'),
    "array given for a table": ({"transports": []}, "transports: expected table, got an empty array"),
    "table given for a scalar": ({"host": {}}, "host: expected str, got a table"),
    "literal": (
        model(transition="now"),
        'models[0].transition: expected one of "availability", "resource", got "now"',
    ),
    "array item": (
        model(versions={"specific": [1, "2"]}),
        'models[0].versions.specific[1]: expected int, got "2"',
    ),
    "union in an array in tables": (
        model(signatures={"s": {"inputs": {"x": {"shape": [1, 2.5]}}}}),
        "models[0].signatures.s.inputs.x.shape[1]: expected int or str, got 2.5",
    ),
    "key with a space": (
        {"transports": {"my grpc": {"port": 70000}}},
        'transports."my grpc".port: expected int >= 0 and <= 65535, got 70000',
    ),
    "pattern": (
        model(name="a/b"),
        'models[0].name: expected str of 1 to 255 characters that matches ^[^/:\\x00-\\x1f]+$, got "a/b"',
    ),
    "infinity": (
        {"drain_timeout_s": math.inf},
        "drain_timeout_s: expected number >= 0 and <= 1e+09, got inf",
    ),
    "not a number": (
        {"drain_timeout_s": math.nan},
        "drain_timeout_s: expected number >= 0 and <= 1e+09, got nan",
    ),
    "nothing": ({"host": None}, "host: expected str, got nothing"),
    "huge integer": (
        {"max_message_bytes": 1 << 70000},
        "max_message_bytes: expected an integer of at most 64 bits, got an integer of 70001 bits",
    ),
    "huge integer in a free table": (
        {"runtimes": {"x": {"n": [1 << 64]}}},
        "runtimes.x.n[0]: expected an integer of at most 64 bits, got 18446744073709551616",
    ),
    "no table at all": (5, "expected table, got 5"),
    "first error in the order of the file": (
        {"admin": 1, "host": 2},
        "admin: expected bool, got 1",
    ),
}


@pytest.mark.parametrize(("table", "expected"), CASES.values(), ids=CASES)
def test_error__says_path_expected_and_got(table, expected):
    assert message(table) == expected


def test_error__long_values_are_cut():
    text = message({"host": 1, "models": []})
    assert text == "host: expected str, got 1"
    text = message({"admin": "x" * 1000})
    assert len(text) < 120
    assert text.endswith("...")


def test_error__carries_path_and_code():
    with pytest.raises(ConfigError) as caught:
        convert(model(batching={"max_batch_rows": 0}), HostConfig, "a.toml")
    assert caught.value.path == "a.toml.models[0].batching.max_batch_rows"
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_int_for_a_number__is_accepted():
    assert convert({"drain_timeout_s": 5}, HostConfig).drain_timeout_s == 5.0


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: Annotated[int, msgspec.Meta(ge=2, multiple_of=2)] = 2


class Options(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    mode: Literal["fast", "safe"] = "fast"
    thread_count: Annotated[int, msgspec.Meta(gt=0, lt=10)] | None = None
    inner: Inner | None = None
    table: dict[str, Inner] = {}
    ranges: list[tuple[int, int]] = []

    def __post_init__(self) -> None:
        if self.mode == "safe" and self.thread_count is None:
            msg = "mode safe needs thread-count"
            raise ValueError(msg)


OPTION_CASES = {
    "renamed key": (
        {"thread_count": 1},
        "runtimes.x.thread_count: unknown key, did you mean 'thread-count'?",
    ),
    "optional with bounds": (
        {"thread-count": 10},
        "runtimes.x.thread-count: expected int > 0 and < 10, got 10",
    ),
    "nested record": (
        {"inner": {"size": 3}},
        "runtimes.x.inner.size: expected int >= 2 and a multiple of 2, got 3",
    ),
    "record in a table": (
        {"table": {"k": {"sise": 4}}},
        "runtimes.x.table.k.sise: unknown key, did you mean 'size'?",
    ),
    "fixed array": (
        {"ranges": [[1, 2], [1]]},
        "runtimes.x.ranges[1]: expected array of int, int, got an array",
    ),
    "the record's own check": ({"mode": "safe"}, "runtimes.x: mode safe needs thread-count"),
}


@pytest.mark.parametrize(("table", "expected"), OPTION_CASES.values(), ids=OPTION_CASES)
def test_convert_options__words_a_plugins_own_types(table, expected):
    with pytest.raises(ConfigError) as caught:
        convert_options(Options, table, "runtimes.x")
    assert str(caught.value) == expected


def test_convert_options__takes_tables_that_no_file_could_hold():
    with pytest.raises(ConfigError) as caught:
        convert({1: 2}, dict[str, int], "p")
    assert str(caught.value).startswith("p: expected ")


def test_convert_options__answers_the_record():
    assert convert_options(Options, {"thread-count": 3}, "p") == Options(thread_count=3)


def test_convert_options__without_a_record_nothing_may_be_said():
    assert convert_options(None, {}, "runtimes.x") is None
    with pytest.raises(ConfigError) as caught:
        convert_options(None, {"a": 1}, "runtimes.x")
    assert str(caught.value) == "runtimes.x.a: unknown key, expected none"


# --- properties ---------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
keys = st.sampled_from(
    [
        *HostConfig.__struct_fields__,
        *ModelSettings.__struct_fields__,
        "path",
        "latest",
        "port",
        "tls",
        "rows",
        "a.b",
    ]
) | st.text(max_size=5)
tables = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(table=st.dictionaries(keys, tables, max_size=4))
@settings(max_examples=200, deadline=None)
def test_any_table__gives_a_record_or_one_line_with_a_path(table):
    error = refusal(table)
    if error is None:
        return
    assert type(error) is ConfigError
    assert "\n" not in str(error)
    assert str(error).startswith(error.path)
    assert any(error.path.startswith(key_path("", key)) for key in table)


def refusal(table: dict) -> NaviError | None:
    try:
        convert(table, HostConfig)
    except NaviError as error:
        return error
    return None


@given(
    rows=st.integers(1, 10**6),
    timeout=st.floats(0, 1e6),
    port=st.integers(0, 65535),
    name=st.text(st.characters(min_codepoint=33, exclude_characters="/:\x7f"), min_size=1, max_size=20),
)
@settings(max_examples=50, deadline=None)
def test_a_record__comes_back_from_its_own_tables(rows, timeout, port, name):
    config = convert(
        {
            "models": [
                {"path": "p", "name": name, "batching": {"max_batch_rows": rows, "batch_timeout_ms": timeout}}
            ],
            "transports": {"grpc": {"port": port}},
        },
        HostConfig,
    )
    again = {key: value for key, value in msgspec.to_builtins(config).items() if value is not None}
    again["models"] = [drop_nothing(item) for item in again["models"]]
    again["transports"] = {key: drop_nothing(item) for key, item in again["transports"].items()}
    assert convert(again, HostConfig) == config


def drop_nothing(table: object) -> object:
    if isinstance(table, dict):
        return {key: drop_nothing(value) for key, value in table.items() if value is not None}
    return table


@given(
    damage=st.sampled_from(["", "x", -1, 2.5, [], {}, True]),
    field=st.sampled_from(sorted(HostConfig.__struct_fields__)),
)
@settings(max_examples=150, deadline=None)
def test_one_damaged_field__is_the_one_that_is_named(damage, field):
    error = refusal({field: damage})
    if error is not None:
        assert error.path.startswith(field)
        assert "expected" in error.message
