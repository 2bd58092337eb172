"""The flags of ``serve`` as click takes them: spellings, types, and those that plugins add."""

from __future__ import annotations

import click
import pytest

from navi_core.cli.lazy import normalise
from navi_core.cli.plugin_flags import plugin_flags, read_flags, serve_sections
from navi_core.cli.serve_config import ServeFlags
from navi_core.cli.serve_options import own_sections
from navi_core.contracts.serve_flags import ServeFlag


class Plugin:
    def __init__(self, name: str, *flags: ServeFlag) -> None:
        self.name = name
        self.serve_flags = flags


class Plugins:
    def __init__(self, runtimes=(), converters=(), transports=()) -> None:
        self._runtimes, self._converters, self._transports = runtimes, converters, transports

    def runtimes(self):
        return self._runtimes

    def converters(self):
        return self._converters

    def transports(self):
        return {each.name: each for each in self._transports}


def parse(*args: str, registry: Plugins | None = None) -> ServeFlags:
    plugins, _ = plugin_flags(registry or Plugins())
    options = [option for section in serve_sections(plugins) for option in section.options]
    command = click.Command("serve", params=options, context_settings={"token_normalize_func": normalise})
    with command.make_context("serve", list(args)) as ctx:
        return read_flags(ctx.params, plugins)


ROWS = {
    "-m a -m b": {"model_dir": ("a", "b")},
    "--model-dir a": {"model_dir": ("a",)},
    "--model_dir a --model-dir=b": {"model_dir": ("a", "b")},
    "-p 1": {"port": 1},
    "--port 0 --rest-port 2 --rest_port 3": {"port": 0, "rest_port": 3},
    "-n 3": {"num_worker_threads": 3},
    "--num_worker_threads 3": {"num_worker_threads": 3},
    "-b 2 -b 3": {"batch_time_out_millis": (2.0, 3.0)},
    "--batch-time-out-millis 2.5": {"batch_time_out_millis": (2.5,)},
    "-s certs": {"ssl_dir": "certs"},
    "-c x.so,y.so": {"customops_lib": "x.so,y.so"},
    "--max-batch-size 1 --max_batch_size 2": {"max_batch_size": (1, 2)},
    "--batch-drop-millis 90": {"batch_drop_millis": 90.0},
    "--batching max_batch_rows=8 --batching enabled=true": {"batching": ("max_batch_rows=8", "enabled=true")},
    "--model-check-interval-secs 300": {"model_check_interval_secs": 300.0},
    "--meta-json-dir models/": {"meta_json_dir": "models/"},
    "--modelsync-cli 'run_it'": {"modelsync_cli": "'run_it'"},
    "--versions-per-model 7": {"versions_per_model": 7},
    "--intra-op-parallelism 8 --intra-op-parallelism 4": {"intra_op_parallelism": (8, 4)},
    "--inter-op-parallelism 0": {"inter_op_parallelism": (0,)},
    "--serving-sig serving_default": {"serving_sig": ("serving_default",)},
    "--input a_b,c --output d_e": {"input": ("a_b,c",), "output": ("d_e",)},
    "--max-blocking-threads 14": {"max_blocking_threads": 14},
    "--max-warmup-records 0": {"max_warmup_records": 0},
    "--transport http --transport grpc": {"transport": ("http", "grpc")},
    "--host 0.0.0.0 --prometheus-port 9000": {"host": "0.0.0.0", "prometheus_port": 9000},
    "--admin": {"admin": True},
    "--no-admin": {"admin": False},
    "--admin-token-file a --infer-token-file b": {"admin_token_file": "a", "infer_token_file": "b"},
    "--drain-timeout 5": {"drain_timeout": 5.0},
    "--workers 2": {"workers": 2},
    "--workers auto": {"workers": 0},
    "--worker-timeout 2.5 --max-workers-loading 1": {"worker_timeout": 2.5, "max_workers_loading": 1},
    "--max-message-bytes 10 --memory-budget-bytes 20": {"max_message_bytes": 10, "memory_budget_bytes": 20},
    "": {},
}


@pytest.mark.parametrize(("line", "said"), ROWS.items())
def test_flags(line, said):
    assert parse(*line.split()) == ServeFlags(**said)


WRONG = {
    "--port 70000": 'expected int >= 0 and <= 65535, got "70000"',
    "--port x": 'expected int >= 0 and <= 65535, got "x"',
    "--max-batch-size 0": 'expected int >= 1, got "0"',
    "--batch-time-out-millis nan": 'expected number >= 0 and <= 1e+09, got "nan"',
    "--batch-drop-millis 0": 'expected number > 0 and <= 1e+09, got "0"',
    "--drain-timeout inf": 'expected number >= 0 and <= 1e+09, got "inf"',
    "--worker-timeout 0": 'expected number > 0 and <= 1e+09, got "0"',
    "--max-workers-loading 0": 'expected int >= 1, got "0"',
    "--max-message-bytes 3000000000": 'expected int >= 1 and <= 2147483647, got "3000000000"',
    "--log-level loud": "'loud' is not one of",
    "--batch-time-out-milis 2": "Did you mean",
}


@pytest.mark.parametrize(("line", "text"), WRONG.items())
def test_wrong_values__are_usage_errors(line, text):
    with pytest.raises(click.UsageError) as caught:
        parse(*line.split())
    assert text in caught.value.format_message()


def test_flags_of_navi__all_have_their_names_and_short_forms():
    names = {name for section in own_sections() for option in section.options for name in option.opts}
    assert names >= {
        "--port", "-p", "--prometheus-port", "--num-worker-threads", "-n", "--max-blocking-threads",
        "--max-batch-size", "--batch-time-out-millis", "-b", "--batch-drop-millis",
        "--model-check-interval-secs", "--model-dir", "-m", "--meta-json-dir", "--ssl-dir", "-s",
        "--modelsync-cli", "--versions-per-model", "--customops-lib", "-c", "--intra-op-parallelism",
        "--inter-op-parallelism", "--serving-sig", "--input", "--output", "--max-warmup-records",
        "--onnx-report-discrete-feature-ids", "--onnx-report-continuous-feature-ids",
    }  # fmt: skip


# --- plugins ------------------------------------------------------------------------------------


def flag(name: str, **rest: object) -> ServeFlag:
    return ServeFlag(**{"name": name, "option": "o", "help": "Does it.", **rest})


def test_plugin_flag__is_parsed_by_the_plugin():
    registry = Plugins([Plugin("onnx", flag("--onnx-gpu-ep", parse=str.upper))])
    (said,) = parse("--onnx_gpu_ep", "cuda", registry=registry).plugins
    assert (said.kind, said.plugin, said.flag.option, said.values) == ("runtime", "onnx", "o", ("CUDA",))


def test_plugin_flag__for_each_model_is_repeated():
    registry = Plugins(converters=[Plugin("bpr", flag("--ids", scope="model", parse=int))])
    (said,) = parse("--ids", "1", "--ids", "2", registry=registry).plugins
    assert (said.kind, said.values) == ("converter", (1, 2))


def test_plugin_flag__not_given_says_nothing():
    registry = Plugins([Plugin("onnx", flag("--a-flag"), flag("--b-flag", scope="model"))])
    assert parse(registry=registry).plugins == ()


def test_plugin_flag__value_error_is_a_usage_error():
    def refuse(text: str) -> object:
        raise ValueError(f"expected k=v, got '{text}'")

    registry = Plugins([Plugin("onnx", flag("--onnx-ep-options", parse=refuse))])
    with pytest.raises(click.UsageError) as caught:
        parse("--onnx-ep-options", "x", registry=registry)
    assert "'--onnx-ep-options': expected k=v, got 'x'" in caught.value.format_message()


def test_plugin_flag__of_two_plugins_goes_to_both_as_each_parses_it():
    registry = Plugins(
        [Plugin("one", flag("--profiling")), Plugin("two", flag("--profiling", option="p", parse=len))]
    )
    said = parse("--profiling", "abc", registry=registry).plugins
    assert [(each.plugin, each.flag.option, each.values) for each in said] == [
        ("one", "o", ("abc",)),
        ("two", "p", (3,)),
    ]


def test_plugin_flag__takes_the_place_of_an_inert_one_with_its_short_form():
    registry = Plugins([Plugin("tf", flag("--customops-lib", option="libraries"))])
    flags = parse("-c", "x.so", registry=registry)
    assert flags.customops_lib is None
    assert [(each.plugin, each.values) for each in flags.plugins] == [("tf", ("x.so",))]


REFUSED = {
    "a name of navi-host's": ([Plugin("x", flag("--port"))], "--port", "navi-host has one of its own"),
    "a short name": ([Plugin("x", flag("-x"))], "-x", "expected --a-long-name"),
    "two scopes": (
        [Plugin("x", flag("--depth")), Plugin("y", flag("--depth", scope="model"))],
        "--depth",
        "runtime 'y' offers it for the model, runtime 'x' for the host",
    ),
}


@pytest.mark.parametrize(("runtimes", "name", "reason"), REFUSED.values(), ids=REFUSED)
def test_plugin_flag__refused_says_why_and_leaves_the_rest(runtimes, name, reason):
    flags, refused = plugin_flags(Plugins([*runtimes, Plugin("good", flag("--good-one"))]))
    assert reason in refused[name]
    assert "--good-one" in [each.flag.name for each in flags]


def test_plugin_flag__of_a_transport():
    port = flag("--smoke-port", option="port", parse=int)
    read = parse("--smoke-port", "9", registry=Plugins(transports=[Plugin("smoke", port)]))
    (said,) = read.plugins
    assert (said.kind, said.plugin, said.flag.option, said.values) == ("transport", "smoke", "port", (9,))


def test_help__says_who_a_plugin_flag_belongs_to():
    flags, _ = plugin_flags(Plugins([Plugin("onnx", flag("--onnx-gpu-ep", scope="model"))]))
    (section,) = [each for each in serve_sections(flags) if each.title == "Plugin flags: runtime onnx"]
    assert [(option.opts, option.help) for option in section.options] == [(["--onnx-gpu-ep"], "* Does it.")]
