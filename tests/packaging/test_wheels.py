"""What users install: each wheel built, installed alone in a fresh environment, and listed by the host."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from navi_core.cli.new_plugin import KINDS

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
ENVIRON = {
    **os.environ,
    "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PYTHONPATH": "",
}
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
HEAVY = {"navi_tf", "navi_torch"}
"""Their frameworks are gigabytes: their suites run where CI has those anyway, and in ``nox -s "plugin(navi_tf)"``."""
TOY = ROOT / "tests" / "plugins" / "toy_runtime"
EXAMPLES = sorted(path.parent for path in ROOT.glob("docs/examples/*/pyproject.toml"))


def run(*command: object, **options: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=ENVIRON, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(binaries: Path, *arguments: object) -> str:
    """Run this environment's pip for another one: giving each a pip of its own takes seconds."""
    return run(sys.executable, "-m", "pip", "--python", binaries / "python", *arguments)


def install(binaries: Path, *requirements: object) -> None:
    pip(binaries, "install", "--quiet", "--no-compile", *requirements)


def check(binaries: Path) -> None:
    """Fail where an installed package lacks one that it requires."""
    pip(binaries, "check")


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

    def make(*wheels: Path | str) -> Path:
        run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
        binaries = tmp_path / "venv" / "bin"
        install(binaries, *wheels)
        return binaries

    return make


def has_suites(folder: Path) -> bool:
    """Tell whether a plugin's conformance suites are to be run; the core's run in the session ``tests``."""
    if folder not in PLUGINS or folder.name in HEAVY:
        return False
    return any("Conformance)" in path.read_text() for path in (folder / "tests").rglob("test_*.py"))


def installed(binaries: Path) -> dict[str, str]:
    rows = json.loads(pip(binaries, "list", "--format", "json"))
    return {row["name"].lower().replace("_", "-"): row["version"] for row in rows}


def listed(binaries: Path) -> list[dict[str, str]]:
    """Return the rows of ``navi-host plugins --json``, asked away from the repository."""
    return json.loads(run(binaries / "navi-host", "plugins", "--json", cwd=binaries))


def group_of(folder: Path, name: str) -> list[str]:
    """Return the requirements of a project's dependency group; none where it has no such group."""
    groups = tomllib.loads((folder / "pyproject.toml").read_text()).get("dependency-groups", {})
    return [each for each in groups.get(name, []) if isinstance(each, str)]


@pytest.mark.parametrize(
    "folder", [ROOT, *PLUGINS, TOY], ids=lambda folder: folder.name if folder != ROOT else "navi_core"
)
def test_a_wheel_holds_every_file_of_its_package(wheel_of, folder):
    sources = ROOT if folder == ROOT else folder / "src"
    package = "navi_core" if folder == ROOT else folder.name
    tracked = run("git", "ls-files", package, cwd=sources).split()
    with zipfile.ZipFile(wheel_of(folder)) as wheel:
        missing = set(tracked) - set(wheel.namelist())
    assert tracked
    assert not missing


@pytest.mark.parametrize(
    "folder", [ROOT, *PLUGINS, TOY], ids=lambda folder: folder.name if folder != ROOT else "navi_core"
)
def test_a_wheel_installs_alone_is_listed_and_conforms(wheel_of, fresh, folder):
    """What it requires is all that it needs: the conformance suites run where nothing else is, but for test tools."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    binaries = fresh(*{wheel_of(ROOT), wheel_of(folder)})

    check(binaries)
    names = installed(binaries)
    assert names[project["name"]] == project["version"]
    assert [name for name in names if name.startswith("nvidia-")] == []

    rows = [row for row in listed(binaries) if row["distribution"] == project["name"]]
    assert {row["state"] for row in rows} == ({"loaded"} if "entry-points" in project else set())
    assert {row["version"] for row in rows} <= {project["version"]}

    if not has_suites(folder):
        return
    tools = [*group_of(ROOT, "tests"), *group_of(folder, "tests")]
    extras = ",".join(project.get("optional-dependencies", {}))
    wheel = f"{wheel_of(folder)}[{extras}]" if extras else wheel_of(folder)
    install(binaries, wheel, *tools)
    arguments = ("-q", "-p", "no:cacheprovider", "-m", "conformance")
    out = run(binaries / "python", "-m", "pytest", *arguments, folder / "tests", cwd=ROOT)
    assert " passed" in out


@pytest.mark.parametrize(
    "folder",
    [folder for folder in PLUGINS if "navi-core" not in (folder / "pyproject.toml").read_text()],
    ids=lambda folder: folder.name,
)
def test_a_package_that_does_not_require_the_core_installs_and_runs_without_it(wheel_of, fresh, folder):
    binaries = fresh(wheel_of(folder))
    check(binaries)
    assert "navi-core" not in installed(binaries)
    run(binaries / "python", "-c", f"from {folder.name} import *", cwd=binaries)


def test_what_new_plugin_writes_and_the_examples_install_and_pass_their_tests(wheel_of, fresh, tmp_path):
    binaries = fresh(wheel_of(ROOT), "pytest")
    written = [tmp_path / f"new-{kind}" for kind in KINDS]
    for kind, folder in zip(KINDS, written, strict=True):
        run(binaries / "navi-host", "new-plugin", folder.name, "--kind", kind, cwd=tmp_path)
    folders = [*written, *EXAMPLES]
    install(binaries, *folders)
    check(binaries)

    expected = {tomllib.loads((each / "pyproject.toml").read_text())["project"]["name"] for each in folders}
    rows = [row for row in listed(binaries) if row["distribution"] in expected]
    assert {row["distribution"] for row in rows} == expected
    assert {row["state"] for row in rows} == {"loaded"}
    for folder in folders:
        out = run(binaries / "pytest", "-q", "-p", "no:cacheprovider", folder, cwd=tmp_path)
        assert " passed" in out, folder


@pytest.mark.parametrize("kind", KINDS)
def test_what_new_plugin_writes_is_typed(kind, tmp_path):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed here")
    run(sys.executable, "-m", "navi_core", "new-plugin", "x", "--kind", kind, cwd=tmp_path)
    run(sys.executable, "-m", "mypy", "--cache-dir", tmp_path.parent / "mypy", cwd=tmp_path / "x")


def test_examples_are_short_enough_to_read():
    for folder in EXAMPLES:
        lines = [path.read_text().count("\n") for path in (folder / "src").rglob("*.py")]
        assert 0 < sum(lines) < 150, folder


def test_the_core_wheel_holds_what_it_needs_and_nothing_else(wheel_of):
    names = zipfile.ZipFile(wheel_of(ROOT)).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"navi_core"}
    assert "navi_core/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    committed = {
        str(path.relative_to(ROOT))
        for pattern in ("*.py", "*.pyi", "*.binpb", "*.toml", "*.tmpl", "*.json")
        for path in (ROOT / "navi_core").rglob(pattern)
    }
    assert committed <= set(names)


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_wheel_holds_its_package_typed(wheel_of, folder):
    names = zipfile.ZipFile(wheel_of(folder)).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {folder.name}
    assert f"{folder.name}/py.typed" in names
