"""What plugins may import: the core's public names, and no other plugin."""

from __future__ import annotations

import ast

import pytest
from source_imports import ROOT, core_modules, imports_of, modules_under

import navi_core

PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
TOYS = sorted(path.parent for path in (ROOT / "tests" / "plugins").glob("*/pyproject.toml"))


@pytest.mark.parametrize("folder", [*PLUGINS, *TOYS], ids=lambda folder: folder.name)
def test_a_plugin_imports_only_public_names_of_the_core(folder):
    public = set(navi_core.__all__)
    wrong = []
    for path in sorted((folder / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                wrong += [f"{path.name}:{node.lineno}" for alias in node.names if _is_core(alias.name)]
            elif isinstance(node, ast.ImportFrom) and _is_core(node.module or ""):
                private = {alias.name for alias in node.names} - public
                if node.module != "navi_core" or private:
                    wrong.append(f"{path.name}:{node.lineno} from {node.module}: {sorted(private)}")
    assert not wrong, wrong


def _is_core(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] == "navi_core"


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_imports_no_other_plugin(folder):
    others = {other.name for other in PLUGINS} - {folder.name}
    modules = modules_under(folder / "src" / folder.name)
    found = {each.target.split(".")[0] for name, path in modules.items() for each in imports_of(name, path)}
    assert not found & others


def test_the_hosts_source_names_no_plugin():
    names = {part for folder in PLUGINS for part in (folder.name, folder.name.replace("_", "-"))}
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in core_modules().values()
        for name in names
        if name in path.read_text()
    ]
    assert not wrong, wrong
