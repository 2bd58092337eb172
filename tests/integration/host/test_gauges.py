"""Numbers that a runtime gives about a loaded version: on the metrics page while it is loaded."""

from __future__ import annotations

import asyncio
import re

import pytest

from navi_core import Host, HostConfig, ModelConfig, ModelLoadError
from navi_core.testing.affine import AffineRuntime, AffineServable, write_affine
from navi_core.testing.registries import registry_of

pytestmark = pytest.mark.integration


def host_of(root, runtime=AffineRuntime, **config):
    config.setdefault("max_load_retries", 0)
    models = (ModelConfig(path=str(root / "m"), stable_ms=0),)
    return Host(HostConfig(models=models, **config), registry=registry_of(runtimes=[runtime]))


async def page(host):
    return (await host.plane.render_metrics())[1].decode()


async def shown(host):
    rows = re.findall(
        r'^navi_model_gauge{model="m",name="(\w+)",version="(\d+)"} (\S+)$', await page(host), re.MULTILINE
    )
    return {(int(version), name): float(value) for name, version, value in rows}


async def test_gauges_are_shown_until_the_version_is_unloaded(tmp_path):
    write_affine(tmp_path / "m", 1, gauges={"customop_version": 54321, "threads": 2})
    async with host_of(tmp_path, poll_interval_s=0.02, compat_metrics=("navi",)) as host:
        assert await shown(host) == {(1, "customop_version"): 54321.0, (1, "threads"): 2.0}
        assert ":navi:customop_version 54321\n" in await page(host)
        write_affine(tmp_path / "m", 2, gauges={"threads": 4})
        async with asyncio.timeout(60):
            while await shown(host) != {(2, "threads"): 4.0}:
                await asyncio.sleep(0.01)
        assert "customop_version" not in await page(host)
        await host.admin.unload("m")
        assert await shown(host) == {}


async def test_a_gauge_that_is_no_number_fails_the_load(tmp_path):
    class Wordy(AffineServable):
        def __init__(self, model):
            super().__init__(model)
            self.gauges = {"threads": "many"}

    class WordyRuntime(AffineRuntime):
        def load(self, artifact, options):
            return Wordy(super().load(artifact, options).model)

    write_affine(tmp_path / "m", 1)
    with pytest.raises(ModelLoadError, match="could not convert string to float: 'many'"):
        async with host_of(tmp_path, WordyRuntime):
            pass
