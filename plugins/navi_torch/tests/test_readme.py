"""The README's tables and snippets against the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
import torch
from navi_torch.options import TorchOptions
from navi_torch.testing import Mlp

README = (Path(__file__).parents[1] / "README.md").read_text()


def first_cells(header):
    """Return the first cell of each row of the table with that header."""
    table = README.split(f"| {header} |", 1)[1].split("\n\n", 1)[0]
    return [row.split("|")[1].strip() for row in table.splitlines()[2:]]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_readme__lists_every_option_in_order():
    assert first_cells("option | default | meaning") == [
        f"`{name}`" for name in TorchOptions.__struct_fields__
    ]


def test_readme__its_toml_is_what_options_take():
    found = blocks("toml")
    assert len(found) == 3
    for text in found:
        table = tomllib.loads(text)
        options = msgspec.convert(table["runtime_options"], TorchOptions)
        assert options != TorchOptions()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_readme__its_python_writes_what_is_served(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module, example = Mlp().eval(), torch.zeros(5, 16)
    both, described, ranged = blocks("python")
    for snippet in (both, ranged):
        exec(snippet, {"torch": torch, "module": module, "example": example})
        for name in ("model.pt", "model.pt2"):
            assert load((tmp_path / name).read_bytes()).signature.inputs["x"].shape[1] == 16
    assert load((tmp_path / "model.pt2").read_bytes()).signature.max_rows == 1024
    exec(described, {"torch": torch, "module": torch.jit.script(module)})
    assert load((tmp_path / "model.pt").read_bytes()).signature.inputs["x"].shape == (None, 16)


def test_readme__states_the_version_that_is_run():
    assert f"**torch {torch.__version__.split('+')[0]}," in README
