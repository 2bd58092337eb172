"""HandleReloadConfigRequest against a running host: models come, go and stay, all or nothing."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from navi_core import Host, HostConfig, ModelConfig, TransportSettings
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of
from navi_core.wire import tf_serving

pytestmark = pytest.mark.integration

RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"


@pytest.fixture
def models(tmp_path):
    for name in ("a", "b", "c"):
        for version in (1, 2, 3):
            write_affine(tmp_path / "models" / name, version)
    broken = tmp_path / "models" / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "affine.json").write_text("{")
    write_affine(tmp_path / "elsewhere" / "d", 1)
    return tmp_path / "models"


def config_of(models, **changes):
    table = {
        "models": (ModelConfig(path=str(models / "a"), stable_ms=0),),
        "transports": {"grpc": TransportSettings(port=0)},
        "poll_interval_s": 0.05,
        "max_load_retries": 0,
        "admin": True,
        "model_roots": (str(models),),
        "service_options": {"tf_serving": {"allow_unavailable_labels": True}},
    }
    return HostConfig(**{**table, **changes})


async def unary(host, path, request, response):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{host.addresses['grpc'][0].port}") as channel:
        return response.FromString(await channel.unary_unary(path)(request.SerializeToString(), timeout=60))


async def reload(host, *models):
    request = tf_serving.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    for base_path, labels, *versions in models:
        each = request.config.model_config_list.config.add(
            name=base_path.name, base_path=str(base_path), model_platform="tensorflow", version_labels=labels
        )
        each.model_version_policy.specific.versions.extend(versions)
        if not versions:
            each.model_version_policy.latest.num_versions = 2
    return await unary(host, RELOAD, request, tf_serving.ReloadConfigResponse)


async def available(host, model):
    request = tf_serving.GetModelStatusRequest(model_spec=tf_serving.ModelSpec(name=model))
    answer = await unary(host, STATUS, request, tf_serving.GetModelStatusResponse)
    return {each.version for each in answer.model_version_status if each.state == 30}


async def test_a_list_replaces_the_models(models):
    async with Host(config_of(models), registry=registry_of(runtimes=[AffineRuntime])) as host:
        assert (
            await reload(host, (models / "b", {"stable": 1}, 1, 3), (models / "c", {}))
        ).status.error_code == 0
        assert set(host.plane.models()) == {"b", "c"}
        await _until(lambda: _is(host, "b", {1, 3}))
        await _until(lambda: _is(host, "c", {2, 3}))
        answer = await host.predict("b", {"x": [[1.0, 2.0]]}, label="stable")
        assert answer["y"].tolist() == [[1.0, 2.0]]

        # one that fails: nothing changes, and the others serve on
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reload(host, (models / "a", {}), (models / "broken", {}))
        assert caught.value.code() is grpc.StatusCode.UNKNOWN
        assert caught.value.details().startswith(
            "1 model(s) did not become available: {{{name: broken version: 1} due"
        )
        assert set(host.plane.models()) == {"b", "c"}

        # one that lies elsewhere
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reload(host, (models.parent / "elsewhere" / "d", {}))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED

        # labels that are not listed again are gone
        await reload(host, (models / "b", {}, 1, 3))
        assert set(host.plane.models()) == {"b"}
        assert [status.labels for status in host.plane.status("b")] == [(), ()]


async def test_a_model_that_moves_to_a_directory_that_is_not_there_serves_on(models):
    async with Host(config_of(models), registry=registry_of(runtimes=[AffineRuntime])) as host:
        moved = models / "moved" / "a"
        assert (await reload(host, (moved, {}))).status.error_code == 0
        await asyncio.sleep(0.3)  # some looks
        assert await available(host, "a") == {3}
        write_affine(moved, 1, scale=5.0)
        await _until(lambda: _is(host, "a", {1}))
        assert (await host.predict("a", {"x": [[1.0, 2.0]]}))["y"].tolist() == [[5.0, 10.0]]


async def test_labels_move_under_load_in_one_step(models):
    """Each answer is from the version that the label pointed at before or after a reload, and none is refused."""
    write_affine(models / "b", 1, scale=1.0)
    write_affine(models / "b", 3, scale=3.0)
    seen, done = [], asyncio.Event()

    async def ask(host):
        while not done.is_set():
            answer = await host.predict("b", {"x": [[1.0, 2.0]]}, label="stable")
            seen.append(answer["y"].tolist()[0])

    async with Host(config_of(models), registry=registry_of(runtimes=[AffineRuntime])) as host:
        await reload(host, (models / "b", {}, 1, 3))
        await _until(lambda: _is(host, "b", {1, 3}))
        await reload(host, (models / "b", {"stable": 1}, 1, 3))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(ask(host))
            for turn in range(20):
                await reload(host, (models / "b", {"stable": (3, 1)[turn % 2]}, 1, 3))
            done.set()
    assert {tuple(answer) for answer in seen} == {(1.0, 2.0), (3.0, 6.0)}


async def test_without_admin_it_is_denied(models):
    config = config_of(models, admin=False)
    async with Host(config, registry=registry_of(runtimes=[AffineRuntime])) as host:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reload(host)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "--admin" in caught.value.details()
        assert await available(host, "a") == {3}


async def _is(host, model, versions):
    return await available(host, model) == versions


async def _until(holds):
    for _ in range(1200):
        if await holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never came true")
