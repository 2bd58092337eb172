"""One name becomes four; names that cannot be a package here are refused."""

from __future__ import annotations

import keyword
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from navi_core.cli.new_plugin_names import (
    MAX_NAME_LENGTH,
    PluginNames,
    core_requirement,
    problem_of_plugin_name,
)

NAMES = {
    "x": ("x", "x", "x", "X"),
    "my-runtime": ("my-runtime", "my_runtime", "my", "My"),
    "navi_foo": ("navi-foo", "navi_foo", "foo", "Foo"),
    "navi-foo-bar": ("navi-foo-bar", "navi_foo_bar", "foo_bar", "FooBar"),
    "runtime": ("runtime", "runtime", "runtime", "Runtime"),
    "navi-runtime": ("navi-runtime", "navi_runtime", "runtime", "Runtime"),
    "navi-2d": ("navi-2d", "navi_2d", "navi_2d", "Navi2d"),
    "foo2-service": ("foo2-service", "foo2_service", "foo2", "Foo2"),
}


@pytest.mark.parametrize("name", NAMES)
def test_of__one_name_becomes_four(name):
    names = PluginNames.of(name)
    assert (names.distribution, names.import_name, names.word, names.class_prefix) == NAMES[name]
    assert problem_of_plugin_name(name) == ""


@given(st.from_regex(r"[a-z][a-z0-9]{0,5}([-_][a-z0-9]{1,5}){0,3}", fullmatch=True))
def test_of__names_are_what_python_and_pip_take(name):
    names = PluginNames.of(name)
    assert names.distribution == canonicalize_name(names.distribution)
    assert names.import_name.isidentifier()
    assert names.word.isidentifier()
    assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", names.class_prefix)


BAD = {
    "": "expected lower-case letters",
    "X": "expected lower-case letters",
    "1a": "expected lower-case letters",
    "a--b": "expected lower-case letters",
    "a-": "expected lower-case letters",
    "-a": "expected lower-case letters",
    "a/b": "expected lower-case letters",
    "..": "expected lower-case letters",
    "ä": "expected lower-case letters",
    "a\n": "expected lower-case letters",
    "a" * (MAX_NAME_LENGTH + 1): f"at most {MAX_NAME_LENGTH}",
    "class": "a word of Python's own",
    "navi-class": "a word of Python's own",
    "json": "a module of Python's own",
    "tests": "stands for something else",
    "navi-core": "stands for something else",
    "numpy": "there is a module 'numpy' already (of numpy)",
    "grpc": "there is a module 'grpc' already (of grpcio)",
}


@pytest.mark.parametrize("name", BAD)
def test_problem__says_what_is_wrong(name):
    assert BAD[name] in problem_of_plugin_name(name)


@pytest.mark.parametrize("word", keyword.kwlist)
def test_problem__no_word_of_the_language(word):
    assert problem_of_plugin_name(word)


def test_problem__a_module_that_was_written_before_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "a_module_of_mine.py").touch()
    (tmp_path / "a_folder_of_mine").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "there is a module 'a_module_of_mine' already (at " in problem_of_plugin_name("a-module-of-mine")
    assert problem_of_plugin_name("a-folder-of-mine") == ""


def test_problem__an_earlier_build_of_the_same_plugin_is_none(toy_site):
    toy_site.install("toy_runtime")
    assert problem_of_plugin_name("toy-runtime") == ""


@pytest.mark.parametrize(
    ("version", "requirement", "next_one"),
    [
        ("0.1.0", "navi-core>=0.1,<0.2", "0.2.0"),
        ("0.12.3.dev4", "navi-core>=0.12,<0.13", "0.13"),
        ("1.4.2", "navi-core>=1.4,<2", "2.0"),
    ],
)
def test_core_requirement__takes_this_core_and_none_that_breaks(version, requirement, next_one):
    assert core_requirement(version) == requirement
    specifier = Requirement(requirement).specifier
    assert specifier.contains(version.partition(".dev")[0])
    assert not specifier.contains(next_one)
