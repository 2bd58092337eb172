"""The README's tables against the code."""

from __future__ import annotations

from pathlib import Path

from navi_tract.options import TractOptions
from navi_tract.runtime import NNEF_FILES, NNEF_GRAPH, ONNX_FILE

README = (Path(__file__).parents[1] / "README.md").read_text()


def cells(header):
    """Return the cells of each row of the table with that header."""
    table = README.split(f"| {header} |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


def test_readme__lists_every_option_and_its_default_in_order():
    rows = cells("option | default | meaning")
    assert [row[0] for row in rows] == [f"`{name}`" for name in TractOptions.__struct_fields__]
    shown = {False: "false", True: "true", (): "none"}
    defaults = [getattr(TractOptions(), name) for name in TractOptions.__struct_fields__]
    assert [row[1] for row in rows] == [
        str(default) if type(default) is int else shown[default] for default in defaults
    ]


def test_readme__lists_every_file():
    named = ", ".join(row[0] for row in cells("file | is"))
    assert named.replace("`", "").split(", ") == [ONNX_FILE, *NNEF_FILES, NNEF_GRAPH]
