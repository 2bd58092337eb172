"""How commands show results: a table where a person watches, JSON where a program reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

__all__ = ["json_option", "print_json", "print_table"]

_UNBOUNDED_WIDTH: Final = 100_000
_STATE_COLOURS: Final = {
    "AVAILABLE": "green",
    "END": "red",
    "LOADING": "yellow",
    "START": "yellow",
    "UNLOADING": "yellow",
    "disabled": "dim",
    "failed": "red",
    "loaded": "green",
    "refused": "red",
}


def json_option() -> click.Option:
    """Return ``--json``, which asks for a program's form."""
    return click.Option(["--json", "as_json"], is_flag=True, help="Write JSON instead of a table.")


def print_json(value: Any) -> None:
    """Write a value as JSON on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Mapping[str, object]], *, title: str = "") -> None:
    """Write rows as a table on stdout; lines are never cut when the output is no terminal.

    Parameters
    ----------
    columns
        The keys, which are also the headings; one named ``state`` is coloured.
    rows
        Column -> value; what is missing is empty.
    title
        Stands above the table.
    """
    # rich takes longer to import than most commands take to run
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.table import Table  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    console = Console(width=None if sys.stdout.isatty() else _UNBOUNDED_WIDTH)
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=not sys.stdout.isatty())
    for row in rows:
        cells = []
        for column in columns:
            text = str(row.get(column, ""))
            colour = _STATE_COLOURS.get(text, "") if column == "state" else ""
            cells.append(Text(text, style=colour))
        table.add_row(*cells)
    console.print(table)
