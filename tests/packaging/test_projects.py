"""What the project files say: names, folders, dependencies, licence."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))


def project_of(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_project_follows_the_conventions(folder):
    project = project_of(folder)
    assert project["name"] == folder.name.replace("_", "-")
    assert project["license"] == "Apache-2.0"
    assert project["requires-python"] == project_of(ROOT)["requires-python"]
    for entry in ("README.md", "tests", f"src/{folder.name}"):
        assert (folder / entry).exists(), entry
    modules = project.get("entry-points", {}).get("navi", {}).values()
    assert all(module.startswith(f"{folder.name}.") for module in modules)


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_bounds_the_core_version_that_it_needs(folder):
    project = project_of(folder)
    found = [each for each in map(Requirement, project["dependencies"]) if each.name == "navi-core"]
    assert bool(found) == ("entry-points" in project), (
        "what no host loads needs no core, and what one loads does"
    )
    if not found:
        return
    [core] = found
    version = project_of(ROOT)["version"]
    assert core.specifier.contains(version)
    assert not core.specifier.contains("999")


@pytest.mark.parametrize("folder", [ROOT, *PLUGINS], ids=lambda folder: folder.name)
def test_no_core_dependency_on_another_plugin_of_this_repository(folder):
    others = {other.name.replace("_", "-") for other in PLUGINS}
    needed = {Requirement(each).name for each in project_of(folder)["dependencies"]}
    assert not needed & others


def test_ci_is_executable_and_lists_the_sessions_that_run_by_default():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_changelog_has_a_section_for_the_version():
    version = project_of(ROOT)["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()
