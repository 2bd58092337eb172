"""Third parties' graphs, where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("NAVI_SHARED_DATA", ROOT.parent / "shared" / "data")) / "graphserver"


@pytest.fixture(scope="session")
def files():
    """A folder of GraphServer's own test resources."""
    if not DATA.is_dir():
        pytest.skip("GraphServer's test files are not here (NAVI_SHARED_DATA names another place)")
    return DATA
