"""The readers' slots against the schemas in ``specs/graphserver``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from navi_graphserver.flat import arrays, messages, read_graph, variables

SCHEMAS = Path(__file__).parents[3] / "specs" / "graphserver"
TABLE = re.compile(r"table (\w+) \{([^}]*)\}")
FIELD = re.compile(r"(\w+):")
READ = re.compile(
    r"(?:\.(?:scalar|vector|numbers|text|texts|table|tables)|read_shape_information)\("
    r"(?:table, )?(\d+),\s*(?:\"[^\"]+\",\s*)?\"(\w+)\""
)


def slots(generation):
    path = SCHEMAS / f"gen{generation}.fbs"
    if not path.exists():
        pytest.skip("the schemas are not here: they are not part of the package")
    text = re.sub(r"//.*", "", path.read_text())
    return {name: FIELD.findall(body) for name, body in TABLE.findall(text)}


@pytest.mark.parametrize("module", [arrays, variables, read_graph, messages], ids=lambda each: each.__name__)
def test_every_field_is_read_from_its_slot(module):
    known = {
        (index, name)
        for generation in (1, 2)
        for fields in slots(generation).values()
        for index, name in enumerate(fields)
    }
    read = {(int(slot), name) for slot, name in READ.findall(Path(module.__file__).read_text())}
    assert len(read) >= 3
    assert read <= known


def test_the_generations_differ_in_nodes_and_variables():
    first, second = slots(1), slots(2)
    assert [name for name in first if first[name] != second[name][: len(first[name])]] == [
        "FlatVariable",
        "FlatNode",
    ]
    assert second["FlatVariable"].index("ndarray") == 4
    assert first["FlatNode"].index("extraParams") == 9
    assert second["FlatNode"].index("extraParams") == 8
