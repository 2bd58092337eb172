"""What ``navi-host new-plugin`` writes passes its own tests, the linter and the formatter, untouched.

The packages are laid out as an installer leaves them, without one; ``tests/packaging`` installs them.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib

import pytest

from navi_core.cli.main import run
from navi_core.cli.new_plugin import KINDS
from navi_core.cli.new_plugin_names import MAX_NAME_LENGTH

pytestmark = pytest.mark.integration

LONGEST = "navi-" + "w" * (MAX_NAME_LENGTH - 5)


def write(name, kind, folder):
    assert run(["new-plugin", name, "--kind", kind, "--dir", str(folder)]) == 0
    return folder


def install(folder, site):
    """Lay a package out in a site directory: its modules, and what pip would note about it."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    package = project["name"].replace("-", "_")
    shutil.copytree(folder / "src" / package, site / package)
    info = site / f"{package}-{project['version']}.dist-info"
    info.mkdir()
    requires = "".join(f"Requires-Dist: {each}\n" for each in project["dependencies"])
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head + requires)
    points = "".join(f"{name} = {value}\n" for name, value in project["entry-points"]["navi"].items())
    (info / "entry_points.txt").write_text(f"[navi]\n{points}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_passes_its_own_tests(kind, tmp_path):
    folder = write("x", kind, tmp_path / "x")
    install(folder, tmp_path / "site")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "-W",
            "error",
            str(folder),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize("name", ["x", LONGEST])
@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_clean_whatever_its_name(kind, name, tmp_path):
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("ruff is not installed here")
    folder = write(name, kind, tmp_path / "package")
    for words in (("check",), ("format", "--diff")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", "."],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
