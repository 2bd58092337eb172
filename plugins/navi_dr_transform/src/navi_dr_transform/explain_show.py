"""An explanation as tables for a person, or as JSON for a program."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from navi_dr_transform.explain import Explanation

__all__ = ["show"]

_MOST_SHOWN = 40
_WHOLE = ("id", "column", "columns", "mapped", "filled", "default", "rows")
_UNBOUND = 10_000


def show(explanation: Explanation, source: str, *, as_json: bool) -> None:
    """Write an explanation to standard output.

    Parameters
    ----------
    explanation
        What to write.
    source
        The words that say where the request stood.
    as_json
        All of it as JSON, instead of tables of its first lines.
    """
    if as_json:
        click.echo(json.dumps({"request": source, **dataclasses.asdict(explanation)}))
        return
    # a file or a pipe has no width: only a person's terminal folds what is too long
    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if has_width else _UNBOUND)
    records = _counted(explanation.num_records, "record")
    _table(
        console,
        f"{source}: {records}",
        ("tensor", "dtype", "from", "columns", "mapped", "filled", "default"),
        [
            (
                tensor.name,
                tensor.dtype,
                tensor.source,
                str(tensor.width),
                str(tensor.num_mapped),
                str(tensor.num_filled),
                str(tensor.num_mapped - tensor.num_filled),
            )
            for tensor in explanation.tensors
        ],
    )
    _table(
        console,
        f"{len(explanation.matched)} matched",
        ("feature", "id", "tensor", "column", "rows"),
        [
            (
                _named(each.name, each.category),
                str(each.id),
                each.tensor,
                _column(each.column),
                f"{each.num_rows} (common)" if each.is_common else str(each.num_rows),
            )
            for each in explanation.matched
        ],
    )
    _table(
        console,
        f"{len(explanation.unknown)} unknown",
        ("feature", "id", "from", "rows", "why"),
        [
            (_named(each.name, each.category), str(each.id), each.source, str(each.num_rows), each.reason)
            for each in explanation.unknown
        ],
    )
    _table(
        console,
        f"{_counted(len(explanation.defaults), 'column')} stayed default in every row",
        ("tensor", "column", "feature"),
        [(each.tensor, _column(each.column), ", ".join(each.features)) for each in explanation.defaults],
    )


def _table(console: Console, title: str, columns: Iterable[str], rows: Sequence[Sequence[str]]) -> None:
    more = len(rows) - _MOST_SHOWN
    table = Table()
    for column in columns:
        # numbers stay whole; words go on in the next line, where they lack room
        table.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    for row in rows[:_MOST_SHOWN]:
        table.add_row(*(Text(cell) for cell in row))
    console.print(Text(title), soft_wrap=True)
    console.print(table)
    if more > 0:
        console.print(f"and {more} more; --json lists all")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _named(name: str, category: str) -> str:
    return f"{name or '?'} '{category}'" if category else name or "?"


def _column(column: int | None) -> str:
    return "all" if column is None else str(column)
