from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Tests are no package (importlib mode): their shared fakes lie beside them.
sys.path.insert(0, str(Path(__file__).parent))

from fake_plane import FakePlane, context_of

from navi_core.services.tf_serving.service import TfServingService


@pytest.fixture
def plane():
    return FakePlane()


@pytest.fixture
def service(plane):
    return TfServingService.create(context_of(plane))
