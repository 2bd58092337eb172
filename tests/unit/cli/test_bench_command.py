"""``navi-host bench``: its options, and the files that it compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import msgspec
import pytest

from navi_core.cli.bench_options import bench_options, read_plans
from navi_core.errors import ConfigError

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from bench_reports import measured, report_of


def values(*words: str) -> dict:
    command = click.Command("bench", params=bench_options())
    return command.make_context("bench", list(words)).params


def plans(*words: str, scheme: str = "grpc"):
    return read_plans(values(*words), scheme)


def test_defaults__one_request_in_flight_for_ten_seconds():
    [plan] = plans()
    assert (plan.concurrency, plan.connections, plan.rate_per_s) == (1, 1, None)
    assert (plan.warm_up_s, plan.duration_s, plan.num_requests, plan.timeout_s) == (1.0, 10.0, None, 30.0)


def test_closed_loop__a_measurement_for_each_concurrency():
    found = plans("-c", "1,4..16", "--requests", "100", "--warm-up-s", "0.5", "--timeout-ms", "250")
    assert [(plan.concurrency, plan.connections) for plan in found] == [(1, 1), (4, 4), (8, 8), (16, 16)]
    assert {(plan.duration_s, plan.num_requests, plan.warm_up_s, plan.timeout_s) for plan in found} == {
        (None, 100, 0.5, 0.25)
    }


def test_open_loop__a_measurement_for_each_rate():
    found = plans("--rate", "10,20.5", "--arrival", "poisson", "--seed", "3")
    assert [(plan.rate_per_s, plan.arrival, plan.seed) for plan in found] == [
        (10.0, "poisson", 3),
        (20.5, "poisson", 3),
    ]
    assert {(plan.concurrency, plan.connections) for plan in found} == {(512, 8)}
    [plan] = plans("--rate", "10", "-c", "4")
    assert (plan.concurrency, plan.connections) == (4, 4)


def test_connections_are_shared_over_grpc():
    assert [plan.connections for plan in plans("-c", "1,16", "--connections", "2")] == [1, 2]


@pytest.mark.parametrize(
    ("words", "scheme", "message"),
    [
        (
            ["--requests", "1", "--duration-s", "1"],
            "grpc",
            "--duration-s and --requests: expected one of them",
        ),
        (["--duration-s", "0"], "grpc", "--duration-s: expected more than 0"),
        (["--connections", "2"], "http", "--connections: expected gRPC"),
        (["--rate", "5", "-c", "1,2"], "grpc", "--concurrency: expected one number with --rate"),
        (["--rate", "fast"], "grpc", "--rate: expected a list"),
        (["-c", "0"], "grpc", "--concurrency: expected whole numbers above 0"),
        (["-c", "1.5"], "grpc", "--concurrency: expected whole numbers"),
    ],
)
def test_contradictions(words, scheme, message):
    with pytest.raises(ConfigError, match=message):
        plans(*words, scheme=scheme)


@pytest.fixture
def files(tmp_path):
    found = []
    for name, numbers in (("a", [100, 101, 99]), ("b", [200, 202, 198])):
        path = tmp_path / f"{name}.json"
        path.write_bytes(msgspec.json.encode(report_of(measured(numbers))))
        found.append(str(path))
    return found


def test_compare__a_table(navi_host, files):
    ended = navi_host("bench", "compare", *files)
    assert (ended.status, ended.err) == (0, "")
    [row] = [line.split() for line in ended.out.splitlines() if line.startswith("requests/s")]
    assert row[:4] == ["requests/s", "100", "200", "2.000"]
    assert row[-1] == "better"


def test_compare__json(navi_host, files):
    ended = navi_host("bench", "compare", *files, "--json")
    [load] = json.loads(ended.out)["loads"]
    assert load["figures"][0]["ratio"] == 2.0


def test_compare__wrong_words_and_files(navi_host, files, tmp_path):
    for words in (["m", files[0]], ["compare", files[0]], ["compare", *files, files[0]]):
        ended = navi_host("bench", *words)
        assert (ended.status, ended.out) == (2, "")
        assert ended.err.count("\n") == 1
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    ended = navi_host("bench", "compare", files[0], str(broken))
    assert (ended.status, ended.out) == (2, "")
    assert "expected a report of navi-host bench --json" in ended.err


def test_bench__what_is_refused_before_anything_is_sent(navi_host):
    for words, message in (
        (["--version", "1", "--label", "a"], "--version and --label: expected one of them"),
        (["--url", "line+http://a"], "no client is called"),
        (["--compare", "/nowhere/a.json"], "cannot be read"),
        (["--engine", "ab"], "invalid value for '--engine'"),
        ([], "missing argument 'MODEL'"),
    ):
        ended = navi_host("bench", *(["m"] if words else []), *words)
        assert (ended.status, ended.out) == (2, "")
        assert message in ended.err
