"""``navi-host graphserver``: arguments only; what it does is imported when it runs."""

from __future__ import annotations

import os
from pathlib import Path

import click

__all__ = ["graphserver"]


def _named_file(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, Path] | None:
    """Take ``FILE`` or ``NAME=FILE`` apart; what is a file as a whole has no name."""
    if value is None:
        return None
    name, equals, path = value.partition("=")
    if not equals or Path(value).is_file():
        name, path = "", value
    file = click.Path(exists=True, dir_okay=False).convert(path, param, ctx)
    return name, Path(os.fsdecode(file))


@click.command()
@click.option(
    "--port", "-p", type=click.IntRange(0, 65535), default=40123, show_default=True, help="gRPC port; 0: any."
)
@click.option(
    "--file",
    "-f",
    "file",
    metavar="[NAME=]FILE",
    callback=_named_file,
    help="A FlatGraph file to serve from the start, as graph 0; and under a name for other protocols.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen at. Everybody who reaches it may register graphs.",
)
@click.option(
    "--rest-port", type=click.IntRange(0, 65535), help="A port for REST, for the host's other protocols."
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where registered graphs are kept, to be served again after a restart.",
)
def graphserver(
    port: int, file: tuple[str, Path] | None, host: str, rest_port: int | None, state_dir: Path | None
) -> None:
    """Serve SameDiff graphs to DL4J GraphServer's clients."""
    from navi_graphserver.serving import serve  # noqa: PLC0415 - imports NumPy: only where it is needed

    name, path = file or ("", None)
    serve(port=port, file=path, name=name, host=host, rest_port=rest_port, state_dir=state_dir)
