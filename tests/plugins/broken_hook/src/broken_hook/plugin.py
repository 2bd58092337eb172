"""Misspells a hook."""

from __future__ import annotations

from navi_core import Runtime, hookimpl


@hookimpl
def navi_register_runtime() -> list[type[Runtime]]:
    """Would register runtimes, were it spelt rightly."""
    return []
