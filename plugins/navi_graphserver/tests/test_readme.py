"""The README and the page of operations against the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import navi_graphserver
import pytest
from navi_graphserver.operations.names import num_operations
from navi_graphserver.options import GraphOptions
from navi_graphserver.service.service import PREFIXES, GraphServiceOptions

from navi_core import HostConfig

FOLDER = Path(__file__).parents[1]
README = (FOLDER / "README.md").read_text()


def test_the_page_of_operations_is_what_the_code_makes():
    pytest.importorskip("onnx")
    from navi_graphserver.operations.listing import operations_page  # imports onnx

    assert (FOLDER / "OPERATIONS.md").read_text() == operations_page()


def test_the_start_line_counts_the_operations():
    assert f"Number of operations: [{num_operations()}]" in README


def test_every_option_and_its_default_is_listed():
    for name in GraphOptions.__struct_fields__:
        assert f'| `{name}` | `"{getattr(GraphOptions(), name)}"` |' in README


def test_every_option_of_the_service_is_described():
    table = README.split("[service_options.graphserver]")[1].split("## ")[0]
    for name in GraphServiceOptions.__struct_fields__:
        assert f"\n{name} = " in table
        assert f"`{name}`" in table


def test_the_examples_of_configuration_are_valid():
    for text in re.findall(r"```toml\n(.*?)```", README, re.DOTALL):
        config = msgspec.convert(tomllib.loads(text), HostConfig)
        msgspec.convert(config.service_options.get("graphserver", {}), GraphServiceOptions)


def test_every_prefix_and_public_function_is_named():
    for prefix in PREFIXES:
        assert f"`{prefix}`" in README
    for name in ("Client", "read_graph", "write_graph", "export_torch", "export_onnx"):
        assert f"`{name}(" in README
        assert getattr(navi_graphserver, name)
