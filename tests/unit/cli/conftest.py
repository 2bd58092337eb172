"""Fixtures for the command line: toy plugins as the whole environment, and one run in this process."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import pytest
import structlog

from navi_core.cli.main import run
from navi_core.cli.state import CliState
from navi_core.plugins.discovery import discover
from navi_core.plugins.registry import Registry


@pytest.fixture(autouse=True)
def _logging_as_before():
    """Commands configure the logging of their process; a test's process is not theirs."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in ("aiohttp.access", "asyncio", "grpc")}
    showwarning = warnings.showwarning
    yield
    logging.captureWarnings(capture=False)
    warnings.showwarning = showwarning
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)
    structlog.reset_defaults()


@dataclass
class Ended:
    status: int
    out: str
    err: str


@pytest.fixture
def toy_registry(toy_site):
    """Make a registry of toys alone."""

    def make(*packages: str) -> Registry:
        toy_site.install(*packages)
        return Registry(discover(entry_points=toy_site.entry_points, environ={}, core_version="0.1.0"))

    return make


@pytest.fixture
def navi_host(toy_registry, capsys):
    """Run one command in this process, with toys as the only plugins."""

    def invoke(*args: str, plugins: tuple[str, ...] = ()) -> Ended:
        status = run(args, CliState(lambda: toy_registry(*plugins)))
        captured = capsys.readouterr()
        return Ended(status, captured.out, captured.err)

    return invoke
