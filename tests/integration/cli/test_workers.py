"""``navi-host serve --workers 2``: two processes that are one host, over real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.integration


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def post(url, document):
    request = urllib.request.Request(url, json.dumps(document).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
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


def until(condition, seconds=120.0):
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
    # a worker that takes longer than a second to say what it counted is shown as it was last
    until(lambda: total(two, "navi_requests_total", model="scaled", code="OK") == asked)
    assert total(two, "navi_workers") == 2
    assert total(two, "navi_versions", model="scaled", state="AVAILABLE") == 1
    until(lambda: total(two, "navi_swap_hold_seconds_count") >= 2)
    assert total(two, "process_cpu_seconds_total") > 0
    assert total(two, "process_start_time_seconds") < time.time() + 1  # one time, not a sum of three
    assert total(two, "process_resident_memory_bytes") > 3 * 2**20

    def inferences():
        (statistics,) = json.loads(get(f"{two.http}/v2/models/scaled/stats"))["model_stats"]
        return statistics["inference_count"]

    for _ in range(6):  # whichever worker answers
        until(lambda: inferences() == asked)
    assert two.stop() == 0
    stopped = [each["worker"] for each in two.events() if each["event"] == "stopped" and "worker" in each]
    assert sorted(stopped) == [1, 2]


def test_a_version_that_one_worker_cannot_load_changes_nothing(two, toy_model):
    (toy_model(version=2) / "2" / "toy.json").write_text("{}")
    until(lambda: [each for each in two.events() if each["event"] == "servable_load_failed"])
    assert {ask(two) for _ in range(8)} == {1}
    status = json.loads(get(f"{two.http}/v1/models/scaled"))["model_version_status"]
    assert {each["version"]: each["state"] for each in status} == {"1": "AVAILABLE", "2": "END"}
    assert "expected an object with a number 'scale'" in json.dumps(status)


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
    two.process.wait(60)

    def are_gone():
        return not any(is_running(pid) for pid in workers.values())

    until(are_gone)


def is_running(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_signal_to_all_processes_at_once_stops_in_order(two):
    """systemd sends one to every process of a service; each worker has the parent's as a second one."""
    workers = pids(two).values()
    for pid in workers:  # or one may have ended before its parent is told
        os.kill(pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGTERM)
    two.process.send_signal(signal.SIGTERM)
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    assert two.process.wait(120) == 0
    names = [each["event"] for each in two.events()]
    assert "stopped_at_once" not in names
    assert "worker_ended" not in names
    assert sum(each["event"] == "stopped" and "worker" in each for each in two.events()) == 2


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
