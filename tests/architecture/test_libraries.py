"""Which part of the core may import which library."""

from __future__ import annotations

import sys
import tomllib

from layers import LAYERS, unit_of
from packaging.requirements import Requirement
from source_imports import ROOT, core_imports

EVERYWHERE = {"click", "ml_dtypes", "msgspec", "numpy", "packaging", "pluggy", "rich", "structlog", "google"}
ONLY_IN = {
    "orjson": ("wire",),
    "grpc": ("bench", "transports", "testing"),
    "aiohttp": ("transports", "testing"),
    "multidict": ("transports",),
    "yarl": ("testing",),
    "uvloop": ("bench", "event_loops"),
    "yaml": ("cli",),
    "prometheus_client": ("metrics",),
    "pytest": ("testing",),
}
PURE = {
    *dict(LAYERS)["pure logic"],
    *dict(LAYERS)["values"],
    "contracts",
    "converters",
    "errors",
    "services",
    "wire",
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
    for each in core_imports():
        top = each.target.split(".")[0]
        if top in sys.stdlib_module_names or top in EVERYWHERE or top == "navi_core":
            continue
        if unit_of(each.module) not in ONLY_IN.get(top, ()):
            wrong.append(f"{each.module}:{each.line} imports {each.target}")
    assert not wrong, wrong


def test_every_place_of_a_library_in_the_table_imports_it():
    used = {(each.target.split(".")[0], unit_of(each.module)) for each in core_imports()}
    assert {(library, unit) for library, units in ONLY_IN.items() for unit in units} <= used


def test_every_library_that_core_imports_is_a_dependency_of_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    declared = {Requirement(each).name.replace("-", "_") for each in [*project["dependencies"], *extras]}
    imported = {each.target.split(".")[0] for each in core_imports() if unit_of(each.module) != "testing"}
    names = {"grpc": "grpcio", "google": "protobuf", "yaml": "pyyaml"}
    wanted = {names.get(top, top) for top in imported - set(sys.stdlib_module_names) - {"navi_core"}}
    assert wanted <= declared


LOCKS_ONLY = {"navi_core.wire.descriptors"}  # message classes are made once, whichever thread comes first


def test_pure_parts_know_no_event_loop_socket_or_thread():
    wrong = [
        f"{each.module}:{each.line} imports {each.target}"
        for each in core_imports()
        if unit_of(each.module) in PURE
        and each.target.split(".")[0] in IMPURE_LIBRARIES
        and not (each.module in LOCKS_ONLY and each.target == "threading")
    ]
    assert not wrong, wrong
