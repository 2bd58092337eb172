"""What modules import, read from their source alone."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Import:
    """One import statement's target, as seen from one module."""

    module: str
    target: str
    line: int


def modules_under(package: Path) -> dict[str, Path]:
    """Return dotted name -> file for every module of a package; generated code is left out."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package.parent)
        if any(part in ("__pycache__", "_generated") for part in relative.parts):
            continue
        parts = relative.with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, path: Path, modules: frozenset[str] = frozenset()) -> list[Import]:
    """Return what a module imports, at its top or inside functions; ``TYPE_CHECKING`` blocks are left out.

    ``from package import thing`` counts as ``package.thing`` where that is one of ``modules``.
    """
    return [
        Import(name, target, node.lineno)
        for node in _statements(ast.parse(path.read_text(), filename=str(path)))
        for target in _targets(node, modules)
    ]


def _targets(node: ast.Import | ast.ImportFrom, modules: frozenset[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    assert node.level == 0, f"relative import in line {node.lineno}"
    base = node.module or ""
    for alias in node.names:
        yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base


def _statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
        return
    type_checking = isinstance(node, ast.If) and _is_type_checking(node.test)
    for child in node.orelse if type_checking else ast.iter_child_nodes(node):
        yield from _statements(child)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


@functools.cache
def core_modules() -> dict[str, Path]:
    """Return dotted name -> file for every module of the core."""
    return modules_under(ROOT / "navi_core")


@functools.cache
def core_imports() -> tuple[Import, ...]:
    """Return all imports of the core's modules."""
    modules = core_modules()
    names = frozenset(modules)
    return tuple(found for name, path in modules.items() for found in imports_of(name, path, names))
