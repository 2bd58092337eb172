"""Figures of measurements, and reports as files."""

from __future__ import annotations

import msgspec
import pytest
from bench_reports import MS, measured, report_of

from navi_core.bench.driving import WRONG
from navi_core.bench.load import LoadPlan, Outcome
from navi_core.bench.report import UNSEEN, Report, make_measurement, read_report
from navi_core.bench.tally import Tally
from navi_core.errors import ConfigError

PLAN = LoadPlan(concurrency=2, connections=2, duration_s=2.0)


def made(
    tally: Tally, *, plan: LoadPlan = PLAN, elapsed_s: float = 2.0, answer_bytes: int | None = None, **more
):
    arguments = {"engine": "h2load", "rows": None, "answer_size": None, "ceiling_per_s": None, **more}
    outcome = Outcome(tally=tally, elapsed_s=elapsed_s, answer_bytes=answer_bytes)
    return make_measurement(plan, outcome, **arguments)


def test_figures():
    tally = Tally()
    for index in range(1, 101):
        tally.succeed(index * 10**7, index * MS)
    tally.fail(10**9, "HTTP 503", "busy", 3)
    tally.fail(10**9, WRONG, "other numbers")
    found = made(tally, rows=4)
    assert (found.num_requests, found.num_succeeded, found.num_failed, found.num_wrong) == (104, 100, 4, 1)
    assert (found.requests_per_s, found.rows_per_s) == (50.0, 200.0)
    assert found.latency.total_s == pytest.approx(5.05)
    assert found.latency.average_ms == pytest.approx(50.5)
    assert (found.latency.min_ms, found.latency.max_ms) == (1.0, 100.0)
    for got, want in ((found.latency.median_ms, 50), (found.latency.p95_ms, 95), (found.latency.p99_ms, 99)):
        assert got == pytest.approx(want, rel=1 / 256)
    assert [(each.code, each.count) for each in found.errors] == [("HTTP 503", 3), (WRONG, 1)]
    assert [(each.second, each.is_whole, each.num_succeeded) for each in found.seconds] == [
        (0, True, 99),
        (1, True, 1),
    ]
    assert found.failed_percent == pytest.approx(100 * 4 / 104)


def test_seconds__one_in_which_nothing_ended_is_there():
    tally = Tally()
    tally.succeed(2_500_000_000, MS)
    found = made(tally, elapsed_s=2.6)
    assert [(each.num_succeeded, each.is_whole) for each in found.seconds] == [
        (0, True),
        (0, True),
        (1, False),
    ]


def test_nothing_at_all():
    found = made(Tally(), elapsed_s=0.0)
    assert (found.num_requests, found.requests_per_s, found.failed_percent, found.seconds) == (
        0,
        0.0,
        0.0,
        (),
    )


def test_answers_without_a_message_are_found():
    """h2load takes an RPC that failed for a success: 25 of 100 answers of 40 bytes had nothing in them."""
    tally = Tally()
    tally.succeed(1, MS, 100)
    found = made(tally, answer_size=40, answer_bytes=75 * 40)
    assert (found.num_succeeded, found.num_failed) == (75, 25)
    assert [each.code for each in found.errors] == [UNSEEN]
    assert found.requests_per_s == 37.5
    whole = made(tally, answer_size=40, answer_bytes=100 * 40)
    assert (whole.num_failed, whole.notes) == (0, ())
    cut_off = made(
        tally, answer_size=40, answer_bytes=101 * 40
    )  # of one in flight at the end its end had not come
    assert (cut_off.num_failed, cut_off.notes) == (0, ())
    larger = made(tally, answer_size=40, answer_bytes=200 * 40)
    assert larger.num_failed == 0
    assert "larger" in larger.notes[0]


def test_failures_whose_latencies_are_among_the_others_are_no_successes():
    """wrk counts 100 answers, and says that 30 of them had a status of 400 or above."""
    tally = Tally()
    tally.latencies.record(MS, 100)
    tally.fail(1, "HTTP 400 or above", "", 30)
    outcome = Outcome(tally=tally, elapsed_s=2.0, num_failed_timed=30)
    found = make_measurement(PLAN, outcome, engine="wrk", rows=None, answer_size=None, ceiling_per_s=None)
    assert (found.num_requests, found.num_succeeded, found.num_failed) == (100, 70, 30)
    assert found.requests_per_s == 35.0


@pytest.mark.parametrize(("ceiling", "is_near"), [(None, False), (51.0, True), (62.0, True), (63.0, False)])
def test_ceiling__within_twenty_percent_is_marked(ceiling, is_near):
    tally = Tally()
    tally.succeed(1, MS, 100)
    found = made(tally, ceiling_per_s=ceiling)
    assert found.is_near_ceiling is is_near
    assert any("20 percent" in note for note in found.notes) is is_near


def test_load_in_words():
    assert measured([1]).load == "4 in flight"
    assert measured([1], plan={"rate_per_s": 1500.0, "arrival": "poisson"}).load == "1,500/s poisson"


def test_files(tmp_path):
    report = report_of(measured([10, 20]), measured([1], plan={"rate_per_s": 5.5}))
    path = tmp_path / "a.json"
    path.write_bytes(msgspec.json.encode(report))
    assert read_report(path, "compare") == report


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"form": 2}', b'{"form": 1, "model": 3}'])
def test_files__no_report(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"compare: .*a\.json: expected a report of navi-host bench --json"):
        read_report(path, "compare")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_report(tmp_path / "none.json", "compare")


def test_form_is_part_of_the_record():
    assert msgspec.json.decode(msgspec.json.encode(report_of()))["form"] == 1
    assert Report.__struct_config__.frozen
