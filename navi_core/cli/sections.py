"""A command whose help is in sections: a hundred flags in one list are read by nobody."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

__all__ = ["OTHERS", "Section", "SectionedCommand", "sections_of"]

OTHERS: Final = "Other flags"
"""The last section's title."""


@dataclass(frozen=True, slots=True)
class Section:
    """Flags that belong together.

    Parameters
    ----------
    title
        What they are about.
    options
        In the order in which the help shows them; hidden ones are not shown.
    text
        Stands before them.
    """

    title: str
    options: Sequence[click.Option]
    text: str = ""


class SectionedCommand(click.Command):
    """A command with its flags in sections.

    Parameters
    ----------
    name, callback, help
        As click has them.
    sections
        All flags.
    """

    def __init__(
        self,
        name: str,
        *,
        callback: Callable[..., Any],
        help: str,  # noqa: A002 - click's own word
        sections: Sequence[Section],
    ) -> None:
        self.sections = tuple(sections)
        options: list[click.Parameter] = [option for each in sections for option in each.options]
        super().__init__(name, callback=callback, help=help, params=options)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags, section by section."""
        for section in sections_of(self, ctx):
            records = [option.get_help_record(ctx) for option in section.options]
            rows = [record for record in records if record is not None]
            if not rows and not section.text:
                continue
            with formatter.section(section.title):
                if section.text:
                    formatter.write(_filled(section.text, formatter) + "\n")
                if rows:
                    formatter.write_dl(rows)


def sections_of(command: click.Command, ctx: click.Context) -> Sequence[Section]:
    """Return a command's sections; what click and navi-host add to every command comes last."""
    own = command.sections if isinstance(command, SectionedCommand) else ()
    listed = {id(option) for section in own for option in section.options}
    others = [
        each for each in command.get_params(ctx) if isinstance(each, click.Option) and id(each) not in listed
    ]
    *first, last = own or (Section(OTHERS, ()),)
    if last.title == OTHERS:
        return (*first, Section(OTHERS, (*last.options, *others)))
    return (*own, Section(OTHERS, others))


def _filled(text: str, formatter: click.HelpFormatter) -> str:
    """Break a text into lines, but no flag at its dashes."""
    indent = " " * formatter.current_indent
    return textwrap.fill(
        text, formatter.width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
