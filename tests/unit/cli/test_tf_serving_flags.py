"""TensorFlow Serving's flags: every one in every form, and what each comes to."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from navi_core.cli.lazy import normalise
from navi_core.cli.plugin_flags import plugin_flags, read_flags, serve_sections
from navi_core.cli.serve_config import build_config
from navi_core.cli.tf_serving_flags import TF_SERVING_FLAGS, given_flags
from navi_core.cli.tf_serving_line import read_line
from navi_core.config.records import (
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

CARRIES = {"grpc": frozenset({"rpc"}), "http": frozenset({"http"})}

MODELS = """
model_config_list {
  config {
    name: 'a' base_path: '/models/a' model_platform: 'tensorflow'
    model_version_policy { all {} } version_labels { key: 'stable' value: 3 }
  }
  config { name: 'b', base_path: '/models/b', model_platform: 'tensorflow' }
}
"""

BATCHING = """
max_batch_size { value: 64 }
batch_timeout_micros { value: 2500 }
max_enqueued_batches { value: 5 }
num_batch_threads { value: 3 }
allowed_batch_sizes: [8, 64]
pad_variable_length_inputs: true
thread_pool_name { value: "pool" }
"""

FILES = {
    "models.config": MODELS,
    "batching.config": BATCHING,
    "splitting.config": (
        "max_batch_size { value: 512 } enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 128 } allowed_batch_sizes: [32, 128]"
    ),
    "monitoring.config": "prometheus_config { enable: true }",
    "monitoring_elsewhere.config": "prometheus_config { enable: true path: '/metrics/tf' }",
    "monitoring_off.config": "prometheus_config { path: '/x' }",
    "ssl.config": "server_key: 'KEY' server_cert: 'CERT' custom_ca: 'CA' client_verify: false",
    "mutual.config": "server_key: 'KEY' server_cert: 'CERT' custom_ca: 'CA' client_verify: true",
}


class Plugins:
    def __init__(self, *runtimes):
        self._runtimes = runtimes

    def runtimes(self):
        return self._runtimes

    def converters(self):
        return ()

    def transports(self):
        return {}


def values_of(*args, registry=None):
    plugins, refused = plugin_flags(registry or Plugins())
    assert not refused
    options = [option for section in serve_sections(plugins) for option in section.options]
    command = click.Command("serve", params=options, context_settings={"token_normalize_func": normalise})
    with command.make_context("serve", list(args)) as ctx:
        return ctx.params, read_flags(ctx.params, plugins)


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Read a command line in a folder that has the files."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)

    def run(text, base=None):
        values, flags = values_of(*text.split())
        keys = tmp_path / "keys"
        keys.mkdir(exist_ok=True)
        line = read_line(given_flags(values), base or HostConfig(), flags, lambda: keys)
        built = build_config(line.flags, line.config, CARRIES)
        return built.config, {**line.ignored, **built.ignored}, line

    return run


BASE = "--model_base_path=/models/m"
"""Makes a line of TensorFlow Serving's."""

VALUES = {bool: "true", str: "text", int: "3", float: "0.5"}


def value_for(flag):
    return VALUES.get(flag.kind, "3")


# --- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flag", [each for each in TF_SERVING_FLAGS if not each.is_own], ids=lambda each: each.key
)
def test_every_flag_in_every_form(flag):
    value = value_for(flag)
    expected = {"true": True, "text": "text", "3": 3, "0.5": 0.5}[value]
    underscored = "--" + flag.key
    forms = [[name, value] for name in (flag.name, underscored)]
    forms += [[f"{name}={value}"] for name in (flag.name, underscored)]
    if flag.kind is bool:
        forms += [[flag.name], [underscored], [flag.name, "--port", "1"]]
    for form in forms:
        values, _ = values_of(*form)
        assert given_flags(values) == {flag.key: expected}, form
    if flag.kind is bool:
        for text, said in (("false", False), ("0", False), ("1", True), ("True", True), ("FALSE", False)):
            assert given_flags(values_of(f"{flag.name}={text}")[0]) == {flag.key: said}
        with pytest.raises(click.BadParameter):
            values_of(f"{flag.name}=perhaps")


def test_a_bare_switch_before_another_flag():
    values, flags = values_of("--enable_batching", "--port=1", "--enable-model-warmup", "false", "-m", "d")
    assert given_flags(values) == {"enable_batching": True, "enable_model_warmup": False}
    assert (flags.port, flags.model_dir) == (1, ("d",))


@pytest.mark.parametrize(
    "text", ["--rest_api_port=70000", "--num_load_threads=-1", "--max_num_load_retries=x"]
)
def test_wrong_values_are_usage_errors(text):
    with pytest.raises(click.BadParameter, match="expected"):
        values_of(text)


def test_version_is_printed():
    command = click.Command("serve", params=serve_sections([])[-1].options)
    ended = CliRunner().invoke(command, ["--version"])
    assert (ended.exit_code, ended.output.split()[0]) == (0, "navi-core")


# --- meaning: a row for every flag ---------------------------------------------------------------------

A = ModelConfig(path="/models/a", name="a", versions=VersionPolicySettings(all=True), labels={"stable": 3})
B = ModelConfig(path="/models/b", name="b")
M = ModelConfig(path="/models/m", name="default")
TF_BATCHING = BatchingSettings(
    enabled=True,
    max_batch_rows=1000,
    max_batch_requests=1000,
    batch_timeout_ms=0,
    max_queue_rows=10_000,
    split_large_requests=False,
)
FILE_BATCHING = BatchingSettings(
    enabled=True,
    max_batch_rows=64,
    max_batch_requests=64,
    batch_timeout_ms=2.5,
    allowed_batch_rows=(8, 64),
    max_queue_rows=320,
    max_concurrent_batches=3,
    split_large_requests=False,
)


def models(config):
    return config.models


def one(field):
    return lambda config: getattr(config.models[0], field)


def ports(config):
    return {name: each.port for name, each in config.transports.items()}


def options(name):
    return lambda config: config.service_options["tf_serving"][name]


ROWS = [
    ("port", f"{BASE} --port=9000", ports, {"grpc": 9000}),
    ("port", f"{BASE} --port=0 --rest_api_port=1", ports, {"http": 1}),
    ("port", BASE, ports, {"grpc": None}),
    (
        "grpc_socket_path",
        f"{BASE} --grpc_socket_path=/run/s",
        lambda config: config.transports["grpc"].options,
        {"unix_socket": "/run/s"},
    ),
    ("grpc_socket_path", f"{BASE} --grpc_socket_path=/run/s --port=0", ports, {"grpc": 0}),
    ("rest_api_port", f"{BASE} --rest_api_port=8501", ports, {"grpc": None, "http": 8501}),
    ("rest_api_port", f"{BASE} --rest_api_port=0", ports, {"grpc": None}),
    (
        "rest_api_timeout_in_ms",
        f"{BASE} --rest_api_timeout_in_ms=500",
        lambda config: config.default_deadline_ms,
        500,
    ),
    (
        "rest_api_timeout_in_ms",
        f"{BASE} --rest_api_timeout_in_ms=-1",
        lambda config: config.default_deadline_ms,
        0,
    ),
    ("rest_api_enable_cors_support", f"{BASE} --rest_api_enable_cors_support", options("cors"), True),
    (
        "grpc_channel_arguments",
        f"{BASE} --grpc_channel_arguments=grpc.a=7,grpc.b=text,grpc.c=x=y",
        lambda config: config.transports["grpc"].options["channel_arguments"],
        {"grpc.a": 7, "grpc.b": "text", "grpc.c": "x=y"},
    ),
    ("model_base_path", BASE, models, (M,)),
    ("model_name", f"{BASE} --model_name=half", one("model_name"), "half"),
    ("model_config_file", "--model_config_file=models.config", models, (A, B)),
    ("model_config_file", f"--model_config_file=models.config {BASE}", models, (A, B)),
    (
        "allow_version_labels_for_unavailable_models",
        f"{BASE} --allow_version_labels_for_unavailable_models=true",
        options("allow_unavailable_labels"),
        True,
    ),
    (
        "file_system_poll_wait_seconds",
        f"{BASE} --file_system_poll_wait_seconds=7",
        lambda config: config.poll_interval_s,
        7,
    ),
    (
        "file_system_poll_wait_seconds",
        f"{BASE} --file_system_poll_wait_seconds=-1",
        lambda config: config.poll_interval_s,
        0,
    ),
    ("enable_batching", BASE, one("batching"), BatchingSettings()),
    ("enable_batching", f"{BASE} --enable_batching=false", one("batching"), BatchingSettings(enabled=False)),
    ("enable_batching", f"{BASE} --enable_batching", one("batching"), TF_BATCHING),
    ("enable_batching", "-m /models/x --enable_batching", one("batching"), TF_BATCHING),
    (
        "batching_parameters_file",
        f"{BASE} --enable_batching --batching_parameters_file=batching.config",
        one("batching"),
        FILE_BATCHING,
    ),
    (
        "batching_parameters_file",
        f"{BASE} --enable_batching --batching_parameters_file=splitting.config",
        lambda config: (
            config.models[0].batching.max_batch_rows,
            config.models[0].batching.split_large_requests,
            config.models[0].batching.max_queue_rows,
        ),
        (128, True, 5120),
    ),
    (
        "enable_per_model_batching_parameters",
        f"{BASE} --enable_batching --enable_per_model_batching_parameters --batching_parameters_file=batching.config",
        one("batching"),
        BatchingSettings(parameters_file="batching_params.pbtxt", max_concurrent_batches=3),
    ),
    ("num_load_threads", f"{BASE} --num_load_threads=5", lambda config: config.load_threads, 5),
    ("num_load_threads", f"{BASE} --num_load_threads=0", lambda config: config.load_threads, 2),
    ("max_num_load_retries", f"{BASE} --max_num_load_retries=0", lambda config: config.max_load_retries, 0),
    (
        "load_retry_interval_micros",
        f"{BASE} --load_retry_interval_micros=1500000",
        lambda config: config.load_retry_interval_s,
        1.5,
    ),
    (
        "load_retry_interval_micros",
        f"{BASE} --load_retry_interval_micros=-1",
        lambda config: config.load_retry_interval_s,
        1e-6,
    ),
    ("use_alts_credentials", f"{BASE} --use_alts_credentials=false", models, (M,)),
    (
        "tensorflow_session_parallelism",
        f"{BASE} --tensorflow_session_parallelism=4",
        lambda config: (config.models[0].intra_op_threads, config.models[0].inter_op_threads),
        (4, 4),
    ),
    (
        "tensorflow_intra_op_parallelism",
        f"{BASE} --tensorflow_intra_op_parallelism=2 --tensorflow_session_parallelism=4",
        lambda config: (config.models[0].intra_op_threads, config.models[0].inter_op_threads),
        (2, 4),
    ),
    (
        "tensorflow_inter_op_parallelism",
        f"{BASE} --tensorflow_inter_op_parallelism=2",
        lambda config: (config.models[0].intra_op_threads, config.models[0].inter_op_threads),
        (None, 2),
    ),
    (
        "monitoring_config_file",
        f"{BASE} --monitoring_config_file=monitoring.config",
        lambda config: (config.compat_metrics, config.metrics_paths),
        (("tensorflow",), ("/metrics", "/monitoring/prometheus/metrics")),
    ),
    (
        "monitoring_config_file",
        f"{BASE} --monitoring_config_file=monitoring_elsewhere.config",
        lambda config: config.metrics_paths,
        ("/metrics", "/metrics/tf"),
    ),
    (
        "monitoring_config_file",
        f"{BASE} --monitoring_config_file=monitoring_off.config",
        lambda config: (config.compat_metrics, config.metrics_paths),
        ((), ("/metrics",)),
    ),
    (
        "enable_model_warmup",
        f"{BASE} --enable_model_warmup=false",
        one("warmup"),
        WarmupSettings(records=False),
    ),
    ("enable_model_warmup", f"{BASE} --enable_model_warmup", one("warmup"), WarmupSettings()),
    (
        "num_request_iterations_for_warmup",
        f"{BASE} --num_request_iterations_for_warmup=3",
        one("warmup"),
        WarmupSettings(iterations=3),
    ),
    (
        "num_request_iterations_for_warmup",
        f"{BASE} --num_request_iterations_for_warmup=-3",
        one("warmup"),
        WarmupSettings(),
    ),
    (
        "enable_signature_method_name_check",
        f"{BASE} --enable_signature_method_name_check=1",
        options("check_method_names"),
        True,
    ),
    (
        "enable_serialization_as_tensor_content",
        f"{BASE} --enable_serialization_as_tensor_content",
        options("response_tensors"),
        "tensor_content",
    ),
]
THREADS = ("session", "intra_op", "inter_op")
ELSEWHERE = {"version", "ssl_config_file", "model_config_file_poll_wait_seconds"}


@pytest.mark.parametrize(("key", "line", "look", "expected"), ROWS, ids=[row[1] for row in ROWS])
def test_what_is_obeyed(serve, key, line, look, expected):
    config, _, _ = serve(line)
    assert look(config) == expected


@pytest.mark.parametrize(
    "flag", [each for each in TF_SERVING_FLAGS if each.is_inert], ids=lambda each: each.key
)
def test_what_has_no_effect_says_why__once(serve, flag):
    plain, nothing, _ = serve(BASE)
    config, ignored, _ = serve(f"{BASE} {flag.name}={value_for(flag)}")
    assert not nothing
    assert config == plain
    assert ignored == {flag.name: flag.meaning}


def test_every_flag_is_tested():
    walked = {row[0] for row in ROWS} | ELSEWHERE | {each.key for each in TF_SERVING_FLAGS if each.is_inert}
    assert walked == {each.key for each in TF_SERVING_FLAGS}


def test_batching_parameters_without_effect_say_why(serve):
    _, ignored, _ = serve(f"{BASE} --enable_batching --batching_parameters_file=batching.config")
    assert ignored == {
        "--batching-parameters-file: pad_variable_length_inputs": (
            "requests of different shapes run in batches of their own"
        ),
        "--batching-parameters-file: thread_pool_name": "no metric shows it",
    }


def test_what_models_say_without_effect_says_why(serve, tmp_path):
    logged = MODELS.replace(
        "name: 'b',", "name: 'b', logging_config { sampling_config { sampling_rate: 0.5 } }"
    )
    (tmp_path / "logged.config").write_text(logged)
    config, ignored, _ = serve("--model_config_file=logged.config")
    assert config.models == (A, B)
    assert ignored == {"--model-config-file: logging_config": "requests are not logged to files"}


# --- a line of TensorFlow Serving's, and a line of navi's with one of its flags ----------------------------


def test_a_line_of_theirs_listens_everywhere(serve):
    assert serve(BASE)[0].host == "0.0.0.0"
    assert serve("--model_config_file=models.config")[0].host == "0.0.0.0"
    assert serve(f"{BASE} --host 127.0.0.2")[0].host == "127.0.0.2"
    assert serve("-m /models/a --enable_batching")[0].host == "127.0.0.1"


def test_navis_own_flags_stand_beside_theirs(serve):
    config, ignored, _ = serve("-m /models/x --rest_api_port=7 --port 8 --admin")
    assert (ports(config), config.admin, ignored) == ({"grpc": 8, "http": 7}, True, {})
    assert ports(serve(f"{BASE} --transport http --rest-port 5")[0]) == {"http": 5}
    config, _, _ = serve("-m /models/x --enable_batching --max-batch-size 9")
    assert config.models[0].batching.max_batch_requests == 9
    config, _, _ = serve("-m /models/x --model_config_file=models.config")
    assert {model.model_name for model in config.models} == {"x", "a", "b"}


def test_a_configured_model_keeps_what_the_flags_do_not_say(serve):
    base = HostConfig(models=(ModelConfig(path="/old", name="a", converter="tf_example"),))
    config, _, _ = serve("--model_config_file=models.config --tensorflow_intra_op_parallelism=2", base)
    assert config.models[0] == ModelConfig(
        path="/models/a",
        name="a",
        versions=VersionPolicySettings(all=True),
        labels={"stable": 3},
        converter="tf_example",
        intra_op_threads=2,
    )


def test_rest_on_the_same_port_is_skipped(serve):
    config, ignored, _ = serve(f"{BASE} --rest_api_port=8500")
    assert (ports(config), ignored) == (
        {"grpc": None},
        {"--rest-api-port": "it is the same as --port: REST is not offered"},
    )


def test_a_port_of_0_turns_rest_off_only_on_a_line_of_theirs(serve):
    config, ignored, _ = serve("-m /models/x --rest_api_port=0")
    assert ports(config) == {"grpc": None, "http": None}
    assert list(ignored) == ["--rest-api-port"]


def test_models_that_come_later_are_configured_alike(serve):
    config, _, _ = serve(f"{BASE} --enable_batching=false --enable_model_warmup=false")
    assert config.service_options == {
        "tf_serving": {"model_defaults": {"batching": {"enabled": False}, "warmup": {"records": False}}}
    }
    assert serve(BASE)[0].service_options == {}


@pytest.mark.parametrize(("file", "client_ca"), [("ssl.config", ()), ("mutual.config", ("ca.crt",))])
def test_ssl_config_file(serve, tmp_path, file, client_ca):
    config, _, _ = serve(f"{BASE} --rest_api_port=1 --ssl_config_file={file}")
    keys = tmp_path / "keys"
    assert config.transports["grpc"].tls == TlsSettings(
        key=str(keys / "server.key"),
        certificate=str(keys / "server.crt"),
        client_ca=tuple(str(keys / name) for name in client_ca),
    )
    assert config.transports["http"].tls is None
    assert (keys / "server.key").read_text() == "KEY"
    assert (keys / "server.key").stat().st_mode & 0o777 == 0o600


def test_the_file_of_models_is_followed(serve):
    _, _, line = serve("--model_config_file=models.config --model_config_file_poll_wait_seconds=7")
    assert (line.followed.poll_wait_s, line.followed.names) == (7, {"a", "b"})
    for flag in ("", " --model_config_file_poll_wait_seconds=0", " --model_config_file_poll_wait_seconds=-1"):
        assert serve(f"--model_config_file=models.config{flag}")[2].followed is None


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (f"{BASE} --batching_parameters_file=batching.config", "--enable-batching"),
        (f"{BASE} --enable_per_model_batching_parameters", "--enable-batching"),
        (f"{BASE} --port=0", "neither gRPC nor REST"),
        (f"{BASE} --grpc_channel_arguments=a", "expected NAME=VALUE"),
        (
            " ".join([BASE, *(f"--tensorflow_{each}_parallelism=1" for each in THREADS)]),
            "got all three",
        ),
        (f"{BASE} --use_alts_credentials", "there is no ALTS here"),
        ("--enable_batching", "nothing to serve"),
        ("--model_config_file=none.config", "No such file"),
        ("--model_config_file=batching.config", "expected a ModelServerConfig as text: 2:1"),
        (f"{BASE} --monitoring_config_file=ssl.config", "expected a MonitoringConfig as text"),
        (f"{BASE} --ssl_config_file=monitoring.config", "expected a SSLConfig as text"),
        (f"{BASE} --enable_batching --batching_parameters_file=models.config", "BatchingParameters as text"),
    ],
)
def test_what_is_refused(serve, line, match):
    with pytest.raises(ConfigError, match=match):
        serve(line)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("server_cert: 'c'", "server_key: missing"),
        ("server_key: 'k'", "server_cert: missing"),
        ("server_key: 'k' server_cert: 'c' client_verify: true", "custom_ca: missing"),
    ],
)
def test_ssl_config_files_that_are_refused(serve, tmp_path, text, match):
    (tmp_path / "bad.config").write_text(text)
    with pytest.raises(ConfigError, match=match):
        serve(f"{BASE} --ssl_config_file=bad.config")


def test_a_plugin_takes_a_flag_that_does_nothing_by_itself():
    flag = ServeFlag(name="--saved-model-tags", option="tags", help="Tags.")
    runtime = type("Runtime", (), {"name": "tf", "serve_flags": (flag,)})()
    values, flags = values_of("--saved_model_tags=serve,gpu", registry=Plugins(runtime))
    assert given_flags(values) == {}
    assert flags.plugins[0].values == ("serve,gpu",)


def test_defaults_without_any_of_the_flags():
    config = HostConfig(transports={"grpc": TransportSettings(port=1)})
    _, flags = values_of("-m", "d")
    line = read_line({}, config, flags, lambda: pytest.fail("no folder is needed"))
    assert (line.config is config, line.flags is flags, dict(line.ignored)) == (True, True, {})
