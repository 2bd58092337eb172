"""Registries for tests: of plugins made on the spot, and of toys as if installed."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from navi_core.contracts.artifact import Artifact
from navi_core.hookspecs import hookimpl
from navi_core.plugins.discovery import discover
from navi_core.plugins.registry import Registry

# with --import-mode=importlib, test folders are not packages: this is how their tests share modules
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def registry_of(monkeypatch):
    """Build a registry from plugins given as name -> {hook: function}."""

    def build(**plugins):
        points = []
        for name, hooks in plugins.items():
            module = types.ModuleType(f"toy_made_{name}")
            for hook, function in hooks.items():
                setattr(module, hook, hookimpl(function))
            monkeypatch.setitem(sys.modules, module.__name__, module)
            points.append(EntryPoint(name, module.__name__, "navi"))
        return Registry(discover(entry_points=lambda: points, environ={}, core_version="0.1.0"))

    return build


@pytest.fixture
def installed(toy_site):
    """Lay toys out and return the registry of them alone."""

    def build(*packages):
        toy_site.install(*packages)
        return Registry(discover(entry_points=toy_site.entry_points, environ={}, core_version="0.1.0"))

    return build


@pytest.fixture
def artifact():
    def make(*files):
        return Artifact(name="m", version=3, files=dict.fromkeys(files, b""))

    return make
