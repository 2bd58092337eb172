"""Registers classes that cannot be used."""

from __future__ import annotations

from navi_core import Runtime, hookimpl


class Unfinished(Runtime):
    """Has a name and nothing else."""

    name = "unfinished"


@hookimpl
def navi_register_runtimes() -> list[type[Runtime]]:
    """Register them."""
    return [Unfinished]
