"""The help of ``navi-host serve``: every flag stands in one section, and a terminal of 80 columns shows all of it."""

from __future__ import annotations

from collections import Counter

import click
import pytest

from navi_core.cli.sections import OTHERS, Section, SectionedCommand, sections_of
from navi_core.cli.serve import make_command
from navi_core.cli.state import CliState
from navi_core.cli.tf_serving_flags import TF_SERVING_FLAGS
from navi_core.contracts.runtime import Runtime
from navi_core.contracts.serve_flags import ServeFlag


def context(command):
    return click.Context(command, info_name="serve", terminal_width=80, max_content_width=80)


def test_serve__every_flag_is_in_one_section(toy_serve):
    sections = sections_of(toy_serve, context(toy_serve))
    counts = Counter(id(option) for section in sections for option in section.options)
    options = [each for each in toy_serve.get_params(context(toy_serve)) if isinstance(each, click.Option)]
    assert set(counts.values()) == {1}
    assert set(counts) == {id(option) for option in options}
    assert len({section.title for section in sections}) == len(sections)
    assert sections[-1].title == OTHERS
    assert {"--help", "--version"} <= {name for option in sections[-1].options for name in option.opts}


def test_serve__the_help_shows_every_flag_once_in_80_columns(toy_serve):
    text = toy_serve.get_help(context(toy_serve))
    assert max(map(len, text.splitlines())) <= 80
    words = Counter(text.replace(",", " ").replace(".", " ").split())
    for option in toy_serve.params:
        name = next(each for each in option.opts if each.startswith("--"))
        is_inert = any(flag.name == name and flag.is_inert for flag in TF_SERVING_FLAGS)
        if not (option.hidden and is_inert):
            assert words[name] >= 1, name
    for title in ("Models:", "Batching:", "Workers:", "Logs:", "TensorFlow Serving's flags:"):
        assert f"\n{title}\n" in text


def test_serve__a_plugin_s_flags_are_a_section_and_take_the_place_of_ours(toy_serve):
    (plugins,) = [
        section
        for section in sections_of(toy_serve, context(toy_serve))
        if section.title.startswith("Plugin flags: ")
    ]
    assert plugins.title == "Plugin flags: runtime sectioned"
    assert [option.opts for option in plugins.options] == [["--sectioned-depth"], ["--customops-lib", "-c"]]
    assert sum("--customops-lib" in option.opts for option in toy_serve.params) == 1


class Sectioned(Runtime):
    name = "sectioned"
    serve_flags = (
        ServeFlag(name="--sectioned-depth", option="depth", help="How deep."),
        ServeFlag(name="--customops-lib", option="library", help="What more to load."),
    )

    def recognise(self, artifact):
        return None

    def load(self, artifact, options):
        raise NotImplementedError


class Registered:
    def runtimes(self):
        return [Sectioned()]

    def converters(self):
        return []

    def transports(self):
        return {}


@pytest.fixture
def toy_serve():
    return make_command(CliState(Registered))


def test_a_section_that_has_nothing_to_show_is_left_out():
    hidden = click.Option(["--secret"], hidden=True)
    command = SectionedCommand(
        "x",
        callback=lambda **_: None,
        help="X.",
        sections=[
            Section("Hidden", [hidden]),
            Section("Told", [], "a text with --a-flag-that-is-not-broken"),
        ],
    )
    text = command.get_help(click.Context(command, info_name="x", terminal_width=30, max_content_width=30))
    assert "Hidden" not in text
    assert "Told:\n" in text
    assert "--a-flag-that-is-not-broken" in text


def test_a_command_without_sections_has_one():
    command = click.Command("x", params=[click.Option(["--a"])])
    (section,) = sections_of(command, context(command))
    assert [option.opts for option in section.options] == [["--a"], ["--help"]]
