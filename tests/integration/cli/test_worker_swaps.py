"""``navi-host serve --workers 2`` under load: swaps, workers that are killed, workers that hang. Over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import grpc
import grpc.aio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from navi_core import PredictRequest, PredictResponse
from navi_core.workers.swap import MAX_HOLD_S

pytestmark = pytest.mark.integration

CONNECTIONS = 64
PREDICT = "/tensorflow.serving.PredictionService/Predict"
SERVES_AGAIN_S = 120.0
"""Far more than it takes, for machines that do much else: docs/workers.md has what was measured."""


def until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def pids(served):
    """Return the worker processes, by their number, the newest of each."""
    return {each["worker"]: each["pid"] for each in served.events() if each["event"] == "worker_open"}


def total(served, name):
    with urllib.request.urlopen(f"{served.http}/metrics", timeout=60) as answer:
        page = answer.read().decode()
    families = text_string_to_metric_families(page)
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


@pytest.fixture
def two(serve, toy_model, tmp_path, timeout_s):
    """A host of two workers that serves ``scaled`` (version 1)."""
    file = tmp_path / "host.toml"
    file.write_text(f"worker_timeout_s = {timeout_s}\n")
    flags = ("--workers", "2", "--config", str(file), "--model-check-interval-secs", "0.1")
    served = serve("-m", str(toy_model()), *flags)
    until(lambda: [each for each in served.events() if each["event"] == "ready" and "worker" not in each])
    return served


@pytest.fixture
def timeout_s():
    """How long a worker may say nothing: so long that none is ended on a machine that does much else."""
    return 60


class Load:
    """Requests on many connections, in closed loops, for as long as the block lasts."""

    def __init__(self, served):
        self._served = served
        self.answers = []  # (connection, began, ended, version)
        self.failures = []  # (own port, what happened)
        self._over = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        until(lambda: len({answer[0] for answer in self.answers}) == CONNECTIONS)
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._thread.join(120)

    async def _run(self):
        await asyncio.gather(*(self._connection(number) for number in range(CONNECTIONS)))

    async def _connection(self, number):
        while not self._over.is_set():
            try:
                await self._ask(number)
            except Failure as failure:
                self.failures.append(failure.args)
                await asyncio.sleep(0.1)

    def older_after_newer(self):
        """Return the answers of an older version than somebody had had when they were asked for."""
        newest_at = sorted((ended, version) for _, _, ended, version in self.answers)
        newest, place, found = 0, 0, []
        for began, version in sorted((began, version) for _, began, _, version in self.answers):
            while place < len(newest_at) and newest_at[place][0] < began:
                newest = max(newest, newest_at[place][1])
                place += 1
            if version < newest:
                found.append((began, version, newest))
        return found

    def newest(self):
        return self.answers[-1][3]


class Failure(Exception):
    """A request that was not answered as it should be."""


class RestLoad(Load):
    """Over REST and HTTP/1.1, by hand: only so the client's port is known, by which a worker's connections are found."""

    body = json.dumps(
        {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]}, separators=(",", ":")
    ).encode()
    head = (
        "POST /v2/models/scaled/infer HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()

    async def _ask(self, number):
        reader, writer = await asyncio.open_connection("127.0.0.1", self._served.port("http"))
        port = writer.get_extra_info("sockname")[1]
        try:
            while not self._over.is_set():
                began = time.monotonic()
                writer.write(self.head + self.body)
                status, answer = await _http_answer(reader)
                if status != 200:
                    raise Failure(port, (status, answer))
                self.answers.append(
                    (number, began, time.monotonic(), int(json.loads(answer)["model_version"]))
                )
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Failure(port, repr(error)) from None
        finally:
            writer.close()


async def _http_answer(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    return int(head.split(" ", 2)[1]), await reader.readexactly(length)


class GrpcLoad(Load):
    """Over gRPC, each channel with a connection of its own."""

    async def _ask(self, number):
        request = PredictRequest()
        request.model_spec.name = "scaled"
        tensor = request.inputs["x"]
        tensor.dtype = 1
        tensor.tensor_shape.dim.add().size = 1
        tensor.float_val.append(1.0)
        content = request.SerializeToString()
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(self._served.grpc, options=options) as channel:
            call = channel.unary_unary(PREDICT)
            while not self._over.is_set():
                began = time.monotonic()
                try:
                    answer = PredictResponse.FromString(await call(content, timeout=60))
                except grpc.aio.AioRpcError as error:
                    raise Failure(0, (error.code(), error.details())) from None
                self.answers.append((number, began, time.monotonic(), answer.model_spec.version.value))


@pytest.mark.parametrize("kind", [RestLoad, GrpcLoad])
def test_no_client_sees_an_older_version_after_a_newer_one(two, toy_model, kind):
    """Whoever asks after anybody, on any connection, has had a newer version's answer gets no older one."""
    with kind(two) as load:
        for version in (2, 3, 4):
            toy_model(version=version, scale=float(version))
            until(lambda newest=version: load.newest() == newest)
            time.sleep(0.2)
    assert not load.failures, load.failures[:3]
    assert {version for *_, version in load.answers} == {1, 2, 3, 4}
    wrong = load.older_after_newer()
    assert not wrong, (len(wrong), wrong[:3])
    swaps, workers = 4, 2
    # a worker that takes longer than a second to say what it counted is shown as it was last
    until(lambda: total(two, "navi_swap_hold_seconds_count") >= swaps * workers)
    assert total(two, "navi_swap_hold_seconds_sum") <= swaps * workers * MAX_HOLD_S


# --- workers that are killed, or hang -------------------------------------------------------------------

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for who has a connection")


def clients_of(pid, port):
    """Return the ports of those that a process has connections with on its ``port``."""
    inodes = {link[8:-1] for link in _links(pid) if link.startswith("socket:[")}
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        own, other = (int(each.rpartition(":")[2], 16) for each in words[1:3])
        if own == port and words[3] == "01" and words[9] in inodes:
            found.add(other)
    return found


def _links(pid):
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            yield str(each.readlink())


def serves(served, pid, version):
    """Connect until the kernel chooses a process; returns whether it did, and it answers with the version."""
    port = served.port("http")
    for _ in range(20):

        async def ask():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(RestLoad.head + RestLoad.body)
            status, answer = await _http_answer(reader)
            own = writer.get_extra_info("sockname")[1]
            is_its = own in clients_of(pid, port)
            writer.close()
            assert (status, int(json.loads(answer)["model_version"])) == (200, version)
            return is_its

        if asyncio.run(ask()):
            return True
    return False


@needs_proc
def test_a_killed_worker_loses_what_it_held_and_nothing_else_and_another_one_serves(two, toy_model):
    toy_model(version=2, scale=3.0)
    with RestLoad(two) as load:
        until(lambda: load.newest() == 2)
        before = pids(two)
        lost = clients_of(before[1], two.port("http"))
        kept = clients_of(before[2], two.port("http"))
        killed_at = time.monotonic()
        os.kill(before[1], signal.SIGKILL)
        until(lambda: pids(two)[1] != before[1], SERVES_AGAIN_S)
        until(lambda: serves(two, pids(two)[1], 2), SERVES_AGAIN_S)
    assert len(lost) + len(kept) == CONNECTIONS
    assert {port for port, _ in load.failures} <= lost, load.failures[:3]
    assert len(load.failures) <= len(lost)
    assert {version for _, began, _, version in load.answers if began > killed_at} == {2}
    until(lambda: total(two, "navi_worker_restarts_total") == 1)
    assert two.process.poll() is None


@needs_proc
def test_a_worker_that_is_killed_as_soon_as_it_serves_comes_again(two):
    """The process that waits to replace one may not be ready yet; a new one is started at once."""
    for _ in range(3):
        before = pids(two)[1]
        os.kill(before, signal.SIGKILL)
        until(lambda before=before: pids(two)[1] != before, SERVES_AGAIN_S)
    assert serves(two, pids(two)[1], 1)
    delays = [each["restart_in_s"] for each in two.events() if each["event"] == "worker_ended"]
    assert delays in (
        [0.0, 0.5, 1.0],
        [0.0, 0.0, 0.5],
    )  # where the start took long, the first had served for long
    until(lambda: total(two, "navi_worker_restarts_total") == 3)


@needs_proc
@pytest.mark.parametrize("timeout_s", [5])
def test_a_worker_that_hangs_is_replaced_and_a_swap_happens_all_the_same(two, toy_model):
    before = pids(two)
    with RestLoad(two) as load:
        lost = clients_of(before[1], two.port("http"))
        os.kill(before[1], signal.SIGSTOP)
        toy_model(version=2, scale=3.0)
        until(lambda: load.newest() == 2)
        until(lambda: pids(two)[1] != before[1])
        until(lambda: serves(two, pids(two)[1], 2), SERVES_AGAIN_S)
    assert {port for port, _ in load.failures} <= lost, load.failures[:3]
    assert not load.older_after_newer()
    assert [each["worker"] for each in two.events() if each["event"] == "worker_silent"] == [1]
    (ended,) = (each for each in two.events() if each["event"] == "worker_ended")
    assert (ended["worker"], ended["how"]) == (1, "ended by SIGKILL")
