"""Its registration raises."""

from __future__ import annotations

from navi_core import Runtime, hookimpl


@hookimpl
def navi_register_runtimes() -> list[type[Runtime]]:
    """Fail."""
    raise OSError("the list of runtimes cannot be read")
