"""The walk through a plugin: its code is that of the packages that are written, its commands do what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from navi_core.cli.main import run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text()
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WALK = PAGE[: PAGE.index("## Rules")]
WRITTEN = re.findall(r"^navi-host new-plugin (\S+)(?: --kind (\w+))?$", WALK, re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [text for found, text in FENCE.findall(WALK) if found == language]


def plain(text: str) -> str:
    """Return a text without its indentation."""
    return "\n".join(line.strip() for line in text.splitlines())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the page's commands were given: its packages are written there."""
    folder = tmp_path_factory.mktemp("walk")
    for name, kind in WRITTEN:
        words = ["new-plugin", name, "--dir", str(folder / name), *(["--kind", kind] if kind else [])]
        assert run(words) == 0
    return folder


def test_the_page_writes_a_package_of_each_of_three_kinds():
    assert [kind for _, kind in WRITTEN] == ["", "converter", "service"]


def test_code_on_the_page_is_code_of_the_packages(folder):
    sources = [*folder.rglob("*.py"), *(ROOT / "docs" / "examples").rglob("*.py")]
    known = "\n".join(plain(path.read_text()) for path in sources)
    excerpts = [block for block in blocks("python") if "@hookimpl" not in block]
    assert len(excerpts) > 7
    for block in excerpts:
        for part in plain(block).removesuffix("\n...").split("\n\n"):
            assert part in known, part


def test_files_on_the_page_are_files_of_the_package(folder):
    table = WALK[WALK.index("| file in `my-runtime/` |") :].partition("\n\n")[0]
    named = re.findall(r"^\| `([\w./]+)` \|", table, re.MULTILINE)
    assert len(named) == 8
    python = {
        path.relative_to(folder / "my-runtime").as_posix() for path in folder.rglob("my-runtime/**/*.py")
    }
    assert {"pyproject.toml", *python} - {"src/my_runtime/__init__.py"} == set(named)


@pytest.mark.integration
def test_the_commands_that_serve_do_what_they_say(folder, tmp_path):
    project = tomllib.loads((folder / "my-runtime" / "pyproject.toml").read_text())["project"]
    site = folder / "my-runtime" / "src"
    info = site / "my_runtime-0.1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    [(name, module)] = project["entry-points"]["navi"].items()
    (info / "entry_points.txt").write_text(f"[navi]\n{name} = {module}\n")

    [script] = [text for text in blocks("sh") if "my.json" in text]
    script, _, rest = script.partition("navi-host serve")
    assert "curl" in rest
    command = f"{sys.executable} -m navi_core"
    done = subprocess.run(
        ["bash", "-euc", script.replace("navi-host", command).replace("plugins\n", "plugins --json\n")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    rows, after = json.JSONDecoder().raw_decode(done.stdout)
    assert ("my", "loaded") in {(row["name"], row["state"]) for row in rows}
    assert "runtime    my (my_json)" in done.stdout[after:]
    assert json.loads(done.stdout[done.stdout.rindex("\n{") :])["outputs"]["y"] == [[3.0, 6.0]]
