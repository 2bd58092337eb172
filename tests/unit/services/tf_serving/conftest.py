from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

# Tests are no package (importlib mode): their shared fakes lie beside them.
sys.path.insert(0, str(Path(__file__).parent))

from fake_plane import FakePlane, context_of

from navi_core.services.tf_serving.service import TfServingService

SPECS = Path(__file__).resolve().parents[4] / "specs" / "errors"


def pytest_terminal_summary(terminalreporter):
    """Say how many of the protocol's errors are brought about."""
    for name in ("grpc", "rest"):
        table = tomllib.loads((SPECS / f"tf_serving_{name}.toml").read_text(encoding="utf-8"))["error"]
        examples = sum(len(row.get("example", ())) for row in table)
        unreachable = sum("unreachable" in row for row in table)
        terminalreporter.write_line(
            f"errors of TensorFlow Serving, {name}: {len(table)} rows, {examples} examples, {unreachable} unreachable"
        )


@pytest.fixture
def plane():
    return FakePlane()


@pytest.fixture
def service(plane):
    return TfServingService.create(context_of(plane))
