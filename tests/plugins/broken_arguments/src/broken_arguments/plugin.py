"""A hook function with an argument that the hook does not have."""

from __future__ import annotations

from navi_core import Runtime, hookimpl


@hookimpl
def navi_register_runtimes(host: object) -> list[type[Runtime]]:
    """Would like to be given the host."""
    del host
    return []
