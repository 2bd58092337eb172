"""``navi_core.testing`` has what plugin authors need, and imports it when it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import navi_core.testing


def test_every_name_is_exported_from_where_type_checkers_see_it():
    tree = ast.parse(Path(navi_core.testing.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    table = navi_core.testing._MODULE_OF
    assert seen == {name: f"navi_core.testing.{module}" for name, module in table.items()}
    assert navi_core.testing.__all__ == sorted(seen)
    assert set(navi_core.testing.__all__) <= set(dir(navi_core.testing))


@pytest.mark.parametrize("name", navi_core.testing.__all__)
def test_names_are_what_their_modules_define(name):
    assert getattr(navi_core.testing, name).__name__ == name


def test_a_name_that_is_not_there_is_said():
    with pytest.raises(AttributeError, match="has no attribute 'RuntimeConformanse'"):
        navi_core.testing.RuntimeConformanse  # noqa: B018 - the access is what is tested


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import navi_core.testing", "pytest numpy grpc"),
        ("from navi_core.testing import SimpleRunContext, registry_of", "pytest grpc"),
        ("from navi_core.testing import RuntimeConformance, ServiceConformance", "grpc"),
    ],
)
def test_only_what_is_asked_for_is_imported(statement, absent):
    code = f"{statement}\nimport sys\nprint([name for name in '{absent}'.split() if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
