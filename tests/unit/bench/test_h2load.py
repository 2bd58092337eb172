"""What h2load writes, by recorded samples of 1.52."""

from __future__ import annotations

from pathlib import Path

import pytest

from navi_core.bench.h2load import H2loadEngine, read_log, read_summary
from navi_core.bench.load import LoadPlan, Target
from navi_core.bench.programs import Ran
from navi_core.errors import RemoteError

TIMED = """\
Main benchmark duration is over for thread #0. Stopping all clients.
Stopped all clients for thread #0

finished in 1.50s, 7908.00 req/s, 1.20MB/s
requests: 11862 total, 11878 started, 11862 done, 11862 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 11862 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.80MB (1886650) total, 370.69KB (379584) headers (space savings 15.79%), 984.64KB (1008270) data
                     min         max         mean         sd        +/- sd
time for request:      111us     11.95ms      1.70ms      1.90ms    83.97%
"""
COUNTED = """\
progress: 100% done

finished in 906.55ms, 1103.09 req/s, 109.54KB/s
requests: 1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed, 3 errored, 2 timeout
status codes: 1000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 99.31KB (101689) total, 77.32KB (79180) headers (space savings 36.15%), 0B (0) data
"""
LOG = (
    b"1795272262000000\t200\t1500\n"
    b"1795272262000100\t200\t1500\n"
    b"1795272262500000\t503\t100\n"
    b"1795272263000000\t200\t2000\n"
    b"1795272263100000\t-1\t50\n"
    b"17952722631000"
)
PLAN = LoadPlan(concurrency=4, connections=4, duration_s=1.0)
TARGET = Target(scheme="grpc", host="127.0.0.1", port=1, path="/a/B", body=b"", protocol="oip+grpc")


def test_summary():
    timed, counted = read_summary(TIMED), read_summary(COUNTED)
    assert (timed["elapsed_s"], timed["done"], timed["data"]) == (1.5, 11862, 1008270)
    assert counted["elapsed_s"] == pytest.approx(0.90655)
    assert (counted["errored"], counted["timeout"], counted["data"]) == (3, 2, 0)
    with pytest.raises(RemoteError, match="expected a summary"):
        read_summary("h2load: could not connect")


def test_log():
    tally = read_log(LOG)
    assert (tally.num_succeeded, tally.num_failed) == (3, 2)
    assert {code: failure.count for code, failure in tally.failures.items()} == {
        "HTTP 503": 1,
        "connection": 1,
    }
    assert tally.latencies.total_ns == 5_000_000
    assert {index: (each.num_succeeded, each.num_failed) for index, each in tally.seconds.items()} == {
        0: (2, 1),
        1: (1, 1),
    }
    assert tally.last_ns == 1_100_050_000


@pytest.mark.parametrize("content", [b"", b"17952722", b"1\t200\t1"])
def test_log__nothing_whole(content):
    assert read_log(content).num_succeeded == 0


@pytest.mark.parametrize(
    ("target", "plan", "reason"),
    [
        ({}, {"rate_per_s": 10.0}, "from when it is due"),
        ({"token": "secret"}, {}, "list of processes"),
        ({"cert_file": "a"}, {}, "certificate"),
        ({}, {"connections": 3}, "4 requests in flight cannot be shared evenly by 3 connections"),
        ({}, {}, ""),
    ],
)
def test_why_not(monkeypatch, target, plan, reason):
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/h2load")
    found = H2loadEngine().why_not(
        Target(**{**{name: getattr(TARGET, name) for name in Target.__struct_fields__}, **target}),
        LoadPlan(**{**{name: getattr(PLAN, name) for name in LoadPlan.__struct_fields__}, **plan}),
    )
    assert reason in found
    assert bool(found) == bool(reason)
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert "not installed" in H2loadEngine().why_not(TARGET, PLAN)


@pytest.mark.parametrize(
    ("last_at_s", "failed"),
    [
        pytest.param(0.4, {"connection": 16}, id="the server went"),
        pytest.param(1.45, {}, id="it answered to the end"),
    ],
)
def test_run__requests_that_a_server_took_with_it_have_failed(monkeypatch, last_at_s, failed):
    began_us = 1_795_272_262_000_000

    def ran(command, **_):
        for word in command:
            if word.startswith("--log-file="):
                log = "".join(
                    f"{at_us}\t200\t1500\n" for at_us in (began_us, began_us + int(last_at_s * 1e6))
                )
                Path(word.removeprefix("--log-file=")).write_text(log)
        return Ran(TIMED, True)

    monkeypatch.setattr("navi_core.bench.h2load.run_program", ran)
    outcome = H2loadEngine(1).run(TARGET, PLAN, lambda *_: None)
    assert {code: each.count for code, each in outcome.tally.failures.items()} == failed
    assert outcome.tally.num_succeeded == 2
