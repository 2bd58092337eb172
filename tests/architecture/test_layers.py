"""Which module may import which: the direction of dependencies."""

from __future__ import annotations

import ast

from layers import FREE, ISLANDS, LAYERS, MAY_IMPORT_ISLANDS, SPLIT, unit_of
from source_imports import Import, core_imports, core_modules, imports_of


def _inside() -> list[Import]:
    return [each for each in core_imports() if each.target.split(".")[0] == "navi_core"]


def test_every_module_has_its_place_in_the_table():
    placed = {unit for _, units in LAYERS for unit in units} | set(ISLANDS) | set(FREE)
    there = {unit_of(module) for module in core_modules()}
    assert there <= placed, "give the new module its layer in layers.py"
    assert placed <= there | set(SPLIT), "what is gone leaves layers.py"


def test_dependencies_point_one_way():
    rank = {unit: index for index, (_, units) in enumerate(LAYERS) for unit in units}
    wrong = []
    for each in _inside():
        source, target = unit_of(each.module), unit_of(each.target)
        if source in FREE or source == target:
            continue
        if source in ISLANDS:
            allowed = target in ISLANDS[source]
        elif target in ISLANDS:
            allowed = target in MAY_IMPORT_ISLANDS.get(source, ())
        else:
            allowed = target in rank and source in rank and rank[target] <= rank[source]
        if not allowed:
            wrong.append(f"{each.module}:{each.line} imports {each.target}")
    assert not wrong, wrong


def test_the_package_is_never_imported_from_inside():
    wrong = [
        f"{each.module}:{each.line}"
        for each in _inside()
        if each.target == "navi_core" and unit_of(each.module) not in FREE
    ]
    assert not wrong, "import the module that defines the name"


def _protocols() -> set[str]:
    """Return the parts of services/ and transports/ (``navi_core.services.health``) that define one."""
    found = set()
    for module, path in core_modules().items():
        if module.startswith(("navi_core.services.", "navi_core.transports.")):
            bases = {
                ast.unparse(base)
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.ClassDef)
                for base in node.bases
            }
            if bases & {"Service", "Transport"}:
                found.add(_part(module))
    return found


def _part(module: str) -> str:
    return ".".join(module.split(".")[:3])


def test_services_and_transports_never_import_each_other():
    protocols = _protocols()
    wrong = []
    for each in _inside():
        source, target = _part(each.module), _part(each.target)
        if source.startswith("navi_core.services") and target.startswith("navi_core.transports"):
            wrong.append(f"{each.module}:{each.line} imports {each.target}")
        if unit_of(each.module) in ("services", "transports") and target in protocols and source != target:
            wrong.append(f"{each.module}:{each.line} imports {each.target}")
    assert not wrong, wrong


def test_there_are_no_import_cycles():
    edges: dict[str, set[str]] = {module: set() for module in core_modules()}
    for each in _inside():
        if each.target in edges and each.target != each.module:
            edges[each.module].add(each.target)
    assert _cycle(edges) == []


def test_a_cycle_would_be_found():
    assert _cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_imports_inside_functions_count_and_those_for_type_checkers_do_not(tmp_path):
    source = tmp_path / "sample.py"
    source.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import a\nelse:\n    import b\n"
        "def f():\n    from c import d, e\n"
        "try:\n    import g.h\nexcept ImportError:\n    pass\n"
    )
    found = imports_of("sample", source, frozenset({"c.d"}))
    assert [each.target for each in found] == ["typing", "b", "c.d", "c", "g.h"]


def _cycle(edges: dict[str, set[str]]) -> list[str]:
    done: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        path.append(module)
        found = next((cycle for cycle in map(visit, sorted(edges[module])) if cycle), [])
        path.pop()
        done.add(module)
        return found

    return next((cycle for cycle in map(visit, sorted(edges)) if cycle), [])
