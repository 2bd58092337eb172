"""What the README and the client's page say, done against a host; their tables against the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from navi_client.asking import Asking
from navi_client.protocols.table import PROTOCOLS

from navi_core import Host, HostConfig, ModelConfig, TransportSettings
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of

README = Path(__file__).parents[1] / "README.md"
PAGE = Path(__file__).parents[3] / "docs" / "client.md"


def first_cells(header):
    table = PAGE.read_text().split(f"| {header}", 1)[1].split("\n\n", 1)[0]
    return [row.split("|")[1].strip() for row in table.splitlines()[2:]]


@pytest.mark.integration
@pytest.mark.parametrize("page", [README, PAGE], ids=lambda page: page.name)
def test_code_runs(page, tmp_path, capsys):
    write_affine(tmp_path / "web_click", 3, scale=2.0)
    config = HostConfig(
        models=(ModelConfig(path=str(tmp_path / "web_click"), stable_ms=0),),
        transports={"grpc": TransportSettings(port=0)},
    )
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    blocks = [block for block in blocks if "Tls(" not in block]  # there are no such files
    assert blocks
    with Host(config, registry=registry_of(runtimes=[AffineRuntime])) as host:
        address = f"127.0.0.1:{host.addresses['grpc'][0].port}"
        namespace = {}
        for block in blocks:
            exec(compile(block.replace("127.0.0.1:8500", address), page.name, "exec"), namespace)
    np.testing.assert_array_equal(namespace["outputs"]["y"], np.full((3, 2), 2))
    printed = capsys.readouterr().out
    assert "[2. 2.]] 3" in printed
    if page is PAGE:
        assert "NOT_FOUND Servable not found for request: Latest(no_such_model) 0" in printed
        assert "[[18. 18.]]" in printed
        assert "2 [[4. 4.]]" in printed


def test_every_option_is_in_the_table():
    options = list(inspect.signature(Asking.__init__).parameters)[2:]
    assert first_cells("option | default | meaning |") == [f"`{name}`" for name in options]


def test_every_protocol_is_in_the_table():
    assert re.findall(r'`protocol="(\w+)"`', PAGE.read_text()) == list(PROTOCOLS)
