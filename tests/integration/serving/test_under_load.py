"""What a deployment does to a host: new versions, a broken one, and SIGTERM, all under load."""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

NUM_STOPS = int(os.environ.get("NAVI_TEST_STOPS", "3"))
"""How often SIGTERM is tried; more in a thorough run."""


@pytest.fixture
def watched(model_dir, tmp_path):
    """Return a configuration whose model is looked at often, and taken soon after it was written."""
    file = tmp_path / "host.toml"
    file.write_text(f'poll_interval_s = 0.2\n[[models]]\npath = "{model_dir}"\nstable_ms = 200\n')
    return file


async def test_ten_swaps_under_load_lose_nothing(serve, scale_model, watched, load):
    """Every answer is right for the version that it names, and no connection sees a version go back."""
    factors = {version: float(version) for version in range(1, 12)}
    scale_model(1, factors[1])
    server = serve("--config", watched)
    await server.until_ready()
    resident = []
    async with load(server.grpc, factors, 32) as (everyone, _, _):
        async with asyncio.timeout(60):
            while not all(each.versions for each in everyone):
                await asyncio.sleep(0.02)
        for version in range(2, 12):
            scale_model(version, factors[version])
            async with asyncio.timeout(60):
                while not all(each.versions and each.versions[-1] == version for each in everyone):
                    await asyncio.sleep(0.02)
            resident.append(server.resident_bytes())

    assert [each.problems for each in everyone if each.problems] == []
    assert {code for each in everyone for code, _ in each.outcomes} == {"OK"}
    assert all(each.versions == list(factors) for each in everyone)
    assert resident[-1] <= 1.10 * resident[0]


async def test_a_corrupt_version_leaves_the_old_one_serving(
    serve, scale_model, model_dir, watched, load, ask
):
    scale_model(1, 2.0)
    server = serve("--config", watched)
    await server.until_ready()
    async with load(server.grpc, {1: 2.0, 3: 4.0}, 4) as (everyone, _, _):
        broken = model_dir / "2"
        broken.mkdir()
        (broken / "model.onnx").write_bytes(b"no model at all")
        await server.until_logged("servable_load_failed")
        assert await ask(server.grpc) == (1, 2.0)
        scale_model(3, 4.0)
        async with asyncio.timeout(60):
            while not all(each.versions[-1:] == [3] for each in everyone):
                await asyncio.sleep(0.02)

    assert [each.problems for each in everyone if each.problems] == []


@pytest.mark.parametrize("attempt", range(NUM_STOPS))
async def test_sigterm_under_load_resets_nobody(serve, scale_model, model_dir, load, attempt):
    """Every call that was begun gets OK or UNAVAILABLE "draining", and the process ends with 0."""
    scale_model(1, 2.0)
    server = serve("--model-dir", model_dir)
    await server.until_ready()
    async with load(server.grpc, {1: 2.0}, 64) as (everyone, _, running):
        async with asyncio.timeout(60):
            while not all(each.outcomes for each in everyone):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05 + 0.03 * attempt)
        server.terminate()
        done, pending = await asyncio.wait(running, timeout=120)
        status = await asyncio.get_running_loop().run_in_executor(None, server.wait)

    assert not pending
    assert [task.exception() for task in done if task.exception()] == []
    assert [each.problems for each in everyone if each.problems] == []
    outcomes = sum((each.outcomes for each in everyone), Counter())
    assert set(outcomes) <= {("OK", ""), ("UNAVAILABLE", "draining")}, outcomes
    assert status == 0, server.log.read_text()


async def test_large_requests_pass(serve, scale_model, model_dir, ask):
    scale_model(1, 3.0)
    server = serve("--model-dir", model_dir)
    await server.until_ready()

    assert await ask(server.grpc, 2.0, rows=1_310_720) == (1, 6.0)  # 10 MB of floats
