"""Links lead somewhere, code in Markdown runs, flags that are written about exist."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest

from navi_core import Artifact, ConfigError
from navi_core.cli.lazy import normalise
from navi_core.cli.main import make_group
from navi_core.cli.state import CliState
from navi_core.config.load import parse_config, parse_model_settings
from navi_core.config.records import HostConfig, ModelSettings
from navi_core.plugins.discovery import discover
from navi_core.plugins.registry import Registry

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "examples").glob("*/README.md"),
        *(ROOT / "plugins").glob("*/README.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ]
)


_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in _FENCE.findall(page.read_text()) if language in languages]


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def commands(page: Path) -> list[list[str]]:
    """Return the words of every ``navi-host`` command in a page's shell blocks and inline code."""
    lines = [line for block in blocks(page, "", "sh", "console") for line in block.splitlines()]
    inline = [" ".join(code.split()) for code in re.findall(r"`(navi-host [^`]+)`", prose(page))]
    found = []
    for line in [*lines, *inline]:
        for part in re.split(r"&&|\||;", line):
            # generated usage lines show what may be left out in brackets
            words = shlex.split(part, comments=True) if "[" not in part and "navi-host" in part else []
            if words and words[0].rsplit("/", 1)[-1] == "navi-host":
                found.append(words[1:])
    return found


def test_there_are_pages():
    assert {"README.md", "CONTRIBUTING.md", "architecture.md", "plugins.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    missing = [
        target
        for target in targets
        if not re.match(r"https?:|#", target) and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_flags_exist(page):
    group = make_group()
    context = click.Context(group, info_name="navi-host", obj=CliState())
    for words in commands(page):
        if not words or words[0].startswith("-") or words[0].isupper():
            continue
        command = group.get_command(context, words[0])
        assert command is not None, f"navi-host {words[0]}"
        inner = click.Context(command, parent=context)
        known = {
            name
            for parameter in command.get_params(inner)
            for name in (*parameter.opts, *parameter.secondary_opts)
        }
        used = {normalise(word.partition("=")[0]) for word in words[1:] if re.match(r"--?[a-z]", word)}
        assert used <= known, f"navi-host {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_parses_and_toml_is_a_configuration(page):
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")
    for block in blocks(page, "toml"):
        if "[project" in block:
            assert tomllib.loads(block)["project"]
        else:
            assert is_configuration(block), block


def is_configuration(text: str) -> bool:
    """Tell whether a text is a host's configuration, or one that stands beside a model."""
    try:
        return parse_model_settings(text) != ModelSettings()
    except ConfigError:
        return parse_config(text) != HostConfig()


def test_the_plugin_of_the_page_is_a_plugin(monkeypatch, tmp_path):
    [source] = [block for block in blocks(ROOT / "docs" / "plugins.md", "python") if "@hookimpl" in block]
    module = types.ModuleType("documented_plugin")
    monkeypatch.setitem(sys.modules, "documented_plugin", module)
    exec(compile(source, "documented_plugin", "exec"), vars(module))
    registry = Registry(
        discover(
            entry_points=lambda: [EntryPoint("scale", "documented_plugin", "navi")],
            environ={},
            core_version="0.1.0",
        )
    )
    assert [(record.state, record.reason) for record in registry.records] == [("loaded", "")]
    artifact = Artifact(name="m", version=1, files={"scale.json": b'{"scale": 3.0}'})
    assert registry.select_runtime(artifact).kind == "scale_json"


def test_the_entry_point_table_of_the_page_is_a_toys():
    block = next(block for block in blocks(ROOT / "docs" / "plugins.md", "toml") if "[project]" in block)
    documented = tomllib.loads(block)["project"]
    toy = tomllib.loads((ROOT / "tests" / "plugins" / "toy_runtime" / "pyproject.toml").read_text())[
        "project"
    ]
    assert documented == {name: toy[name] for name in documented}


def test_every_environment_variable_is_described():
    sources = [*(ROOT / "navi_core").rglob("*.py"), *(ROOT / "plugins").glob("*/src/**/*.py")]
    used = {name for path in sources for name in re.findall(r'"(NAVI_[A-Z_]+)"', path.read_text())}
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert used
    assert used == set(re.findall(r"^\| `(NAVI_[A-Z_]+)` \|", page, re.MULTILINE))


def test_the_flags_of_the_migration_tables_exist():
    serve = make_group().get_command(click.Context(make_group(), obj=CliState()), "serve")
    known = {name for parameter in serve.params for name in parameter.opts}
    page = prose(ROOT / "docs" / "coming-from-navi.md")
    assert set(re.findall(r"`(--[a-z-]+)`", page)) <= known | {"--host"}
