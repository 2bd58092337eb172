"""What reading another server's configuration comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["Imported", "Importer"]


@dataclass(slots=True, kw_only=True)
class Imported:
    """A configuration, and what a person should know of it.

    Parameters
    ----------
    table
        As :func:`~navi_core.config.load.config_from_table` takes it.
    notes
        What was left out or means something else here, one line each.
    """

    table: dict[str, Any]
    notes: list[str] = field(default_factory=list)


Importer: TypeAlias = Callable[[str], Imported]
"""Reads a file's text; raises ConfigError, with the place in the file."""
