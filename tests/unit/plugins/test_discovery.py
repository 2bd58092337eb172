"""Discovery: every way in which a plugin can be wrong ends in its own record."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from importlib.metadata import EntryPoint

import pytest

from navi_core.errors import PluginError, PluginLoadError
from navi_core.hookspecs import hookimpl
from navi_core.plugins.discovery import PluginState, discover

GOOD = (
    "toy_runtime",
    "toy_converter",
    "toy_transport",
    "toy_service",
    "toy_source",
    "toy_command",
    "toy_observer",
)


@pytest.fixture
def find(toy_site):
    """Lay toys out, discover them alone, and return name -> record."""

    def find(*packages, environ=None, core_version="0.1.0"):
        toy_site.install(*packages)
        plugins = discover(
            entry_points=toy_site.entry_points, environ=environ or {}, core_version=core_version
        )
        return {record.name: record for record in plugins.records}

    return find


def test_good_plugins_of_every_kind_are_loaded(find):
    records = find(*GOOD)
    assert {name: record.state for name, record in records.items()} == dict.fromkeys(GOOD, PluginState.LOADED)
    assert {record.distribution for record in records.values()} == {name.replace("_", "-") for name in GOOD}
    assert all(record.version == "1.0" and not record.reason for record in records.values())


@pytest.mark.parametrize(
    ("package", "state", "words"),
    [
        (
            "broken_import",
            "failed",
            ["broken_import.plugin", "RuntimeError", "the moon is in the wrong phase"],
        ),
        ("broken_framework", "failed", ["ModuleNotFoundError", "a_framework_that_is_not_installed"]),
        (
            "broken_hook",
            "failed",
            ["no hook 'navi_register_runtime'", "did you mean 'navi_register_runtimes'?"],
        ),
        ("broken_arguments", "failed", ["navi_register_runtimes", "host", "specification"]),
        ("broken_version", "refused", ["needs navi-core>=99", "installed is 0.1.0"]),
    ],
)
def test_a_broken_plugin_is_reported_and_the_others_load(find, package, state, words):
    records = find(package, "toy_runtime")
    broken = records[package]
    assert (broken.state, broken.distribution, broken.version) == (state, package.replace("_", "-"), "1.0")
    for word in words:
        assert word in broken.reason
    assert "\n" not in broken.reason
    assert isinstance(broken.error, PluginLoadError)
    assert broken.error.plugin == package
    assert broken.error.distribution == f"{package.replace('_', '-')} 1.0"
    assert records["toy_runtime"].state is PluginState.LOADED


def test_the_cause_of_an_import_failure_is_kept(find):
    record = find("broken_import")["broken_import"]
    assert isinstance(record.error.__cause__, RuntimeError)


def test_a_refused_plugin_is_not_imported(find):
    find("broken_version")
    assert "broken_version.plugin" not in sys.modules


@pytest.mark.parametrize("core_version", ["0.0.9", "1.0", "2.0rc1"])
def test_a_core_outside_the_required_range_refuses_the_plugin(find, core_version):
    record = find("toy_runtime", core_version=core_version)["toy_runtime"]
    assert record.state is PluginState.REFUSED
    assert core_version in record.reason


@pytest.mark.parametrize("core_version", ["0.1", "0.9.3", "0.2rc1", "0.1.1.dev4"])
def test_a_core_inside_the_required_range_is_accepted(find, core_version):
    assert find("toy_runtime", core_version=core_version)["toy_runtime"].state is PluginState.LOADED


@pytest.mark.parametrize(
    ("requirement", "refused"),
    [
        ("Navi_Core >=99", True),
        ("navi-core[kernels]>=99", True),
        ("navi-core", False),
        ("navi-core>=99; extra == 'later'", False),
        ("navi-core>=99; python_version < '3'", False),
        ("navi-core-extras>=99", False),
        ("not a requirement !!", False),
    ],
)
def test_only_a_requirement_on_navi_core_that_applies_is_read(toy_site, requirement, refused):
    toy_site.install("toy_runtime")
    metadata = toy_site.folder / "toy_runtime-1.0.dist-info" / "METADATA"
    metadata.write_text(
        f"Metadata-Version: 2.1\nName: toy-runtime\nVersion: 1.0\nRequires-Dist: {requirement}\n"
    )
    [record] = discover(entry_points=toy_site.entry_points, environ={}, core_version="0.1.0").records
    assert (record.state is PluginState.REFUSED) is refused


@pytest.mark.parametrize(
    ("value", "loaded"),
    [
        ("toy_runtime", {"toy_runtime"}),
        ("toy_runtime, toy_service", {"toy_runtime", "toy_service"}),
        ("toy-runtime", {"toy_runtime"}),  # a distribution's name
        ("", set()),
        (" , ", set()),
    ],
)
def test_navi_plugins_restricts(find, value, loaded):
    records = find("toy_runtime", "toy_service", "broken_import", environ={"NAVI_PLUGINS": value})
    assert {name for name, each in records.items() if each.state is PluginState.LOADED} == loaded
    assert records["broken_import"].state is PluginState.DISABLED
    assert records["broken_import"].reason == "left out by NAVI_PLUGINS"
    assert "broken_import.plugin" not in sys.modules


def test_a_name_in_navi_plugins_that_is_not_installed_is_reported(find):
    record = find("toy_runtime", environ={"NAVI_PLUGINS": "toy_runtime,onyx"})["onyx"]
    assert (record.state, record.reason) == ("failed", "NAVI_PLUGINS asks for 'onyx', which is not installed")


def test_navi_plugins_never_leaves_the_built_ins_out():
    plugins = discover(environ={"NAVI_PLUGINS": ""})
    core = plugins.records[0]
    assert (core.name, core.distribution, core.state) == ("core", "navi-core", PluginState.LOADED)
    assert {record.state for record in plugins.records[1:]} <= {PluginState.DISABLED}


def test_a_stranger_that_calls_itself_core_can_be_left_out(monkeypatch):
    module = types.ModuleType("impostor")
    monkeypatch.setitem(sys.modules, "impostor", module)
    plugins = discover(
        entry_points=lambda: [EntryPoint("core", "impostor", "navi")],
        environ={"NAVI_PLUGINS": ""},
        core_version="0.1.0",
    )
    assert plugins.records[0].state is PluginState.DISABLED


def test_system_exit_at_import_is_the_plugins_own_failure(toy_site):
    (toy_site.folder / "broken_exit.py").write_text("raise SystemExit(3)\n")
    [record] = discover(
        entry_points=lambda: [EntryPoint("quitter", "broken_exit", "navi")], environ={}, core_version="0.1.0"
    ).records
    assert (record.state, record.reason) == ("failed", "importing broken_exit raised SystemExit: 3")


def test_a_hook_function_without_the_marker_is_reported(toy_site):
    (toy_site.folder / "broken_marker.py").write_text("def navi_register_services():\n    return []\n")
    [record] = discover(
        entry_points=lambda: [EntryPoint("bare", "broken_marker", "navi")], environ={}, core_version="0.1.0"
    ).records
    assert record.reason == "its function 'navi_register_services' is not marked with @hookimpl"


def test_an_optional_hook_of_another_core_is_not_a_misspelt_one(monkeypatch):
    module = types.ModuleType("toy_optional")
    module.navi_of_the_future = hookimpl(optionalhook=True)(lambda: None)
    monkeypatch.setitem(sys.modules, "toy_optional", module)
    [record] = discover(
        entry_points=lambda: [EntryPoint("optional", "toy_optional", "navi")],
        environ={},
        core_version="0.1.0",
    ).records
    assert (record.state, record.reason) == ("loaded", "")


def test_a_hook_that_resembles_nothing_lists_the_hooks(monkeypatch):
    module = types.ModuleType("toy_odd")
    module.zzz = hookimpl(lambda: None)
    monkeypatch.setitem(sys.modules, "toy_odd", module)
    [record] = discover(
        entry_points=lambda: [EntryPoint("odd", "toy_odd", "navi")], environ={}, core_version="0.1.0"
    ).records
    assert record.reason.startswith(
        "there is no hook 'zzz': the hooks are navi_plugin_status, navi_register_"
    )


def test_one_module_behind_two_entry_points_is_registered_once(toy_site):
    toy_site.install("toy_runtime")
    [point] = toy_site.entry_points()
    twin = EntryPoint("twin", point.value, point.group)
    plugins = discover(entry_points=lambda: [point, twin], environ={}, core_version="0.1.0")
    records = {record.name: record for record in plugins.records}
    assert records["toy_runtime"].state is PluginState.LOADED
    assert records["twin"].reason == "its module is another entry point's already"


def test_each_discovery_has_a_manager_of_its_own(toy_site):
    toy_site.install("toy_runtime")
    first, second = (
        discover(entry_points=toy_site.entry_points, environ={}, core_version="0.1.0") for _ in range(2)
    )
    first.withdraw(first.records[0])
    assert first.implementing("navi_register_runtimes") == []
    assert [record.name for record, _ in second.implementing("navi_register_runtimes")] == ["toy_runtime"]


def test_navi_trace_hooks_prints_calls_on_stderr(toy_site, capsys):
    toy_site.install("toy_runtime")
    for value, traced in (("1", True), ("0", False)):
        plugins = discover(
            entry_points=toy_site.entry_points, environ={"NAVI_TRACE_HOOKS": value}, core_version="0.1.0"
        )
        [(_, call)] = plugins.implementing("navi_register_runtimes")
        call()
        assert ("navi_register_runtimes" in capsys.readouterr().err) is traced


def test_a_core_that_is_not_installed_says_so(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(PluginError, match="navi-core is imported but not installed"):
        discover(environ={})


def test_the_installed_core_is_found_by_its_entry_point():
    [core] = [record for record in discover(environ={}).records if record.name == "core"]
    assert (core.distribution, core.version) == ("navi-core", importlib.metadata.version("navi-core"))
    assert (core.state, core.reason) == ("loaded", "")
