"""The host in process: started, asked, reconfigured, drained, stopped."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from navi_core import (
    BatchingSettings,
    ConfigError,
    Host,
    HostConfig,
    InputNamesError,
    LifecycleError,
    ModelConfig,
    ModelConflictError,
    ModelLoadError,
    ModelNotFoundError,
    PluginNotFoundError,
    TensorMismatchError,
    TransportSettings,
    WarmupSettings,
    hookimpl,
)
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of

pytestmark = pytest.mark.integration


def model(root, name="m", **settings):
    return ModelConfig(path=str(root / name), stable_ms=0, **settings)


@pytest.fixture
def host_of(tmp_path):
    """A host with models that multiply by 2 (m) and 3 (n)."""
    write_affine(tmp_path / "m", 1, scale=2.0)
    write_affine(tmp_path / "n", 1, scale=3.0)

    def make(*models, observers=(), **config):
        registry = registry_of(runtimes=[AffineRuntime], observers=observers)
        chosen = models or (model(tmp_path), model(tmp_path, "n"))
        return Host(HostConfig(models=chosen, **config), registry=registry)

    return make


async def test_async_with__serves_when_it_is_entered(host_of):
    async with host_of() as host:
        answer = await host.predict("m", {"x": np.ones((1, 2), np.float32)}, outputs=("y",))

    assert list(answer) == ["y"]
    assert answer["y"].tolist() == [[2.0, 2.0]]


async def test_lists_take_the_dtype_that_the_signature_wants(host_of):
    async with host_of() as host:
        answer = await host.predict("m", {"x": [[1, 2], [3, 4]]})

    assert answer["y"].tolist() == [[2.0, 4.0], [6.0, 8.0]]
    assert answer["y"].dtype == np.float32


async def test_priorities_order_what_waits(host_of, tmp_path):
    write_affine(tmp_path / "slow", 1, run_seconds=0.05)
    batching = BatchingSettings(
        max_concurrent_batches=1, max_batch_requests=1, priority_levels=2, default_priority_level=2
    )
    ended = []
    async with host_of(model(tmp_path, "slow", batching=batching)) as host:

        async def ask(name, **options):
            await host.predict("slow", {"x": [[1, 2]]}, **options)
            ended.append(name)

        async with asyncio.TaskGroup() as tasks:
            for name, options in (
                ("running", {}),
                ("default", {}),
                ("no such level", {"priority": 9}),
                ("low", {"priority": 2}),
                ("high", {"priority": 1}),
            ):
                tasks.create_task(ask(name, **options))
    assert ended == ["running", "high", "default", "no such level", "low"]


async def test_answers_are_the_callers_to_keep(host_of):
    """Pooled buffers are filled with NaN when they go back; an answer must not be one of them."""
    async with host_of() as host:
        x = np.ones((40_000, 2), np.float32)
        answers = await asyncio.gather(*(host.predict("m", {"x": x * value}) for value in (1, 2, 3)))
        await host.predict("m", {"x": x * 9})

    assert [float(np.unique(answer["y"])[0]) for answer in answers] == [2.0, 4.0, 6.0]


def test_with__gives_a_host_that_any_thread_may_call(host_of):
    with host_of() as host, ThreadPoolExecutor(4) as threads:
        assert sorted(host.models()) == ["m", "n"]
        answers = list(threads.map(lambda value: host.predict("m", {"x": [[value, value]]}), range(20)))

    assert [answer["y"][0, 0] for answer in answers] == [2.0 * value for value in range(20)]
    with pytest.raises(LifecycleError, match="not running"):
        host.predict("m", {"x": [[1, 1]]})


def test_with__leaves_no_thread_behind(host_of):
    before = set(threading.enumerate())
    with host_of() as host:
        host.predict("m", {"x": [[1, 1]]})

    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert "navi-host" not in names


async def test_two_hosts_live_in_one_process(host_of, tmp_path):
    async with host_of(model(tmp_path)) as one, host_of(model(tmp_path, "n")) as two:
        assert (await one.predict("m", {"x": [[1, 1]]}))["y"][0, 0] == 2.0
        assert (await two.predict("n", {"x": [[1, 1]]}))["y"][0, 0] == 3.0
        with pytest.raises(ModelNotFoundError):
            await one.predict("n", {"x": [[1, 1]]})


async def test_typed_errors_reach_the_caller(host_of):
    async with host_of() as host:
        with pytest.raises(InputNamesError):
            await host.predict("m", {"w": [[1, 1]]})
        with pytest.raises(TensorMismatchError):
            await host.predict("m", {"x": np.ones((1, 2))})
        with pytest.raises(TensorMismatchError):
            await host.predict("m", {"x": [["a", "b"]]})
        with pytest.raises(TensorMismatchError):
            await host.predict("m", {"x": [[1, 2], [3]]})


async def test_a_model_that_cannot_load_fails_the_start_and_leaves_nothing_running(host_of, tmp_path):
    (tmp_path / "bad" / "1").mkdir(parents=True)
    (tmp_path / "bad" / "1" / "affine.json").write_text("{")
    host = host_of(model(tmp_path, "bad"), max_load_retries=0)

    with pytest.raises(ModelLoadError, match=r"affine\.json"):
        async with host:
            pass

    assert not host.is_running


async def test_a_model_without_versions_fails_the_start(host_of, tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(ModelLoadError, match="no complete version"):
        async with host_of(model(tmp_path, "empty")):
            pass


async def test_a_plugin_that_the_configuration_needs_is_named(host_of):
    with pytest.raises(PluginNotFoundError, match="'nothing'"):
        async with host_of(transports={"nothing": TransportSettings()}):
            pass
    with pytest.raises(PluginNotFoundError, match="'turbo'"):
        async with host_of(runtimes={"turbo": {}}):
            pass


async def test_wrong_options_of_a_model_are_told_with_their_path(host_of, tmp_path):
    host = host_of(model(tmp_path, runtime_options={"threads": 3}), max_load_retries=0)

    with pytest.raises(ConfigError, match="threads"):
        async with host:
            pass


async def test_navi_toml_of_model_and_version_apply_and_the_host_has_the_last_word(host_of, tmp_path):
    (tmp_path / "m" / "navi.toml").write_text("[batching]\nmax_batch_rows = 7\nbatch_timeout_ms = 1\n")
    (tmp_path / "m" / "1" / "navi.toml").write_text(
        "[batching]\nmax_batch_rows = 8\nmax_batch_requests = 3\n"
    )
    said = model(tmp_path, batching=BatchingSettings(max_batch_requests=2))

    async with host_of(said) as host:
        [(_, _, batcher)] = host.plane.manager.batchers()
        policy = batcher.queue.policy

    assert (policy.max_batch_rows, policy.max_batch_requests, policy.batch_timeout_s) == (8, 2, 0.001)


async def test_a_new_version_takes_over_by_itself(host_of, tmp_path):
    async with host_of(model(tmp_path), poll_interval_s=0.02) as host:
        write_affine(tmp_path / "m", 2, scale=5.0)
        async with asyncio.timeout(60):
            while (await host.predict("m", {"x": [[1, 1]]}))["y"][0, 0] != 5.0:
                await asyncio.sleep(0.01)


async def test_admin__loads_unloads_and_refuses_a_taken_name(host_of, tmp_path):
    async with host_of(model(tmp_path)) as host:
        await host.admin.load(model(tmp_path, "n"))
        assert (await host.predict("n", {"x": [[1, 1]]}))["y"][0, 0] == 3.0
        with pytest.raises(ModelConflictError):
            await host.admin.load(model(tmp_path, "n"))
        assert list(host.plane.models()) == ["m", "n"]
        await host.admin.unload("n")
        with pytest.raises(ModelNotFoundError):
            await host.predict("n", {"x": [[1, 1]]})


async def test_admin__a_configuration_is_applied_whole_or_not_at_all(host_of, tmp_path):
    (tmp_path / "empty").mkdir()
    async with host_of(model(tmp_path)) as host:
        with pytest.raises(ModelLoadError):
            await host.admin.apply_config([model(tmp_path, "n"), model(tmp_path, "empty")])
        assert list(host.plane.models()) == ["m"]
        await host.admin.apply_config([model(tmp_path, "n")])
        assert list(host.plane.models()) == ["n"]


async def test_observers_see_requests_and_one_that_raises_fails_nothing(host_of):
    class Watcher:
        def __init__(self):
            self.seen = []

        @hookimpl
        def navi_request_finished(self, event):
            self.seen.append((event.model, event.version, event.code.value, event.num_rows))
            raise RuntimeError("observers may be wrong")

    watcher = Watcher()
    async with host_of(observers=[watcher]) as host:
        await host.predict("m", {"x": [[1, 1], [2, 2]]})
        with pytest.raises(InputNamesError):
            await host.predict("m", {})

    assert watcher.seen == [("m", 1, "OK", 2), ("m", 1, "INVALID_ARGUMENT", 0)]


async def test_metrics_count_what_was_asked(host_of):
    async with host_of() as host:
        await host.predict("m", {"x": [[1, 1]]})
        _, page = await host.plane.render_metrics()

    text = page.decode()
    assert 'navi_requests_total{code="OK",method="infer",model="m",reason="",service="in_process"' in text


async def test_metrics_count_what_was_refused(host_of):
    async with host_of() as host:
        for model_name, inputs in (("nothing", {}), ("m", {"x": [["a", "b"]]})):
            with pytest.raises((ModelNotFoundError, TensorMismatchError)):
                await host.predict(model_name, inputs)
        _, page = await host.plane.render_metrics()

    counted = [line for line in page.decode().splitlines() if line.startswith("navi_requests_total{")]
    assert len(counted) == 2
    assert any('code="NOT_FOUND"' in line and 'model="_unknown_"' in line for line in counted)
    assert any('code="INVALID_ARGUMENT"' in line and 'model="m"' in line for line in counted)
    times = [line for line in page.decode().splitlines() if line.startswith("navi_request_seconds_count")]
    assert [float(line.rpartition(" ")[2]) for line in times] == [0, 0]


async def test_using_a_host_that_is_not_running_says_so(host_of):
    with pytest.raises(LifecycleError, match="not running"):
        await host_of().predict("m", {})


async def test_meta_json_pins_a_version_and_lets_go_again(host_of, tmp_path):
    meta = tmp_path / "META.json"
    meta.write_text('{"m": {"version": "1"}}')
    write_affine(tmp_path / "m", 2, scale=5.0)
    async with host_of(model(tmp_path), meta_json=str(meta), poll_interval_s=0.02) as host:
        assert (await host.predict("m", {"x": [[1, 1]]}))["y"][0, 0] == 2.0
        meta.write_text("{}")
        async with asyncio.timeout(60):
            while (await host.predict("m", {"x": [[1, 1]]}))["y"][0, 0] != 5.0:
                await asyncio.sleep(0.01)


async def test_meta_json_thread_counts_reach_the_load(host_of, tmp_path):
    meta = tmp_path / "META.json"
    meta.write_text('{"m": {"intra_op_parallelism": 3, "inter_op_parallelism": "2"}}')
    async with host_of(model(tmp_path), meta_json=str(meta)) as host:
        config = host.plane.manager.config_of("m")

    assert (config.intra_op_threads, config.inter_op_threads) == (3, 2)


async def test_modelsync_runs_before_each_look_and_is_told_the_versions(host_of, tmp_path):
    log = tmp_path / "calls"
    script = tmp_path / "sync.sh"
    script.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    script.chmod(0o755)
    async with host_of(model(tmp_path), modelsync_command=f"{script} --bucket b", poll_interval_s=0.05):
        async with asyncio.timeout(60):
            while not log.exists() or not log.read_text().endswith(
                "1\n"
            ):  # more looks may pass while it loads
                await asyncio.sleep(0.01)
        first, *_, last = log.read_text().splitlines()

    assert first == "--bucket b --model-spec m --cur-version "
    assert last == "--bucket b --model-spec m --cur-version 1"


async def test_a_pin_that_moves_to_a_version_which_is_not_there_keeps_what_serves(host_of, tmp_path):
    meta = tmp_path / "META.json"
    meta.write_text('{"m": {"version": "1"}}')
    async with host_of(model(tmp_path), meta_json=str(meta), poll_interval_s=0.02) as host:
        meta.write_text('{"m": {"version": "99"}}')
        await asyncio.sleep(0.2)
        assert (await host.predict("m", {"x": [[1, 1]]}))["y"][0, 0] == 2.0
        write_affine(tmp_path / "m", 99, scale=7.0)
        async with asyncio.timeout(60):
            while (await host.predict("m", {"x": [[1, 1]]}))["y"][0, 0] != 7.0:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"runtime": "tf"}, PluginNotFoundError, r"models\[0\]\.runtime: no runtime is called 'tf'"),
        (
            {"converter": "nope"},
            PluginNotFoundError,
            r"models\[0\]\.converter: no converter is called 'nope'",
        ),
        ({"runtime": "affine", "runtime_options": {"foo": 1}}, ConfigError, r"models\[0\]\.runtime_options"),
        (
            {"converter": "none", "converter_options": {"a": 1}},
            ConfigError,
            r"models\[0\]\.converter_options",
        ),
    ],
)
async def test_what_the_configuration_needs_is_checked_before_anything_is_opened(
    host_of, tmp_path, settings, error, text
):
    with pytest.raises(error, match=text):
        await host_of(model(tmp_path, **settings)).start()


async def test_options_of_a_service_that_is_not_there_are_refused(host_of):
    with pytest.raises(PluginNotFoundError, match=r"service_options\.nope"):
        await host_of(service_options={"nope": {}}).start()


async def test_a_run_that_never_ends_does_not_hold_the_stop(host_of, tmp_path):
    write_affine(tmp_path / "slow", 1, run_seconds=6.0)
    host = host_of(model(tmp_path, "slow", warmup=WarmupSettings(enabled=False)))
    await host.start()
    await host.wait_ready()
    [(_, _, batcher)] = host.plane.manager.batchers()
    stuck = asyncio.ensure_future(host.predict("slow", {"x": [[1, 1]]}))
    async with asyncio.timeout(60):
        while not batcher._loaded.servable.batches:
            await asyncio.sleep(0.005)

    await host.stop(0.1)

    runners = [thread for thread in threading.enumerate() if thread.name.startswith("navi-run")]
    assert runners, "the stop has waited for the run"
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    await asyncio.get_running_loop().run_in_executor(None, lambda: [thread.join(60) for thread in runners])
