"""``navi-host serve --workers 2``: two processes that are one host, over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.integration

CONNECTIONS = 64


def get(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def post(url, document):
    request = urllib.request.Request(url, json.dumps(document).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


def ask(served, model="scaled"):
    """Ask over a connection of its own; returns the version that answered."""
    inputs = [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]
    return int(post(f"{served.http}/v2/models/{model}/infer", {"inputs": inputs})["model_version"])


def pids(served):
    """Return the worker processes, by their number, the newest of each."""
    return {each["worker"]: each["pid"] for each in served.events() if each["event"] == "worker_open"}


def total(served, name, **labels):
    page = get(f"{served.http}/metrics")
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def two(serve, toy_model):
    """A host of two workers that serves ``scaled`` (version 1)."""
    served = serve("-m", str(toy_model()), "--workers", "2", "--admin", "--model-check-interval-secs", "0.1")
    until(lambda: [each for each in served.events() if each["event"] == "ready" and "worker" not in each])
    return served


def test_two_processes_answer_on_one_port_and_count_together(two):
    asked = 40
    for _ in range(asked):
        assert ask(two) == 1
    listening = {each["worker"] for each in two.events() if each["event"] == "listening"}
    assert listening == {1, 2}
    assert total(two, "navi_requests_total", model="scaled", code="OK") == asked
    assert total(two, "navi_workers") == 2
    assert total(two, "navi_versions", model="scaled", state="AVAILABLE") == 1
    assert total(two, "navi_swap_hold_seconds_count") == 2
    for _ in range(6):  # whichever worker answers
        (statistics,) = json.loads(get(f"{two.http}/v2/models/scaled/stats"))["model_stats"]
        assert statistics["inference_count"] == asked
    assert two.stop() == 0
    stopped = [each["worker"] for each in two.events() if each["event"] == "stopped" and "worker" in each]
    assert sorted(stopped) == [1, 2]


class Load:
    """Requests on many connections, in closed loops, for as long as the block lasts."""

    def __init__(self, served):
        self._url = f"{served.http}/v2/models/scaled/infer"
        self.answers = []  # (connection, began, ended, version)
        self.failures = []
        self._over = threading.Event()

    def __enter__(self):
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        until(lambda: len({answer[0] for answer in self.answers}) == CONNECTIONS)
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._thread.join(30)

    async def _run(self):
        await asyncio.gather(*(self._connection(number) for number in range(CONNECTIONS)))

    async def _connection(self, number):
        document = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
            while not self._over.is_set():
                began = time.monotonic()
                try:
                    async with session.post(self._url, json=document) as answer:
                        said = await answer.json(content_type=None)
                        if answer.status != 200:
                            self.failures.append((answer.status, said))
                            continue
                except aiohttp.ClientError as error:
                    self.failures.append((0, repr(error)))
                    continue
                self.answers.append((number, began, time.monotonic(), int(said["model_version"])))


def test_no_client_sees_an_older_version_after_a_newer_one(two, toy_model):
    with Load(two) as load:
        for version in (2, 3, 4):
            toy_model(version=version, scale=float(version))
            until(lambda newest=version: load.answers[-1][3] == newest)
            time.sleep(0.2)
    assert not load.failures, load.failures[:3]
    assert {version for *_, version in load.answers} == {1, 2, 3, 4}
    # whoever asks after anybody, on any connection, has had a newer version's answer gets no older one
    newest_at = sorted((ended, version) for _, _, ended, version in load.answers)
    by_start = sorted((began, version) for _, began, _, version in load.answers)
    newest, place, wrong = 0, 0, []
    for began, version in by_start:
        while place < len(newest_at) and newest_at[place][0] < began:
            newest = max(newest, newest_at[place][1])
            place += 1
        if version < newest:
            wrong.append((began, version, newest))
    assert not wrong, (len(wrong), wrong[:3])
    assert total(two, "navi_swap_hold_seconds_count") >= 8


def test_a_version_that_one_worker_cannot_load_changes_nothing(two, toy_model):
    (toy_model(version=2) / "2" / "toy.json").write_text("{}")
    until(lambda: [each for each in two.events() if each["event"] == "servable_load_failed"])
    assert {ask(two) for _ in range(8)} == {1}
    status = json.loads(get(f"{two.http}/v1/models/scaled"))["model_version_status"]
    assert {each["version"]: each["state"] for each in status} == {"1": "AVAILABLE", "2": "END"}
    assert "expected an object with a number 'scale'" in json.dumps(status)


def test_a_killed_worker_is_replaced_within_a_second_and_serves_what_the_others_do(two, toy_model):
    toy_model(version=2, scale=3.0)
    until(lambda: ask(two) == 2)
    before = total(two, "navi_requests_total", model="scaled", version="2")
    killed = pids(two)[1]
    began = time.monotonic()
    os.kill(killed, signal.SIGKILL)
    until(lambda: [each for each in two.events() if each["event"] == "worker_ended"])
    assert time.monotonic() - began < 1.0, "its replacement is started at once"
    until(lambda: pids(two)[1] != killed)
    assert {ask(two) for _ in range(20)} == {2}
    assert total(two, "navi_requests_total", model="scaled", version="2") >= before + 20
    assert total(two, "navi_worker_restarts_total") == 1
    assert two.process.poll() is None


def test_admin_operations_asked_of_any_worker_concern_all(two):
    for _ in range(3):
        post(f"{two.http}/v2/repository/models/scaled/unload", {})
        for _ in range(6):
            with pytest.raises(urllib.error.HTTPError) as refused:
                ask(two)
            assert refused.value.code == 404
            refused.value.close()
        post(f"{two.http}/v2/repository/models/scaled/load", {})
        assert {ask(two) for _ in range(6)} == {1}


def test_the_workers_end_with_their_parent(two):
    workers = pids(two)
    two.process.send_signal(signal.SIGKILL)
    two.process.wait(10)

    def are_gone():
        return not any(is_running(pid) for pid in workers.values())

    until(are_gone, 15.0)


def is_running(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_port_in_use_fails_the_start_as_with_one_process(navi_host, toy_model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = [
            navi_host(
                "serve",
                "-m",
                str(toy_model(f"m{workers}")),
                "--transport=http",
                f"--rest-port={port}",
                f"--workers={workers}",
            )
            for workers in (1, 2)
        ]
    assert [each.returncode for each in done] == [2, 2]
    assert done[0].stderr.splitlines()[-1] == done[1].stderr.splitlines()[-1]


def test_what_only_a_worker_finds_fails_the_start_with_its_words(navi_host, toy_model, tmp_path):
    file = tmp_path / "host.toml"
    file.write_text(
        f'[[models]]\npath = "{toy_model()}"\n[transports.http]\nport = 0\n'
        f'[transports.http.options]\nunix_socket = "{tmp_path}/s"\n'
    )
    done = navi_host("serve", "--config", str(file), "--workers", "2")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "navi-host: transports.http.options.unix_socket: expected none with several workers, got"
    )
