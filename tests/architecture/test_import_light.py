"""What gets imported when: discovering, registering and listing plugins must stay cheap."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "grpc",
    "aiohttp",
    "numba",
    "llvmlite",
    "onnxruntime",
    "onnx",
    "tensorflow",
    "torch",
    "google.protobuf",
    "thrift",
)


def imported_by(code: str, environ: dict[str, str] | None = None) -> set[str]:
    """Return the names of all modules in memory after some code ran in an interpreter of its own."""
    script = f"{code}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_navi_core_imports_nothing_of_it_yet():
    names = imported_by("import navi_core")
    assert {name for name in names if name.startswith("navi_core")} == {"navi_core"}
    assert not names & {"numpy", "pluggy", "msgspec", "structlog", "asyncio", *HEAVY}


def test_the_names_that_a_plugin_needs_import_nothing_heavy():
    names = imported_by("from navi_core import Runtime, Converter, Service, Transport, ModelSource, hookimpl")
    assert not names & {*HEAVY, "click", "rich", "asyncio"}


REGISTER = "from navi_core.plugins.discovery import discover\nfrom navi_core.plugins.registry import Registry\nr = Registry(discover())\n"


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import navi_core.plugins.builtin", id="built-ins"),
        pytest.param(REGISTER, id="registry"),
        pytest.param(REGISTER + "r.runtimes(), r.converters()", id="instances"),
        pytest.param(REGISTER + "r.commands()", id="commands"),
    ],
)
def test_registration_imports_no_framework_no_kernels_no_transport_library(code):
    assert not imported_by(code) & set(HEAVY)


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_the_version_are_shown_without_numpy_logs_and_event_loops(flag):
    names = imported_by(f"from navi_core.cli.main import run\nassert run(['{flag}']) == 0")
    assert not names & {*HEAVY, "asyncio", "msgspec", "numpy", "rich", "structlog"}


def test_logs_of_navi_s_own_processes_come_without_rich_which_commands_still_can_import():
    names = imported_by("import navi_core.logs_without_rich")
    assert "structlog" in names
    assert "rich" not in names
    shown = "import navi_core.logs_without_rich\nfrom rich.table import Table\nimport structlog"
    assert "rich.table" in imported_by(shown)


def test_the_application_inside_a_foreign_server_comes_without_rich_too():
    names = imported_by("import navi_core.hosted.app")
    assert "structlog" in names
    assert "rich" not in names


def test_toy_plugins_of_every_kind_are_found_in_a_fresh_process(toy_site):
    toys = (
        "toy_runtime",
        "toy_converter",
        "toy_transport",
        "toy_service",
        "toy_source",
        "toy_command",
        "toy_observer",
    )
    toy_site.install(*toys)
    names = imported_by(
        REGISTER + f"assert {{each.name for each in r.records if each.state == 'loaded'}} >= set({toys})",
        toy_site.environ(),
    )
    assert {f"{toy}.plugin" for toy in toys} <= names
    assert not names & (set(HEAVY) - {"google.protobuf"})
