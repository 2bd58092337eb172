"""``navi-host new-plugin``: writes a plugin package that works, to be changed into one's own.

The packages are plain files in ``plugin_templates/``: those of ``any`` and those of a kind. Their names end
in ``.tmpl``, so that no tool takes them for code; ``${name}`` in them stands for what :func:`_values` returns.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

import click

from navi_core.cli.new_plugin_names import (
    PluginNames,
    clash_of_distribution,
    core_requirement,
    problem_of_plugin_name,
)
from navi_core.cli.state import BUILT_IN, CliState

if TYPE_CHECKING:
    from navi_core.plugins.registry import Registry

__all__ = ["KINDS", "make_command"]

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "runtime": ("msgspec>=0.19", "numpy>=1.26"),
    "converter": ("msgspec>=0.19", "numpy>=1.26"),
    "service": ("msgspec>=0.19", "numpy>=1.26"),
    "source": ("msgspec>=0.19",),
    "command": ("click>=8.1.7",),
}
"""Kind -> what its package needs beside navi-core.

There is no transport: that is a whole server, and its place to begin is one that exists.
"""

_TEMPLATES: Final = "plugin_templates"
_IMPORT_NAME: Final = "IMPORT_NAME"  # in a template's path
_SUFFIX: Final = ".tmpl"


def make_command(state: CliState) -> click.Command:
    """Return the command."""

    def new_plugin(name: str, kind: str, folder: Path | None) -> None:
        _refuse(problem_of_plugin_name(name), "NAME")
        names = PluginNames.of(name)
        _refuse(_problem_of_word(state.registry, kind, names), "NAME")
        target = Path(name) if folder is None else folder
        _refuse(_problem_of_folder(target), "--dir" if folder else "NAME")
        for clash in filter(
            None, (clash_of_distribution(name), _clash_of_plugin(state.registry, kind, names))
        ):
            click.echo(f"warning: {clash}", err=True)
        _write(target, _render(kind, _values(kind, names)))
        click.echo(
            f"{target}: a {kind} '{_registered_name(kind, names)}' that works; what to change is marked CHANGE"
        )
        click.echo(f"  pip install -e '{target}[test]' && pytest {target}")

    return click.Command(
        "new-plugin",
        callback=new_plugin,
        params=[
            click.Argument(["name"]),
            click.Option(
                ["--kind"],
                type=click.Choice(list(KINDS)),
                default="runtime",
                show_default=True,
                help="What the plugin adds to a host.",
            ),
            click.Option(
                ["--dir", "folder"],
                type=click.Path(path_type=Path),
                metavar="DIR",
                help="The folder to write; a new or an empty one. [default: ./NAME]",
            ),
        ],
        help=(
            "Write a plugin package called NAME that works: it installs, is found by the host, and passes its "
            "conformance test. Then change it into your own."
        ),
    )


def _refuse(problem: str, parameter: str) -> None:
    if problem:
        raise click.UsageError(
            f"Invalid value for '{parameter}': {problem}", ctx=click.get_current_context(silent=True)
        )


def _problem_of_word(registry: Registry, kind: str, names: PluginNames) -> str:
    """Return why a host would refuse the plugin beside those that are installed; empty: nothing."""
    name = _registered_name(kind, names)
    if kind == "command" and name in BUILT_IN:
        return f"'{name}' is a command of navi-host's own"
    registry.commands(frozenset(BUILT_IN))  # asked, so that the records tell of them
    for record in registry.records:
        if record.distribution != names.distribution and (kind, name) in record.provides:
            return f"the {kind} '{name}' is registered by {record.distribution} {record.version}"
    return ""


def _clash_of_plugin(registry: Registry, kind: str, names: PluginNames) -> str:
    """Return which installed plugin people would take this one for; empty: none."""
    for record in registry.records:
        others = sorted(what for what, name in record.provides if name == names.word and what != kind)
        if record.distribution == names.distribution:
            continue
        if others:
            return (
                f"the {others[0]} '{names.word}' of {record.distribution} {record.version} has the same name"
            )
        if record.name == names.word:
            return f"{record.distribution} {record.version} is a plugin '{names.word}' already"
    return ""


def _registered_name(kind: str, names: PluginNames) -> str:
    return names.word.replace("_", "-") if kind == "command" else names.word


def _problem_of_folder(target: Path) -> str:
    if target.is_dir():
        return f"'{target}' is not empty" if any(target.iterdir()) else ""
    return f"'{target}' exists and is no folder" if target.exists() or target.is_symlink() else ""


def _values(kind: str, names: PluginNames) -> dict[str, str]:
    core = core_requirement(importlib.metadata.version("navi-core"))
    return {
        "kind": kind,
        "distribution": names.distribution,
        "import_name": names.import_name,
        "word": names.word,
        "flag": names.word.replace("_", "-"),
        "scheme": names.word.replace("_", "-"),  # RFC 3986 knows no underscore
        "Class": names.class_prefix,
        "requirements": ", ".join(f'"{each}"' for each in sorted((*KINDS[kind], core))),
    }


def _render(kind: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return the package: path -> text."""
    templates = files("navi_core.cli") / _TEMPLATES
    rendered = {}
    for path, template in (*_walk(templates / "any"), *_walk(templates / kind)):
        name = path.replace(_IMPORT_NAME, values["import_name"]).removesuffix(_SUFFIX)
        # stored without its dot, or it would say what belongs into the wheel
        rendered[".gitignore" if name == "gitignore" else name] = Template(
            template.read_text("utf-8")
        ).substitute(values)
    return rendered


def _walk(folder: Traversable, below: str = "") -> Iterator[tuple[str, Traversable]]:
    """Yield every file under a folder, and its path from there."""
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        path = f"{below}{entry.name}"
        if entry.is_dir():
            yield from _walk(entry, f"{path}/")
        else:
            yield path, entry


def _write(target: Path, package: Mapping[str, str]) -> None:
    for name, text in package.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as stream:  # "x": whatever is there stays
            stream.write(text)
