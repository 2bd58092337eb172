"""``navi-host import``: another server's configuration becomes one of ours."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final

import click

from navi_core.cli.importers.imported import Importer
from navi_core.cli.state import CliState
from navi_core.config.load import config_from_table
from navi_core.config.write import toml_text
from navi_core.errors import ConfigError

__all__ = ["KINDS", "make_command"]

KINDS: Final[dict[str, tuple[str, str, str]]] = {
    "proton": ("Proton's config.yaml", "navi_core.cli.importers.proton", "read_proton"),
    "tf-serving": (
        "TensorFlow Serving's --model_config_file",
        "navi_core.cli.importers.tf_serving",
        "read_tf_serving",
    ),
}
"""Kind -> what it reads, and the function that does: a module and a name, imported when it is asked for."""

_MAX_FILE_BYTES: Final = 16 * 1024 * 1024


def make_command(state: CliState) -> click.Command:
    """Return the command."""
    del state

    def import_(kind: str, file: Path, output: Path | None) -> None:
        what, module, name = KINDS[kind]
        importer: Importer = getattr(importlib.import_module(module), name)
        try:
            imported = importer(_read(file))
            config_from_table(imported.table)  # what is written can be read
        except ConfigError as error:
            raise ConfigError(error.message, path=str(file)) from None
        title = f"Made from {file.name} ({what}) by navi-host import."
        text = toml_text(imported.table, comments=[title, *imported.notes])
        for note in imported.notes:
            click.echo(f"navi-host: {note}", err=True)
        if output is None:
            click.echo(text, nl=False)
        else:
            _write(output, text)

    known = "; ".join(f"{kind}: {what}" for kind, (what, _, _) in KINDS.items())
    return click.Command(
        "import",
        callback=import_,
        params=[
            click.Argument(["kind"], type=click.Choice(list(KINDS))),
            click.Argument(["file"], type=click.Path(exists=True, dir_okay=False, path_type=Path)),
            click.Option(
                ["--output", "-o"],
                type=click.Path(dir_okay=False, path_type=Path),
                help="Write to this file, which must not exist, instead of stdout.",
            ),
        ],
        help=(
            "Read another server's configuration from FILE and write it as one for navi-host serve --config. What has "
            f"no counterpart is said on stderr and in comments. Kinds: {known}."
        ),
    )


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        content = stream.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise ConfigError(f"expected at most {_MAX_FILE_BYTES} bytes, got more")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"expected UTF-8, got byte 0x{content[error.start]:02x} (at byte {error.start})"
        ) from None


def _write(output: Path, text: str) -> None:
    try:
        with output.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ConfigError(f"expected a file that does not exist, got '{output}'", path="--output") from None
