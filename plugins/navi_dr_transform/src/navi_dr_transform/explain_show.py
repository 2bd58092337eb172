"""An explanation as tables for a person, or as JSON for a program."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from navi_dr_transform.explain import Explanation

__all__ = ["show"]

_MOST_SHOWN = 40
_WRAPPED = ("feature", "why")


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
    console = Console()
    records = "1 record" if explanation.num_records == 1 else f"{explanation.num_records} records"
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
        f"{len(explanation.defaults)} columns stayed default in every row",
        ("tensor", "column", "feature"),
        [(each.tensor, _column(each.column), ", ".join(each.features)) for each in explanation.defaults],
    )


def _table(console: Console, title: str, columns: Iterable[str], rows: Sequence[Sequence[str]]) -> None:
    more = len(rows) - _MOST_SHOWN
    caption = f"and {more} more; --json lists all" if more > 0 else None
    table = Table(title=Text(title), title_justify="left", caption=caption, caption_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in _WRAPPED)
    for row in rows[:_MOST_SHOWN]:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _named(name: str, category: str) -> str:
    return f"{name or '?'} '{category}'" if category else name or "?"


def _column(column: int | None) -> str:
    return "all" if column is None else str(column)
