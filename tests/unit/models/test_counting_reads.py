"""Calls that look something up, as the data plane counts them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Tests are no package (importlib mode): the stage lies beside them.
sys.path.insert(0, str(Path(__file__).parent))

from manager_stage import make_stages

from navi_core.contracts.artifact import Artifact
from navi_core.data_plane import HostDataPlane
from navi_core.errors import ErrorCode
from navi_core.messages import ModelRef
from navi_core.metrics.metrics import Metrics
from navi_core.plugins.observers import Observers
from navi_core.testing.affine import write_affine
from navi_core.testing.registries import registry_of


@pytest.fixture
async def stage(tmp_path):
    async with make_stages(tmp_path) as make:
        yield make


async def test_only_configured_models_become_labels(stage):
    s = stage()
    s.add()
    path = write_affine(s.root / "m", 1)
    s.manager.set_aspired("m", [Artifact(name="m", version=1, path=path)])
    await s.manager.wait_available("m")
    metrics = Metrics(["tensorflow"])
    plane = HostDataPlane(s.manager, metrics=metrics, observers=Observers(registry_of().plugins), now=float)

    plane.read_finished(ModelRef("m", version=9), ErrorCode.OK, service="tf_serving", total_seconds=0.001)
    plane.read_finished(ModelRef("made up"), ErrorCode.NOT_FOUND, service="tf_serving", total_seconds=0.001)
    plane.read_finished(None, ErrorCode.INVALID_ARGUMENT, service="tf_serving", total_seconds=0.0)
    page = metrics.render()[1].decode()
    counted = {line for line in page.splitlines() if line.startswith(":tensorflow:serving:request_count")}
    assert counted == {
        ':tensorflow:serving:request_count{model_name="m",status="OK"} 1',
        ':tensorflow:serving:request_count{model_name="_unknown_",status="NOT_FOUND"} 1',
        ':tensorflow:serving:request_count{model_name="_unknown_",status="INVALID_ARGUMENT"} 1',
    }
