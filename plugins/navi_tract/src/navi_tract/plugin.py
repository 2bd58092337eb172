"""Hooks only: what this package adds to a navi host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from navi_core import hookimpl

if TYPE_CHECKING:
    from navi_core import Runtime

__all__ = ["navi_register_runtimes"]


@hookimpl
def navi_register_runtimes() -> Sequence[type[Runtime]]:
    """Register the runtime ``tract``."""
    from navi_tract.runtime import TractRuntime  # noqa: PLC0415 - imported when asked for

    return [TractRuntime]
