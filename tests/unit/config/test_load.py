"""Configuration files: TOML and JSON, cross checks, errors with file and line."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.config.load import (
    config_from_table,
    load_config,
    load_model_settings,
    parse_config,
    parse_model_settings,
)
from navi_core.config.records import BatchingSettings, HostConfig, ModelSettings, VersionPolicySettings
from navi_core.errors import ConfigError

EXAMPLE = """
host = "0.0.0.0"
drain_timeout_s = 5

[[models]]
path = "models/web_click"
runtime = "onnx"
labels = { stable = 3 }
versions.latest = 2

[models.batching]
max_batch_rows = 256
allowed_batch_rows = [64, 256]

[models.runtime_options]
memory_pattern = false

[transports.grpc]
port = 8500

[transports.http]
port = 8501
"""


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    return str(caught.value)


def test_parse_config__reads_every_part():
    config = parse_config(EXAMPLE)
    (model,) = config.models
    assert model.model_name == "web_click"
    assert model.versions == VersionPolicySettings(latest=2)
    assert model.batching == BatchingSettings(max_batch_rows=256, allowed_batch_rows=(64, 256))
    assert model.runtime_options == {"memory_pattern": False}
    assert {name: said.port for name, said in config.transports.items()} == {"grpc": 8500, "http": 8501}
    assert config.drain_timeout_s == 5.0


def test_parse_config__nothing_said_is_the_default():
    assert parse_config("") == HostConfig()


SYNTAX = {
    "no value": (
        "a = 1\nb",
        "invalid TOML: Expected '=' after a key in a key/value pair (at end of document)",
    ),
    "line and column": ("a = 1\nb = [1,,2]", "invalid TOML: Invalid value (at line 2, column 8)"),
    "nesting": ("a = " + "[" * 100_000, "invalid TOML: nested too deep"),
    "digits": ("a = " + "1" * 5000, "invalid TOML: Exceeds the limit"),
}


@pytest.mark.parametrize(("text", "expected"), SYNTAX.values(), ids=SYNTAX)
def test_bad_toml__says_where(text, expected):
    assert refused(text).startswith(expected)


CROSS = {
    "two version policies": (
        {"versions": {"latest": 1, "all": True}},
        "models[0].versions: expected one of latest, all and specific, got latest and all",
    ),
    "three version policies": (
        {"versions": {"latest": 1, "all": True, "specific": [1]}},
        "models[0].versions: expected one of latest, all and specific, got latest and all and specific",
    ),
    "no specific version": (
        {"versions": {"specific": []}},
        "models[0].versions.specific: expected at least one version, got an empty array",
    ),
    "a specific version twice": (
        {"versions": {"specific": [1, 2, 1]}},
        "models[0].versions.specific[2]: expected each version once, got 1 again",
    ),
    "a negative version": (
        {"versions": {"specific": [-1]}},
        "models[0].versions.specific[0]: expected int >= 0 and <= 9223372036854775807, got -1",
    ),
    "a label outside the specific versions": (
        {"versions": {"specific": [1, 2]}, "labels": {"canary": 3}},
        "models[0].labels.canary: expected one of the specific versions 1, 2, got 3",
    ),
    "a label that no URL can carry": (
        {"labels": {"a/b": 3}},
        "models[0].labels.\"a/b\": expected a label without '/' and ':'",
    ),
    "a label's version": (
        {"labels": {"canary": 2**63}},
        "models[0].labels.canary: expected int >= 0 and <= 9223372036854775807, got 9223372036854775808",
    ),
    "a default level that there is not": (
        {"batching": {"priority_levels": 2, "default_priority_level": 3}},
        "models[0].batching.default_priority_level: expected one of the priority_levels (2), got 3",
    ),
    "no allowed row count": (
        {"batching": {"allowed_batch_rows": []}},
        "models[0].batching.allowed_batch_rows: expected at least one row count, got an empty array",
    ),
    "allowed row counts that fall": (
        {"batching": {"allowed_batch_rows": [1, 8, 8]}},
        "models[0].batching.allowed_batch_rows[2]: expected increasing row counts, got 8 after 8",
    ),
    "allowed row counts below the limit": (
        {"batching": {"allowed_batch_rows": [1, 8], "max_batch_rows": 16}},
        "models[0].batching.allowed_batch_rows[1]: expected the last row count to be at least max_batch_rows (16), got 8",
    ),
    "a tensor twice": (
        {"inputs": ["x", "y", "x"]},
        'models[0].inputs[2]: expected each name once, got "x" again',
    ),
    "a tensor without a name": ({"outputs": [""]}, 'models[0].outputs[0]: expected a tensor name, got ""'),
    "a size below -1": (
        {"signatures": {"s": {"outputs": {"y": {"shape": [-1, -2]}}}}},
        "models[0].signatures.s.outputs.y.shape[1]: expected int >= -1 or str, got -2",
    ),
    "a path without a name": (
        {"path": "/"},
        'models[0].name: missing: the path "/" does not end in a name',
    ),
    "a path that ends in a dot": (
        {"path": "models/."},
        'models[0].name: missing: the path "models/." does not end in a name',
    ),
}


@pytest.mark.parametrize(("said", "expected"), CROSS.values(), ids=CROSS)
def test_cross_check__names_both_sides(said, expected):
    with pytest.raises(ConfigError) as caught:
        config_from_table({"models": [{"path": "models/a", **said}]})
    assert str(caught.value) == expected


def test_cross_check__all_false_leaves_room_for_latest():
    config = config_from_table({"models": [{"path": "a", "versions": {"latest": 2, "all": False}}]})
    assert config.models[0].versions.latest == 2


def test_duplicate_names__name_both_places():
    with pytest.raises(ConfigError) as caught:
        config_from_table({"models": [{"path": "x/a"}, {"path": "b"}, {"path": "y/a"}]})
    assert str(caught.value) == "models[2].name: expected a name of its own, got 'a' as models[0]"
    config_from_table({"models": [{"path": "x/a"}, {"path": "y/a", "name": "other"}]})


PORTS = {
    "equal": ({"transports": {"grpc": {"port": 8500}, "http": {"port": 8500}}}, False),
    "free ones": ({"transports": {"grpc": {"port": 0}, "http": {"port": 0}}}, True),
    "two addresses": (
        {"transports": {"grpc": {"port": 8500, "host": "::1"}, "http": {"port": 8500, "host": "127.0.0.1"}}},
        True,
    ),
    "any address": (
        {"transports": {"grpc": {"port": 8500, "host": "0.0.0.0"}, "http": {"port": 8500}}},
        False,
    ),
    "metrics": ({"transports": {"http": {"port": 9000}}, "prometheus_port": 9000}, False),
}


@pytest.mark.parametrize(("table", "fine"), PORTS.values(), ids=PORTS)
def test_ports__are_not_shared(table, fine):
    if fine:
        config_from_table(table)
        return
    with pytest.raises(ConfigError, match="expected a port of its own, got "):
        config_from_table(table)


def test_load_config__prefixes_the_file(tmp_path):
    file = tmp_path / "host.toml"
    file.write_text('[[models]]\npath = "a"\nbatching.max_batch_rows = "many"\n')
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value) == f'{file}: models[0].batching.max_batch_rows: expected int >= 1, got "many"'
    assert caught.value.path == f"{file}: models[0].batching.max_batch_rows"


def test_load_config__missing_file(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "no.toml")
    assert str(caught.value) == f"{tmp_path / 'no.toml'}: cannot be read: No such file or directory"


def test_load_config__bytes_that_are_no_utf8(tmp_path):
    file = tmp_path / "host.toml"
    file.write_bytes(b"host = 'a'\n# \xff\n")
    with pytest.raises(ConfigError, match=r"expected UTF-8, got byte 0xff \(at line 2\)"):
        load_config(file)


def test_load_config__refuses_a_file_that_is_no_configuration_by_its_size(tmp_path):
    file = tmp_path / "host.toml"
    with file.open("wb") as stream:
        stream.truncate(64 * 1024 * 1024)
    with pytest.raises(ConfigError, match="expected at most 16777216 bytes, got more"):
        load_config(file)


def test_load_config__json_by_its_suffix(tmp_path):
    file = tmp_path / "host.json"
    file.write_text(json.dumps({"models": [{"path": "a"}]}))
    assert load_config(file).models[0].path == "a"
    file.write_text('{"models": [\n}')
    with pytest.raises(ConfigError, match=r"invalid JSON: Expecting value \(at line 2, column 1\)"):
        load_config(file)
    file.write_text("[]")
    with pytest.raises(ConfigError, match="expected an object at the top"):
        load_config(file)


def test_load_model_settings__directory_file_or_nothing(tmp_path):
    assert load_model_settings(tmp_path) == ModelSettings()
    assert load_model_settings(tmp_path / "model.onnx") == ModelSettings()
    file = tmp_path / "navi.toml"
    file.write_text('runtime = "onnx"\n')
    assert load_model_settings(tmp_path).runtime == "onnx"
    assert load_model_settings(file).runtime == "onnx"


def test_load_model_settings__error_begins_with_the_file_name(tmp_path):
    (tmp_path / "navi.toml").write_text('path = "elsewhere"\n')
    with pytest.raises(ConfigError) as caught:
        load_model_settings(tmp_path)
    assert str(caught.value).startswith("navi.toml: path: unknown key, expected one of 'runtime'")
    (tmp_path / "navi.toml").write_text("batching.allowed_batch_rows = [2, 1]\n")
    with pytest.raises(ConfigError) as caught:
        load_model_settings(tmp_path)
    assert str(caught.value) == (
        "navi.toml: batching.allowed_batch_rows[1]: expected increasing row counts, got 1 after 2"
    )


def test_parse_model_settings__like_the_file():
    assert parse_model_settings("converter = 'none'").converter == "none"
    with pytest.raises(ConfigError, match=r"^navi\.toml: invalid TOML"):
        parse_model_settings("=")


@given(text=st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
@settings(max_examples=150, deadline=None)
def test_any_text__gives_a_configuration_or_a_config_error(text):
    with contextlib.suppress(ConfigError):  # any other exception fails the test
        parse_config(text)


@given(cut=st.integers(0, len(EXAMPLE)), char=st.characters(codec="utf-8"))
@settings(max_examples=150, deadline=None)
def test_a_damaged_example__gives_a_configuration_or_a_config_error(cut, char):
    with contextlib.suppress(ConfigError):  # any other exception fails the test
        parse_config(EXAMPLE[:cut] + char + EXAMPLE[cut + 1 :])


@given(rows=st.lists(st.integers(1, 50), min_size=1, max_size=6), limit=st.integers(1, 60) | st.none())
@settings(max_examples=150, deadline=None)
def test_allowed_batch_rows__accepted_exactly_when_increasing_and_reaching_the_limit(rows, limit):
    batching = {"allowed_batch_rows": rows} | ({} if limit is None else {"max_batch_rows": limit})
    right = rows == sorted(set(rows)) and (limit is None or rows[-1] >= limit)
    try:
        config_from_table({"models": [{"path": "a", "batching": batching}]})
    except ConfigError:
        assert not right
    else:
        assert right
