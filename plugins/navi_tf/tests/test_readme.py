"""The README's tables against the code."""

from __future__ import annotations

import re
from pathlib import Path

from navi_tf.flags import SERVE_FLAGS
from navi_tf.options import TensorFlowOptions

README = (Path(__file__).parents[1] / "README.md").read_text()


def first_cells(header):
    """Return the first cell of each row of the table with that header."""
    table = README.split(f"| {header} |", 1)[1].split("\n\n", 1)[0]
    return [row.split("|")[1].strip() for row in table.splitlines()[2:]]


def test_readme__lists_every_option_in_order():
    assert first_cells("option | default | meaning") == [
        f"`{name}`" for name in TensorFlowOptions.__struct_fields__
    ]


def test_readme__lists_every_flag():
    cells = first_cells("flag | sets | known from")
    assert [re.match(r"`(--[a-z-]+)", cell)[1] for cell in cells] == [flag.name for flag in SERVE_FLAGS]
