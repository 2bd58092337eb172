"""The command line as a whole: exit status, one sentence on stderr, commands of plugins."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys

import click
import pytest

from navi_core.cli import main as cli_main
from navi_core.cli.failures import CommandError, report
from navi_core.cli.state import BUILT_IN
from navi_core.errors import (
    ConfigError,
    ModelLoadError,
    NaviError,
    PluginConflictError,
    PluginNotFoundError,
)


def test_help__lists_the_commands_of_plugins_too(navi_host):
    ended = navi_host("--help", plugins=("toy_command",))
    assert ended.status == 0
    for name, (_, line) in BUILT_IN.items():
        assert f"  {name}" in ended.out
        assert line in ended.out
    assert re.search(r"  toy-greet +Greet somebody\.", ended.out)


def test_no_command__is_bad_usage_and_shows_the_help(navi_host):
    ended = navi_host()
    assert ended.status == 2
    assert "Commands:" in ended.out


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_command__has_help(navi_host, name):
    ended = navi_host(name, "--help")
    assert ended.status == 0
    assert f"Usage: navi-host {name} " in ended.out
    assert "--debug" in ended.out


def test_version(navi_host):
    ended = navi_host("--version")
    assert (ended.status, ended.out) == (0, "navi-core 0.1.0\n")


def test_plugin_command__runs(navi_host):
    ended = navi_host("toy-greet", "ann", plugins=("toy_command",))
    assert (ended.status, ended.out, ended.err) == (0, "hello, ann\n", "")


def test_plugin_command__either_spelling(navi_host):
    assert navi_host("toy_greet", "ann", plugins=("toy_command",)).status == 0


def test_plugin_command__its_errors_are_navi_hosts(navi_host):
    ended = navi_host("toy-greet", "\x00", plugins=("toy_command",))
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "navi-host: NAME: expected a printable name, got '\\x00'\n"


def test_unknown_command__with_the_one_that_was_meant(navi_host):
    ended = navi_host("plugin")
    assert ended.status == 2
    assert (
        ended.err == "navi-host: no such command 'plugin', did you mean 'plugins'? (see 'navi-host --help')\n"
    )
    assert navi_host("zzz").err == "navi-host: no such command 'zzz' (see 'navi-host --help')\n"


def test_unknown_option__is_one_sentence(navi_host):
    ended = navi_host("plugins", "--jsonn")
    assert ended.status == 2
    assert ended.err == (
        "navi-host: no such option '--jsonn', did you mean '--json'? (see 'navi-host plugins --help')\n"
    )


def test_option_without_its_value__refers_to_the_help_of_its_command(navi_host):
    ended = navi_host("serve", "--port")
    assert ended.status == 2
    assert ended.err == "navi-host: option '--port' requires an argument (see 'navi-host serve --help')\n"


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "No space left on device"),
        (OSError(errno.EACCES, "Permission denied", "a.toml"), 1, "a.toml: Permission denied"),
        (OSError("odd"), 1, "internal error: OSError: odd ('--debug' shows where)"),
    ],
    ids=["a full disk", "a closed file", "no error of the machine's"],
)
def test_report__what_the_machine_refuses_is_no_internal_error(capsys, error, status, text):
    assert report(error, debug=False) == status
    assert capsys.readouterr().err == f"navi-host: {text}\n"


def test_report__a_module_whose_import_was_interrupted_is_not_broken(capsys):
    error = ImportError("numpy failed to import")
    error.__cause__ = KeyboardInterrupt()
    assert report(error, debug=False) == 130
    assert capsys.readouterr().err == "navi-host: interrupted\n"


STATUS = {
    "configuration": (ConfigError("x", path="a.b"), 2, "navi-host: a.b: x\n"),
    "plugin that is not there": (
        PluginNotFoundError("no runtime is called 'x'"),
        2,
        "navi-host: no runtime is called 'x'\n",
    ),
    "other plugin trouble": (PluginConflictError("two"), 1, "navi-host: two\n"),
    "a model": (ModelLoadError("it is broken"), 1, "navi-host: it is broken\n"),
    "several lines": (NaviError("one\n  two"), 1, "navi-host: one two\n"),
    "a command": (CommandError("no"), 1, "navi-host: no\n"),
    "a file": (
        FileNotFoundError(2, "No such file or directory", "x.npz"),
        1,
        "navi-host: x.npz: No such file or directory\n",
    ),
    "Ctrl-C": (KeyboardInterrupt(), 130, "navi-host: interrupted\n"),
    "Ctrl-C as click has it": (click.Abort(), 130, "navi-host: interrupted\n"),
    "a bug": (KeyError("x"), 1, "navi-host: internal error: KeyError: 'x' ('--debug' shows where)\n"),
    "usage without a context": (
        click.UsageError("Got it wrong."),
        2,
        "navi-host: got it wrong (see 'navi-host --help')\n",
    ),
    "another of click's": (click.ClickException("Oh"), 1, "navi-host: Oh\n"),
}


@pytest.mark.parametrize(("error", "status", "text"), STATUS.values(), ids=STATUS)
def test_report__status_and_sentence(capsys, error, status, text):
    assert report(error, debug=False) == status
    assert capsys.readouterr().err == text


@pytest.mark.parametrize("args", [("--debug", "toy-greet", "\x00"), ("toy-greet", "\x00", "--debug")])
def test_debug__shows_the_traceback_before_or_behind_the_command(navi_host, args):
    ended = navi_host(*args, plugins=("toy_command",))
    assert ended.status == 2
    assert "Traceback (most recent call last)" in ended.err
    assert ended.err.endswith("navi-host: NAME: expected a printable name, got '\\x00'\n")


def test_without_debug__there_is_no_traceback(navi_host):
    assert "Traceback" not in navi_host("toy-greet", "\x00", plugins=("toy_command",)).err


def test_plugin_command__return_value_is_no_exit_status():
    group = cli_main.make_group()
    group.add_command(click.Command("count", callback=lambda: 3))
    group.get_command = lambda ctx, name: click.Group.get_command(group, ctx, name)
    assert group.main(["count"], standalone_mode=False) is None


HEAVY = ("grpc", "numba", "onnxruntime", "tensorflow", "torch", "aiohttp", "google.protobuf")


@pytest.mark.parametrize("args", [["plugins", "--json"], ["--help"], ["plugins"]])
def test_light_commands__import_no_framework_and_no_server(args):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "navi_core", *args],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "navi_core.cli.main" in modules
    assert (
        sorted(name for name in modules if any(name == each or name.startswith(f"{each}.") for each in HEAVY))
        == []
    )


def test_plugins_json__is_json_in_a_process_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "navi_core", "plugins", "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    rows = json.loads(done.stdout)
    assert {"core"} <= {row["plugin"] for row in rows}
