"""Two runs side by side."""

from __future__ import annotations

from bench_reports import measured, report_of

from navi_core.bench.comparison import compare
from navi_core.bench.report import InputFigures


def figures(comparison) -> dict:
    [load] = comparison.loads
    return {each.name: each for each in load.figures}


def test_a_run_and_itself():
    report = report_of(measured([100, 110, 90]))
    comparison = compare(report, report)
    assert {each.verdict for each in figures(comparison).values()} == {"same"}
    assert comparison.notes == ()


def test_a_difference_within_what_seconds_differ_by():
    found = figures(compare(report_of(measured([100, 120, 80])), report_of(measured([110, 130, 90]))))
    rate = found["requests/s"]
    assert (rate.a, rate.b, rate.ratio) == (100.0, 110.0, 1.1)
    assert rate.spread == 800**0.5
    assert rate.verdict == "within the spread"


def test_a_difference_beyond_it():
    slow, fast = report_of(measured([100, 101, 99], 4.0)), report_of(measured([200, 201, 199], 2.0))
    found = figures(compare(slow, fast))
    assert {found[name].verdict for name in ("requests/s", "median, ms", "p99, ms", "average, ms")} == {
        "better"
    }
    found = figures(compare(fast, slow))
    assert {found[name].verdict for name in ("requests/s", "median, ms", "p99, ms", "average, ms")} == {
        "worse"
    }
    assert found["requests/s"].ratio == 0.5


def test_too_few_seconds():
    found = figures(compare(report_of(measured([100, 100])), report_of(measured([200, 200]))))
    assert (found["requests/s"].spread, found["requests/s"].verdict) == (None, "not known")


def test_only_loads_that_both_have():
    a = report_of(measured([1]), measured([1], plan={"concurrency": 8}))
    b = report_of(measured([1]), measured([1], plan={"rate_per_s": 9.0}))
    comparison = compare(a, b)
    assert [each.load for each in comparison.loads] == ["4 in flight"]
    assert comparison.notes == ("2 measurements are left out: the other run has no such load",)


def test_what_makes_runs_hard_to_compare_is_said():
    a = report_of(measured([1], ceiling_per_s=1.0))
    b = report_of(
        measured([1], engine="wrk", outcome={"is_complete": False}),
        model="other",
        inputs=(InputFigures("x", "float32", (64, 16)),),
    )
    notes = "\n".join(compare(a, b).notes)
    for words in (
        "model: A has m, B has other",
        "inputs: A has x float32 (1, 16), B has x float32 (64, 16)",
        "A was made with python, B with wrk",
        "A is within 20 percent of its generator's ceiling",
        "B was interrupted",
    ):
        assert words in notes


def test_nothing_to_divide_by():
    assert figures(compare(report_of(measured([1])), report_of(measured([2]))))["failed, %"].ratio is None
