from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Tests are no package (importlib mode): their shared fakes lie beside them.
sys.path.insert(0, str(Path(__file__).parent))

from oip_plane import FakeAdmin, FakePlane, context_of

from navi_core.services.oip.service import OipService


@pytest.fixture
def plane():
    plane = FakePlane()
    yield plane
    assert plane.open_handles == 0
    assert plane.num_open_answers == 0


@pytest.fixture
def admin(plane):
    return FakeAdmin(plane)


@pytest.fixture
def service(plane, admin):
    return OipService.create(context_of(plane, admin=admin))


@pytest.fixture
def triton(plane, admin):
    return OipService.create(context_of(plane, admin=admin, table={"compat": "triton"}))
