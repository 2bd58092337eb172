"""``navi-host bench`` against a real host: every protocol, both loops, and what ends badly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import xml.etree.ElementTree as ET

import pytest

pytestmark = pytest.mark.integration

PROTOCOLS = [
    f"{protocol}+{scheme}" for protocol in ("tf-serving", "oip", "proton") for scheme in ("grpc", "http")
]
X = '{"x": [[1.0, 2.0], [3.0, 4.0]]}'


def where(urls: dict[str, str], protocol: str) -> str:
    name, _, scheme = protocol.partition("+")
    return f"--url={name}+{urls[scheme]}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol__so_many_requests_and_every_answer_checked(bench, urls, protocol):
    request = X.replace('"x"', '"data"') if protocol.startswith("proton") else X
    words = ("m", where(urls, protocol), "--engine=python", "--requests=41", "-c", "3", "--request", request)
    processes = 2 if protocol == "oip+http" else 1
    ended = bench(*words, f"--processes={processes}", "--json")
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    [found] = report["measurements"]
    assert (found["num_requests"], found["num_succeeded"], found["num_failed"]) == (41, 41, 0)
    assert (report["protocol"], report["checked"], report["source"]) == (
        protocol,
        "each answer",
        "from --request",
    )
    assert sum(each["num_succeeded"] for each in found["seconds"]) == 41
    assert (found["engine"], found["processes"], found["is_complete"]) == ("python", processes, True)
    latency = found["latency"]
    assert 0 < latency["min_ms"] <= latency["median_ms"] <= latency["p99_ms"] <= latency["max_ms"]
    assert latency["total_s"] == pytest.approx(41 * latency["average_ms"] / 1000)
    assert found["elapsed_s"] >= latency["max_ms"] / 1000


def test_random_inputs_a_table_files_and_a_comparison(bench, urls, tmp_path):
    report, plot = tmp_path / "a.json", tmp_path / "a.svg"
    words = ("m", f"--url={urls['http']}", "--engine=python", "--duration-s=0.4")
    ended = bench(*words, "-c1,2", "--rows=3", "--shape=x=3,2", f"--output={report}", f"--plot={plot}")
    assert ended.returncode == 2, "the rows are those of the shape"
    ended = bench(*words, "-c1,2", "--shape=x=3,2", f"--output={report}", f"--plot={plot}", "--ceiling")
    assert ended.returncode == 0, ended.stderr
    heads = [line.split() for line in ended.stdout.splitlines() if line.startswith(("load ", "latency "))]
    assert heads == [
        ["load", "requests", "failed", "requests/s", "rows/s", "ceiling/s"],
        ["latency", "total", "average", "median", "p95", "p99", "max"],  # Proton's report, and the longest
    ]
    assert "x float32 (3, 2) (random, seed 0)" in ended.stdout
    written = json.loads(report.read_text())
    assert [each["concurrency"] for each in written["measurements"]] == [1, 2]
    for each in written["measurements"]:
        assert each["ceiling_per_s"] > 0
        assert each["is_near_ceiling"] is (each["requests_per_s"] > 0.8 * each["ceiling_per_s"])
        assert each["rows_per_s"] == pytest.approx(3 * each["requests_per_s"])
    assert len(list(ET.parse(plot).iter("{http://www.w3.org/2000/svg}polyline"))) == 6
    ended = bench(*words, "--shape=3,2", f"--compare={report}")
    assert ended.returncode == 0, ended.stderr
    assert "B / A" in ended.stdout
    assert "1 measurement is left out" in ended.stdout


def test_open_loop__a_queue_is_seen_that_a_closed_loop_hides(measurement, urls):
    """A model that takes 50 ms is asked 40 times a second: half of what is due waits longer and longer."""
    words = ("slow", f"--url={urls['http']}", "--engine=python", "--request", X, "--duration-s=1")
    closed = measurement(*words, "-c1")
    opened = measurement(*words, "--rate=40", "-c1")
    assert opened["latency"]["max_ms"] > max(300, 3 * closed["latency"]["median_ms"])
    assert opened["num_unsent"] > 0
    assert opened["num_requests"] + opened["num_unsent"] == 40
    assert any("never sent" in note for note in opened["notes"])


@pytest.mark.parametrize("arrival", ["constant", "poisson"])
def test_open_loop__keeps_its_rate(measurement, urls, arrival):
    words = ("m", where(urls, "oip+http"), "--engine=python", "--request", X)
    found = measurement(*words, "--rate=100", f"--arrival={arrival}", "--requests=60", "--seed=1")
    assert (found["num_requests"], found["num_unsent"]) == (60, 0)
    if arrival == "constant":
        assert found["elapsed_s"] > 0.55
    assert found["lateness_p99_ms"] is not None


def test_a_model_that_fails_is_said_before_anything_is_measured(bench, urls):
    ended = bench("bad", f"--url={urls['http']}", "--request", '{"x": [[13.0, 1.0]]}')
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "the model met its poison" in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.fixture
def closed_port():
    """A port that is bound, so that no other test's server listens there meanwhile; nobody does."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_what_cannot_be_asked(bench, urls, closed_port):
    for words, status, message in (
        (["m", f"--url=http://127.0.0.1:{closed_port}"], 1, f"127.0.0.1:{closed_port} cannot be asked"),
        (["nobody", f"--url={urls['http']}"], 1, "nobody"),
        (["m", f"--url={urls['http']}", "--signature=other"], 1, "other"),
        (["m", f"--url={urls['http']}", "--shape=1,2,a"], 2, "--shape"),
        (["m", f"--url={urls['http']}", "--request", X, "--rows=2"], 2, "--rows: expected random inputs"),
        (
            ["m", f"--url={urls['http']}", "--request", X, "--engine=h2load", "--rate=5"],
            2,
            "--engine: h2load cannot",
        ),
        (["m", f"--url={urls['http']}", "--connections=2"], 2, "--connections: expected gRPC"),
    ):
        ended = bench(*words)
        assert (ended.returncode, ended.stdout) == (status, "")
        assert message in ended.stderr
        assert ended.stderr.count("\n") == 1


def num_inferences(url: str) -> int:
    with urllib.request.urlopen(f"{url}/v2/models/m/stats") as stream:
        return json.load(stream)["model_stats"][0]["inference_count"]


@pytest.fixture
def ctrl_c_is_heard():
    """A process started in the background of a shell ignores SIGINT, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_is_heard")
def test_ctrl_c__gives_the_results_so_far(urls):
    words = ["bench", "m", "--url", urls["http"], "--engine=python", "--no-ceiling", "--request", X]
    process = subprocess.Popen(
        [sys.executable, "-m", "navi_core", *words, "--warm-up-s=0", "--duration-s=60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NAVI_PLUGINS": ""},
    )
    end = time.monotonic() + 60
    before = num_inferences(urls["http"])
    while num_inferences(urls["http"]) < before + 20 and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "interrupted after" in out
    rates, _latencies = [
        line.split()
        for line in out.splitlines()
        if line.startswith("1 in flight ") and "interrupted" not in line
    ]
    assert int(rates[3].replace(",", "")) > 0
