"""The README's tables against the code."""

from __future__ import annotations

from pathlib import Path

from navi_envoy.options import EnvoyOptions

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_readme__lists_every_option_in_order():
    table = README.split("| option | default | meaning |", 1)[1].split("\n\n", 1)[0]
    cells = [row.split("|")[1].strip() for row in table.splitlines()[2:]]
    assert cells == [f"`{name}`" for name in EnvoyOptions.__struct_fields__]
