"""What navi_core exports, and the error tree: the drawings agree with the code."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import navi_core
from navi_core import errors

INIT = Path(navi_core.__file__)


def _type_checking_imports() -> dict[str, list[str]]:
    tree = ast.parse(INIT.read_text())
    [block] = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {node.module: [alias.name for alias in node.names] for node in block.body}


def test_the_table_of_names_is_the_import_block_that_type_checkers_see():
    assert {module: list(names) for module, names in navi_core._MODULES.items()} == _type_checking_imports()


def test_no_name_comes_from_two_modules():
    names = [name for group in navi_core._MODULES.values() for name in group]
    assert sorted(names) == sorted(set(names))
    assert sorted(navi_core.__all__) == sorted(names)


@pytest.mark.parametrize("name", sorted(navi_core.__all__))
def test_every_public_name_is_importable_and_is_public_where_it_is_defined(name):
    module = importlib.import_module(navi_core._MODULE_OF[name])
    assert getattr(navi_core, name) is getattr(module, name)
    assert name in getattr(module, "__all__", vars(module))  # message modules make their classes when asked
    assert name in dir(navi_core)


def test_a_star_import_gives_exactly_the_public_names():
    namespace: dict[str, object] = {}
    exec("from navi_core import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(navi_core.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'navi_core' has no attribute 'Nonsense'"):
        navi_core.Nonsense  # noqa: B018 - the access is what is tested


def _drawn_tree() -> dict[str, str]:
    """Return class -> parent as drawn in the docstring of the errors' module."""
    parents: list[str] = []
    found: dict[str, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.fullmatch(r"    ((?:[│ ]   )*(?:[├└]── )?)(\w+Error)", line)
        if match:
            depth = len(match[1]) // 4
            del parents[depth:]
            found[match[2]] = parents[-1] if parents else ""
            parents.append(match[2])
    return found


def test_the_error_tree_is_drawn_as_it_is():
    actual = {
        name: "" if cls is errors.NaviError else cls.__base__.__name__
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, errors.NaviError)
    }
    assert _drawn_tree() == actual


def test_every_error_is_public():
    assert set(_drawn_tree()) <= set(errors.__all__) & set(navi_core.__all__)
