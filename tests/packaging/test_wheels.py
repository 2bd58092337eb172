"""What users install: each wheel built, installed alone in a fresh environment, and listed by the host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
ENVIRON = {
    **os.environ,
    "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PYTHONPATH": "",
}
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
TOY = ROOT / "tests" / "plugins" / "toy_runtime"


def run(*command: object, **options: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=ENVIRON, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheel_of(tmp_path_factory):
    """Return a function that builds a project's wheel, once."""
    built: dict[Path, Path] = {}

    def build(folder: Path) -> Path:
        if folder not in built:
            target = tmp_path_factory.mktemp("wheel")
            run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", target, folder)
            [built[folder]] = target.glob("*.whl")
        return built[folder]

    return build


@pytest.fixture
def fresh(tmp_path):
    """Return a function that makes an environment and returns its ``bin`` folder."""

    def make(*wheels: Path) -> Path:
        run(sys.executable, "-m", "venv", tmp_path / "venv")
        binaries = tmp_path / "venv" / "bin"
        run(binaries / "python", "-m", "pip", "install", "--quiet", "--no-compile", *wheels)
        return binaries

    return make


def installed(binaries: Path) -> dict[str, str]:
    rows = json.loads(run(binaries / "python", "-m", "pip", "list", "--format", "json"))
    return {row["name"].lower().replace("_", "-"): row["version"] for row in rows}


def listed(binaries: Path) -> list[dict[str, str]]:
    """Return the rows of ``navi-host plugins --json``, asked away from the repository."""
    return json.loads(run(binaries / "navi-host", "plugins", "--json", cwd=binaries))


@pytest.mark.parametrize(
    "folder", [ROOT, *PLUGINS, TOY], ids=lambda folder: folder.name if folder != ROOT else "navi_core"
)
def test_a_wheel_installs_alone_and_is_listed(wheel_of, fresh, folder):
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    binaries = fresh(*{wheel_of(ROOT), wheel_of(folder)})

    run(binaries / "python", "-m", "pip", "check")
    names = installed(binaries)
    assert names[project["name"]] == project["version"]
    assert [name for name in names if name.startswith("nvidia-")] == []

    rows = [row for row in listed(binaries) if row["distribution"] == project["name"]]
    assert {row["state"] for row in rows} == ({"loaded"} if "entry-points" in project else set())
    assert {row["version"] for row in rows} <= {project["version"]}


def test_the_core_wheel_holds_what_it_needs_and_nothing_else(wheel_of):
    names = zipfile.ZipFile(wheel_of(ROOT)).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"navi_core"}
    assert "navi_core/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    committed = {
        str(path.relative_to(ROOT))
        for pattern in ("*.py", "*.pyi", "*.binpb", "*.toml")
        for path in (ROOT / "navi_core").rglob(pattern)
    }
    assert committed <= set(names)


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_wheel_holds_its_package_typed(wheel_of, folder):
    names = zipfile.ZipFile(wheel_of(folder)).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {folder.name}
    assert f"{folder.name}/py.typed" in names
