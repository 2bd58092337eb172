"""The tables of the docs are those that the code gives, and every section stands on some page."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import msgspec
import pytest

from navi_core import errors, hookspecs
from navi_core.config import records

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def build_docs():
    spec = importlib.util.spec_from_file_location("build_docs", ROOT / "tools" / "build_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_is_what_would_be_written(build_docs, page):
    text = page.read_text()
    assert build_docs.fresh(text) == text, "run: nox -s regenerate"


def test_every_section_stands_on_exactly_one_page(build_docs):
    found = [name for page in PAGES for name in re.findall(r"<!-- begin: (\w+) -->", page.read_text())]
    assert sorted(found) == sorted(build_docs.SECTIONS)


def test_a_changed_table_would_be_noticed(build_docs):
    page = (ROOT / "docs" / "errors.md").read_text()
    assert build_docs.fresh(page.replace("`DecodeError`", "`DecodingError`")) == page


def test_every_hook_is_described():
    page = (ROOT / "docs" / "plugins.md").read_text()
    hooks = [name for name in vars(hookspecs) if name.startswith("navi_")]
    assert re.findall(r"^### `(navi_\w+)`", page, re.MULTILINE) == hooks


def test_every_configuration_field_is_described():
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    structs = [
        struct
        for struct in vars(records).values()
        if isinstance(struct, type)
        and issubclass(struct, msgspec.Struct)
        and struct.__name__ in records.__all__
    ]
    assert len(structs) > 5
    for struct in structs:
        assert {field.name for field in msgspec.structs.fields(struct)} <= rows, struct.__name__


def test_every_configuration_field_has_a_meaning(build_docs):
    for _, record in build_docs._RECORDS:
        meanings = build_docs.attributes(record)
        assert {field.name for field in msgspec.structs.fields(record)} == set(meanings), record.__name__
        assert all(meanings.values())


def test_every_error_class_is_described():
    page = (ROOT / "docs" / "errors.md").read_text()
    classes = {name for name in errors.__all__ if name != "ErrorCode"}
    assert classes <= set(re.findall(r"`(\w+Error)`", page))
