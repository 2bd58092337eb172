"""What wrk writes through our script, by a recorded sample, and its correction undone."""

from __future__ import annotations

import collections

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.bench.load import LoadPlan, Target
from navi_core.bench.wrk import WrkEngine, _lua, read_output, uncorrected
from navi_core.errors import RemoteError

SAMPLE = """\
Running 2s test @ http://127.0.0.1:18501/v1/models/mlp:predict
  1 threads and 2 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    12.01ms   15.55ms  85.38ms   87.13%
  8 requests in 2.01s, 178.17KB read
navi-bench-result {"duration":4000,"requests":8,"connect":1,"read":0,"write":0,"status":2,"timeout":1,"rows":[[400,6],[2500,2],[1500,2]]}
"""


def corrected(rows: dict[int, int], interval_us: int) -> dict[int, int]:
    """wrk 4's ``stats_correct``, as its source has it."""
    found = collections.Counter(rows)
    for taken in range(interval_us * 2, max(rows) + 1):
        count = rows.get(taken, 0)
        below = taken - interval_us
        while count and below > interval_us:
            found[below] += count
            below -= interval_us
    return dict(found)


@settings(max_examples=150)
@given(
    st.dictionaries(st.integers(1, 400), st.integers(1, 50), min_size=1, max_size=12),
    st.integers(1, 200),
)
def test_uncorrected__is_what_was_measured(rows, interval_us):
    assert uncorrected(corrected(rows, interval_us), interval_us) == rows


def test_output():
    tally, elapsed_s, num_failed_timed, notes = read_output(SAMPLE, connections=2)
    assert elapsed_s == 0.004
    assert tally.latencies.num_values == 8  # an interval of 1000 us: wrk has added 2 at 1500
    assert num_failed_timed == 2
    assert tally.latencies.max_ns == 2_500_000
    assert {code: failure.count for code, failure in tally.failures.items()} == {
        "connection": 1,
        "timeout": 1,
        "HTTP 400 or above": 2,
    }
    assert not tally.seconds
    assert len(notes) == 1


def test_output__latencies_that_do_not_add_up_are_said():
    *_, notes = read_output(SAMPLE.replace("[400,6]", "[400,7]"), connections=2)
    assert "wrk answered with 9 latencies for 8 requests" in notes


@pytest.mark.parametrize("text", ["", "unable to connect to 127.0.0.1:1 Connection refused\n"])
def test_output__none(text):
    with pytest.raises(RemoteError, match="wrk: expected a result"):
        read_output(text, 1)


def test_output__no_answers():
    with pytest.raises(RemoteError, match="no request was answered"):
        read_output(SAMPLE.replace('"requests":8', '"requests":0'), 2)


@given(st.binary(max_size=50))
def test_lua__any_bytes_are_a_string_of_plain_letters(data):
    text = _lua(data.decode("latin-1"))
    assert text.isascii()
    assert text.isprintable()
    inside = text[1:-1]
    found = bytearray()
    while inside:  # as Lua reads it
        if inside.startswith("\\"):
            found.append(int(inside[1:4]))
            inside = inside[4:]
        else:
            assert inside[0] != '"'
            found.append(ord(inside[0]))
            inside = inside[1:]
    assert bytes(found) == data


def test_why_not(monkeypatch):
    target = Target(scheme="http", host="a", port=1, path="/", body=b"", protocol="oip+http")
    plan = LoadPlan(concurrency=1, connections=1, duration_s=2.0)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/wrk")
    assert WrkEngine().why_not(target, plan) == ""
    for more, reason in (
        ({"duration_s": 1.5}, "whole seconds"),
        ({"duration_s": None, "num_requests": 5}, "whole seconds"),
        ({"rate_per_s": 1.0}, "from when it is due"),
    ):
        fields = {name: getattr(plan, name) for name in LoadPlan.__struct_fields__}
        assert reason in WrkEngine().why_not(target, LoadPlan(**{**fields, **more}))
    fields = {name: getattr(target, name) for name in Target.__struct_fields__}
    assert "HTTP/1.1 alone" in WrkEngine().why_not(Target(**{**fields, "scheme": "grpc"}), plan)
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert "not installed" in WrkEngine().why_not(target, plan)
