"""Modules of ``benchmarks/serving``, which is a program and no package."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "serving"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Return what loads a module of the program as the program itself would, by its short name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = {path.stem for path in FOLDER.glob("*.py")}
    hidden = {name: sys.modules.pop(name) for name in names if name in sys.modules}

    def load(name: str) -> ModuleType:
        found = importlib.import_module(name)
        assert Path(str(found.__file__)).parent == FOLDER
        return found

    yield load
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(hidden)
