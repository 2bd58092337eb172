"""Which module may import which: the direction of dependencies, read from the source alone."""

from __future__ import annotations

import ast
import functools
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import navi_core

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


# --- the direction of dependencies --------------------------------------------------------------------

SPLIT = ("batching", "models", "plugins", "workers")
"""Folders whose files stand in different layers; each file has its own place."""

LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # A folder itself is a leaf: its __init__ holds nothing.
    (
        "leaves",
        (
            "errors",
            "types",
            "clock",
            "confined_files",
            "cores",
            "event_loops",
            "onnx_external_data",
            "protobuf_wire",
            "start_collection",
            *SPLIT,
        ),
    ),
    ("values", ("columns", "tensors", "signature", "messages", "config")),
    ("contracts", ("contracts", "hookspecs")),
    (
        "pure logic",
        (
            "batching.inlining",
            "batching.late",
            "batching.queue",
            "batching.turns",
            "models.lifecycle",
            "models.version_policy",
            "models.completeness",
            "workers.phases",
            "workers.pulse",
            "workers.restarts",
            "workers.swap",
        ),
    ),
    (
        "machinery",
        (
            "answering_ahead",
            "background",
            "batching.async_running",
            "batching.batcher",
            "batching.buffers",
            "batching.contexts",
            "batching.execution",
            "batching.failures",
            "batching.gathering",
            "batching.lane",
            "batching.lone",
            "batching.parts",
            "batching.pending",
            "batching.prepared",
            "batching.preparing",
            "batching.tasks",
            "batching.threads",
            "budget",
            "certificates",
            "logs",
            "logs_without_rich",
            "metrics",
            "models.batching_file",
            "models.keeper",
            "models.load_turns",
            "models.loading",
            "models.manager",
            "models.opening",
            "models.overrides",
            "models.records",
            "models.renewal",
            "models.replay",
            "models.served",
            "models.version_loader",
            "models.warmup",
            "plugins.commands",
            "plugins.discovery",
            "plugins.instances",
            "plugins.kinds",
            "plugins.observers",
            "plugins.registry",
            "plugins.shelf",
            "sources",
            "tasks",
            "workers.barrier",
            "workers.channel",
            "workers.frames",
            "workers.gathering",
            "workers.members",
            "workers.protocol",
            "workers.replica",
            "workers.seat",
        ),
    ),
    ("data plane", ("data_plane",)),
    (
        "host",
        (
            "admin",
            "authorization",
            "confined_admin",
            "host",
            "host_thread",
            "hosted",
            "in_process",
            "keeping",
            "listeners",
            "models.watching",
            "needs",
            "openapi",
            "payloads",
            "plugins.builtin",
            "workers.fleet",
            "workers.inquiries",
            "workers.pictures",
            "workers.ports",
            "workers.processes",
            "workers.reception",
            "workers.supervisor",
            "workers.table",
            "routing",
        ),
    ),
    ("command line", ("cli", "__main__")),
)
"""A module imports from its own layer and from those above it in this table, never from one below."""

ISLANDS: dict[str, tuple[str, ...]] = {
    "wire": ("errors", "types", "clock", "tensors", "signature", "messages"),
    "services": (
        "errors",
        "types",
        "clock",
        "tensors",
        "signature",
        "messages",
        "config",  # admin operations take a model's configuration
        "contracts",
        "hookspecs",
        "wire",
    ),
    "transports": (
        "errors",
        "types",
        "clock",
        "tensors",
        "signature",
        "messages",
        "contracts",
        "hookspecs",
        "wire",
    ),
    "bench": (  # the load generator: a client of hosts, and nothing of a host
        "cores",
        "errors",
        "types",
        "tensors",
        "signature",
        "messages",
        "contracts",
        "clients",
    ),
    "clients": (
        "errors",
        "types",
        "clock",
        "tensors",
        "signature",
        "messages",
        "contracts",
        "hookspecs",
        "wire",
    ),
    "converters": (
        "errors",
        "types",
        "clock",
        "tensors",
        "signature",
        "messages",
        "contracts",
        "hookspecs",
        "wire",
    ),
}
"""What stands beside the layers: what it may import besides itself. The host joins these; the built-ins'
registration names them; nothing else does."""

MAY_IMPORT_ISLANDS = {
    "plugins.builtin": ("clients", "services", "transports", "converters"),
    "cli": ("bench", "clients", "wire"),  # the commands that are clients of a running host
    "models.batching_file": ("wire",),  # another server's parameters
    "workers.ports": ("transports",),  # a port is reserved as it is bound
    "models.replay": ("wire",),  # recorded requests are in a protocol's own form
}

FREE = ("testing", "")  # shipped test suites import anything; the package itself imports when a name is used


def _unit(module: str) -> str:
    """Return the part of navi_core that a module belongs to: a file's or a folder's name."""
    parts = module.split(".")[1:]
    if not parts:
        return ""
    return ".".join(parts[:2]) if parts[0] in SPLIT else parts[0]


@functools.cache
def _core() -> dict[str, Path]:
    return modules_under(ROOT / "navi_core")


@functools.cache
def _core_imports() -> tuple[Import, ...]:
    names = frozenset(_core())
    return tuple(found for name, path in _core().items() for found in imports_of(name, path, names))


def _inside() -> list[Import]:
    return [each for each in _core_imports() if each.target.split(".")[0] == "navi_core"]


def test_every_module_has_its_place_in_the_table():
    placed = {unit for _, units in LAYERS for unit in units} | set(ISLANDS) | set(FREE)
    assert {_unit(module) for module in _core()} <= placed, "give the new module its layer in this file"


def test_dependencies_point_one_way():
    rank = {unit: index for index, (_, units) in enumerate(LAYERS) for unit in units}
    wrong = []
    for each in _inside():
        source, target = _unit(each.module), _unit(each.target)
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
        if each.target == "navi_core" and _unit(each.module) not in FREE
    ]
    assert not wrong, "import the module that defines the name"


def _protocols() -> set[str]:
    """Return the parts of services/ and transports/ (``navi_core.services.health``) that define one."""
    found = set()
    for module, path in _core().items():
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
        if _unit(each.module) in ("services", "transports") and target in protocols and source != target:
            wrong.append(f"{each.module}:{each.line} imports {each.target}")
    assert not wrong, wrong


def test_there_are_no_import_cycles():
    edges: dict[str, set[str]] = {module: set() for module in _core()}
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


# --- what comes from outside -----------------------------------------------------------------------------

EVERYWHERE = {"click", "ml_dtypes", "msgspec", "numpy", "packaging", "pluggy", "rich", "structlog", "google"}
ONLY_IN = {
    "orjson": ("wire",),
    "grpc": ("bench", "transports", "testing"),
    "aiohttp": ("transports", "cli", "testing", "host"),
    "multidict": ("transports", "testing"),
    "yarl": ("testing",),
    "uvloop": ("bench", "event_loops"),
    "yaml": ("cli",),
    "prometheus_client": ("metrics", "metric_cells", "metric_families", "compat_metrics"),
    "pytest": ("testing",),
    "hypothesis": ("testing",),
}
PURE = {
    "lifecycle",
    "version_policy",
    "batching",
    "completeness",
    "wire",
    "services",
    "converters",
    "contracts",
    "config",
    "signature",
    "tensors",
    "messages",
    "errors",
}
IMPURE_LIBRARIES = {
    "asyncio",
    "socket",
    "threading",
    "concurrent",
    "selectors",
    "subprocess",
    "ssl",
    "multiprocessing",
}


def test_core_imports_its_own_dependencies_and_nothing_else():
    wrong = []
    for each in _core_imports():
        top = each.target.split(".")[0]
        if top in sys.stdlib_module_names or top in EVERYWHERE or top == "navi_core":
            continue
        if _unit(each.module) not in ONLY_IN.get(top, ()):
            wrong.append(f"{each.module}:{each.line} imports {each.target}")
    assert not wrong, wrong


def test_every_library_that_core_imports_is_a_dependency_of_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    declared = {Requirement(each).name.replace("-", "_") for each in [*project["dependencies"], *extras]}
    imported = {each.target.split(".")[0] for each in _core_imports() if _unit(each.module) != "testing"}
    names = {"grpc": "grpcio", "google": "protobuf", "yaml": "pyyaml"}
    wanted = {names.get(top, top) for top in imported - set(sys.stdlib_module_names) - {"navi_core"}}
    assert wanted <= declared


LOCKS_ONLY = {"navi_core.wire.descriptors"}  # message classes are made once, whichever thread comes first


def test_pure_parts_know_no_event_loop_socket_or_thread():
    wrong = [
        f"{each.module}:{each.line} imports {each.target}"
        for each in _core_imports()
        if _unit(each.module) in PURE
        and each.target.split(".")[0] in IMPURE_LIBRARIES
        and not (each.module in LOCKS_ONLY and each.target == "threading")
    ]
    assert not wrong, wrong


# --- plugins -----------------------------------------------------------------------------------------------

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
        for path in _core().values()
        for name in names
        if name in path.read_text()
    ]
    assert not wrong, wrong
