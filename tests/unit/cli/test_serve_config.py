"""Every flag of ``serve``, row by row: what it says and what the configuration becomes."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.cli.serve_config import PluginValues, ServeFlags, build_config
from navi_core.config.records import (
    AuthSettings,
    BatchingSettings,
    HostConfig,
    ModelConfig,
    TlsSettings,
    TransportSettings,
    VersionPolicySettings,
    WarmupSettings,
)
from navi_core.contracts.serve_flags import ServeFlag
from navi_core.errors import ConfigError

RPC, HTTP = frozenset({"rpc"}), frozenset({"http"})
CARRIES = {"grpc": RPC, "http": HTTP, "both": RPC | HTTP}


def build(base: HostConfig | None = None, **flags: object) -> HostConfig:
    if base is None:
        flags.setdefault("model_dir", ("models/a", "models/b"))
    return build_config(ServeFlags(**flags), base or HostConfig(), CARRIES).config


def plugin(scope: str, *values: object, kind: str = "runtime") -> PluginValues:
    flag = ServeFlag(name="--toy-depth", option="depth", help="", scope=scope)
    return PluginValues(kind=kind, plugin="toy", flag=flag, values=values)


def listener(option: str, value: object) -> PluginValues:
    flag = ServeFlag(name=f"--both-{option}", option=option, help="")
    return PluginValues(kind="transport", plugin="both", flag=flag, values=(value,))


# flag -> what is given, and the fields of the host's configuration that must follow
HOST_ROWS = {
    "host": ({"host": "0.0.0.0"}, {"host": "0.0.0.0"}),
    "prometheus_port": ({"prometheus_port": 9000}, {"prometheus_port": 9000}),
    "admin": ({"admin": True}, {"admin": True}),
    "no admin": ({"admin": False}, {"admin": False}),
    "access_log": ({"access_log": True}, {"access_log": True}),
    "no access_log": ({"access_log": False}, {"access_log": False}),
    "tokens": (
        {"admin_token_file": "a", "infer_token_file": "b"},
        {"auth": AuthSettings(admin_token_file="a", infer_token_file="b")},
    ),
    "drain_timeout": ({"drain_timeout": 5.0}, {"drain_timeout_s": 5.0}),
    "max_message_bytes": ({"max_message_bytes": 4096}, {"max_message_bytes": 4096}),
    "memory_budget_bytes": ({"memory_budget_bytes": 10**9}, {"memory_budget_bytes": 10**9}),
    "max_blocking_threads": ({"max_blocking_threads": 14}, {"run_threads": 14}),
    "model_check_interval_secs": ({"model_check_interval_secs": 300.0}, {"poll_interval_s": 300.0}),
    "model_check_interval_secs 0": ({"model_check_interval_secs": 0.0}, {"poll_interval_s": 0.0}),
    "modelsync_cli": ({"modelsync_cli": "sync --now"}, {"modelsync_command": "sync --now"}),
    "meta_json_dir": ({"meta_json_dir": "conf/"}, {"meta_json": "conf/META.json"}),
    "meta_json_dir is a prefix": ({"meta_json_dir": "conf"}, {"meta_json": "confMETA.json"}),
    "meta_json_dir empty": ({"meta_json_dir": ""}, {"meta_json": "META.json"}),
    "meta_json derived": ({}, {"meta_json": "models/META.json"}),
    "batching": (
        {"batching": ("max_batch_rows=64", "batch-timeout-ms = 2.5", "allowed_batch_rows=[8, 64]")},
        {"batching": BatchingSettings(max_batch_rows=64, batch_timeout_ms=2.5, allowed_batch_rows=(8, 64))},
    ),
    "batching's texts and words": (
        {"batching": ("enabled=false", "parameters_file=b.pbtxt")},
        {"batching": BatchingSettings(enabled=False, parameters_file="b.pbtxt")},
    ),
    "port": (
        {"port": 9500},
        {"transports": {"grpc": TransportSettings(port=9500), "http": TransportSettings()}},
    ),
    "port 0": ({"port": 0}, {"transports": {"grpc": TransportSettings(port=0), "http": TransportSettings()}}),
    "rest_port": (
        {"rest_port": 9501},
        {"transports": {"grpc": TransportSettings(), "http": TransportSettings(port=9501)}},
    ),
    "transport": ({"transport": ("http",)}, {"transports": {"http": TransportSettings()}}),
    "transport twice": ({"transport": ("http", "http")}, {"transports": {"http": TransportSettings()}}),
    "a transport that carries both": (
        {"transport": ("both",), "port": 9500},
        {"transports": {"both": TransportSettings(port=9500)}},
    ),
    "a transport's own port starts it beside the others": (
        {"plugins": (listener("port", 9600),)},
        {
            "transports": {
                "grpc": TransportSettings(),
                "http": TransportSettings(),
                "both": TransportSettings(port=9600),
            }
        },
    ),
    "a transport's own option": (
        {"plugins": (listener("depth", 3), listener("host", "::1")), "transport": ("both",)},
        {"transports": {"both": TransportSettings(host="::1", options={"depth": 3})}},
    ),
    "workers 1": ({"workers": 1}, {"workers": 1}),
    "workers 3": ({"workers": 3}, {"workers": 3}),
    "worker_timeout": (
        {"worker_timeout": 2.5, "max_workers_loading": 1},
        {"worker_timeout_s": 2.5, "max_workers_loading": 1},
    ),
}


@pytest.mark.parametrize(("flags", "fields"), HOST_ROWS.values(), ids=HOST_ROWS)
def test_host_flags(flags, fields):
    config = build(**flags)
    assert {name: getattr(config, name) for name in fields} == fields


# flag -> what is given for two models, and the field of each model that must follow
MODEL_ROWS = {
    "max_batch_size": (
        {"max_batch_size": (1, 16)},
        "batching",
        (BatchingSettings(max_batch_requests=1), BatchingSettings(max_batch_requests=16)),
    ),
    "batch_time_out_millis": (
        {"batch_time_out_millis": (2.0, 0.0)},
        "batching",
        (BatchingSettings(batch_timeout_ms=2.0), BatchingSettings(batch_timeout_ms=0.0)),
    ),
    "batch_drop_millis": (
        {"batch_drop_millis": 90.0},
        "batching",
        (BatchingSettings(batch_drop_ms=90.0), BatchingSettings(batch_drop_ms=90.0)),
    ),
    "max_warmup_records": (
        {"max_warmup_records": 0},
        "warmup",
        (WarmupSettings(max_records=0), WarmupSettings(max_records=0)),
    ),
    "versions_per_model": (
        {"versions_per_model": 3},
        "versions",
        (VersionPolicySettings(latest=3), VersionPolicySettings(latest=3)),
    ),
    "intra_op_parallelism": ({"intra_op_parallelism": (8, 4)}, "intra_op_threads", (8, 4)),
    "inter_op_parallelism": ({"inter_op_parallelism": (0, 1)}, "inter_op_threads", (0, 1)),
    "serving_sig": ({"serving_sig": ("predict", "")}, "signature", ("predict", None)),
    "input": ({"input": ("x,y", "")}, "inputs", (("x", "y"), None)),
    "input is not trimmed": ({"input": ("x, y", "z")}, "inputs", (("x", " y"), ("z",))),
    "output": ({"output": ("s", "t,u")}, "outputs", (("s",), ("t", "u"))),
    "plugin flag of a runtime": (
        {"plugins": (plugin("model", 1, 2),)},
        "runtime_options",
        ({"depth": 1}, {"depth": 2}),
    ),
    "plugin flag of a converter": (
        {"plugins": (plugin("model", "u", "v", kind="converter"),)},
        "converter_options",
        ({"depth": "u"}, {"depth": "v"}),
    ),
    "nothing": ({}, "batching", (BatchingSettings(), BatchingSettings())),
}


@pytest.mark.parametrize(("flags", "field", "values"), MODEL_ROWS.values(), ids=MODEL_ROWS)
def test_model_flags(flags, field, values):
    config = build(**flags)
    assert tuple(getattr(model, field) for model in config.models) == values


def test_every_flag_has_a_row():
    """A flag without a row above is a flag that nobody has looked at."""
    seen = {name for flags, *_ in [*HOST_ROWS.values(), *MODEL_ROWS.values()] for name in flags}
    elsewhere = {"model_dir", "model_repository", "ssl_dir", "num_worker_threads", "customops_lib"}
    elsewhere |= {"onnx_report_discrete_feature_ids", "onnx_report_continuous_feature_ids"}
    assert seen | elsewhere == {field.name for field in dataclasses.fields(ServeFlags)}


def test_model_dir__names_are_the_last_parts():
    config = build(model_dir=("models/a", "/srv/b/"))
    assert [(model.model_name, model.path) for model in config.models] == [
        ("a", "models/a"),
        ("b", "/srv/b/"),
    ]


DERIVED = {
    "models/prod_home": "models/META.json",
    "models/pvideo/": "models/META.json",
    "a/a": "a/META.json",
    "a": "META.json",
    "/a": "/META.json",
}


@pytest.mark.parametrize(("path", "meta_json"), DERIVED.items())
def test_meta_json__is_beside_the_first_model(path, meta_json):
    assert build(model_dir=(path,)).meta_json == meta_json


def test_meta_json__of_the_file_is_kept():
    base = HostConfig(models=(ModelConfig(path="x/a"),), meta_json="conf/META.json")
    assert build(base, model_dir=("y/b",)).meta_json == "conf/META.json"
    assert build(HostConfig(models=base.models)).meta_json is None


def test_ssl_dir__is_mutual_tls_on_every_transport():
    config = build(ssl_dir="/certs/")
    tls = TlsSettings(
        key="/certs/server.key",
        certificate="/certs/server.crt",
        chain="/certs/server.chain",
        client_ca=("/certs/server.crt", "/certs/server.chain"),
    )
    assert {name: said.tls for name, said in config.transports.items()} == {"grpc": tls, "http": tls}
    assert build(ssl_dir="").transports["grpc"].tls is None


def test_inert_flags__say_why():
    flags = ServeFlags(
        model_dir=("a",),
        num_worker_threads=4,
        customops_lib="x.so",
        onnx_report_discrete_feature_ids=("1,2",),
        onnx_report_continuous_feature_ids=("3",),
    )
    ignored = build_config(flags, HostConfig(), CARRIES).ignored
    assert set(ignored) == {
        "--num-worker-threads",
        "--customops-lib",
        "--onnx-report-discrete-feature-ids",
        "--onnx-report-continuous-feature-ids",
    }
    assert "one event loop" in ignored["--num-worker-threads"]
    assert ignored["--customops-lib"] == "no installed runtime takes it"
    assert build_config(ServeFlags(model_dir=("a",)), HostConfig(), CARRIES).ignored == {}


def test_plugin_flag_of_the_host__sets_the_plugins_table():
    base = HostConfig(
        models=(ModelConfig(path="a"),), runtimes={"toy": {"width": 1, "depth": 1}, "other": {"x": 1}}
    )
    config = build(base, plugins=(plugin("host", 7), plugin("host", 8, kind="converter")))
    assert config.runtimes == {"toy": {"width": 1, "depth": 7}, "other": {"x": 1}}
    assert config.converters == {"toy": {"depth": 8}}


# --- with a file --------------------------------------------------------------------------------

FILE = HostConfig(
    models=(
        ModelConfig(path="x/a", batching=BatchingSettings(max_batch_rows=64, max_batch_requests=2)),
        ModelConfig(path="x/b", name="bee", versions=VersionPolicySettings(all=True)),
    ),
    host="::1",
    transports={"grpc": TransportSettings(port=1, options={"o": 1}), "http": TransportSettings(port=2)},
    drain_timeout_s=3.0,
)


def test_file__stays_where_no_flag_speaks():
    assert build(FILE) == FILE


def test_file__flags_override_it():
    config = build(FILE, host="127.0.0.2", port=9, drain_timeout=4.0, versions_per_model=2)
    assert (config.host, config.drain_timeout_s) == ("127.0.0.2", 4.0)
    assert config.transports["grpc"] == TransportSettings(port=9, options={"o": 1})
    assert config.transports["http"] == TransportSettings(port=2)
    assert [model.versions for model in config.models] == [VersionPolicySettings(latest=2)] * 2


def test_file__lists_line_up_with_its_models_where_no_model_dir_is_given():
    config = build(FILE, max_batch_size=(5, 6))
    assert [model.batching for model in config.models] == [
        BatchingSettings(max_batch_rows=64, max_batch_requests=5),
        BatchingSettings(max_batch_requests=6),
    ]


def test_file__model_dirs_are_added_and_lists_line_up_with_them():
    config = build(FILE, model_dir=("y/c", "y/a"), max_batch_size=(7, 8))
    assert [(model.model_name, model.path) for model in config.models] == [
        ("a", "y/a"),
        ("bee", "x/b"),
        ("c", "y/c"),
    ]
    assert [model.batching.max_batch_requests for model in config.models] == [8, None, 7]
    assert config.models[0].batching.max_batch_rows == 64


def test_file__transport_flag_chooses_among_its_transports():
    config = build(FILE, transport=("http",))
    assert config.transports == {"http": TransportSettings(port=2)}


# --- refusals -----------------------------------------------------------------------------------

TWO = ("models/a", "models/b")
REFUSED = {
    "list too short": (
        {"max_batch_size": (1,)},
        "--max-batch-size: expected 2 values, one for each --model-dir, got 1",
    ),
    "list too long": (
        {"batch_time_out_millis": (1.0, 2.0, 3.0)},
        "--batch-time-out-millis: expected 2 values, one for each --model-dir, got 3",
    ),
    "plugin list too short": (
        {"plugins": (plugin("model", 1),)},
        "--toy-depth: expected 2 values, one for each --model-dir, got 1",
    ),
    "batching without a value": (
        {"batching": ("enabled",)},
        '--batching: expected NAME=VALUE, got "enabled"',
    ),
    "a word of batching that there is not": (
        {"batching": ("max_batch_row=1",)},
        "--batching.max_batch_row: unknown key, did you mean 'max_batch_rows'?",
    ),
    "a value of batching": (
        {"batching": ("max_batch_rows=many",)},
        '--batching.max_batch_rows: expected int >= 1, got "many"',
    ),
    "values of batching that do not fit": (
        {"batching": ("max_batch_rows=16", "allowed_batch_rows=[8]")},
        "batching.allowed_batch_rows[0]: expected the last row count to be at least max_batch_rows (16), got 8",
    ),
    "rest port of nothing": (
        {"transport": ("grpc",), "rest_port": 1},
        "--rest-port: expected one transport that it is the port of, got none of grpc: give ports in the --config file",
    ),
    "port of two": (
        {"transport": ("grpc", "both"), "port": 1},
        "--port: expected one transport that it is the port of, got 'grpc', 'both' of grpc, both: give ports in the --config file",
    ),
    "one port for both": (
        {"port": 9, "rest_port": 9},
        "transports.http.port: expected a port of its own, got 9 as transports.grpc.port",
    ),
    "a name twice": (
        {"model_dir": ("x/a", "y/a")},
        "models[1].name: expected a name of its own, got 'a' as models[0]",
    ),
}


@pytest.mark.parametrize(("flags", "expected"), REFUSED.values(), ids=REFUSED)
def test_refused__names_the_flag_and_both_sides(flags, expected):
    with pytest.raises(ConfigError) as caught:
        build(**flags)
    assert str(caught.value) == expected


def test_refused__lists_name_the_file_where_its_models_are_meant():
    with pytest.raises(ConfigError) as caught:
        build(FILE, output=("y",))
    assert str(caught.value) == "--output: expected 2 values, one for each model of the --config file, got 1"


def test_refused__nothing_to_serve_unless_admin_may_bring_it():
    with pytest.raises(ConfigError, match=r"^nothing to serve"):
        build(HostConfig())
    assert build(HostConfig(), admin=True).models == ()


@given(
    names=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True),
    counts=st.dictionaries(
        st.sampled_from(["max_batch_size", "intra_op_parallelism", "inter_op_parallelism"]),
        st.lists(st.integers(1, 99), max_size=5),
    ),
)
@settings(max_examples=100, deadline=None)
def test_lists__are_taken_exactly_when_every_one_given_has_a_value_for_each_model(names, counts):
    flags = {"model_dir": tuple(f"models/{name}" for name in names)}
    flags |= {name: tuple(values) for name, values in counts.items()}
    right = all(len(values) in (0, len(names)) for values in counts.values())
    if not right:
        with pytest.raises(ConfigError):
            build(**flags)
        return
    config = build(**flags)
    for name, field in (
        ("intra_op_parallelism", "intra_op_threads"),
        ("inter_op_parallelism", "inter_op_threads"),
    ):
        values = counts.get(name) or [None] * len(names)
        assert [getattr(model, field) for model in config.models] == values
