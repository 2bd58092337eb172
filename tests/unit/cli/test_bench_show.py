"""The tables of ``navi-host bench`` fit a terminal of 80 columns."""

from __future__ import annotations

import sys
from pathlib import Path

from navi_core.bench.comparison import compare
from navi_core.cli.bench_show import show_comparison, show_report

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from bench_reports import measured, report_of

NUMBERS = [123_456, 120_000, 130_000]


def tables(text: str) -> list[list[str]]:
    """Return the blocks of lines after the first, which says who was asked."""
    return [block.splitlines() for block in text.split("\n\n")[1:]]


def test_rates_and_latencies_are_a_table_each(capsys):
    plans = [{"concurrency": 1024}, {"rate_per_s": 20_000.0, "arrival": "constant", "concurrency": 512}]
    loads = [
        measured(NUMBERS, latency_ms=1234.567, plan=plan, rows=64, ceiling_per_s=130_000.0) for plan in plans
    ]
    show_report(report_of(*loads))
    said = capsys.readouterr().out
    rates, latencies = tables(said)
    assert rates[0].split() == ["load", "requests", "failed", "requests/s", "rows/s", "ceiling/s"]
    assert latencies[0].split() == ["latency", "total", "average", "median", "p95", "p99", "max"]
    assert "130,000 !" in rates[1]
    assert [line.split("  ")[0] for line in rates[1:3]] == ["1,024 in flight", "20,000/s constant"]
    assert [line.split("  ")[0] for line in latencies[1:3]] == ["1,024 in flight", "20,000/s constant"]
    assert max(map(len, [*rates, *latencies[:3]])) <= 80


def test_without_rows_and_ceiling_there_are_no_such_columns(capsys):
    show_report(report_of(measured(NUMBERS)))
    rates, _ = tables(capsys.readouterr().out)
    assert rates[0].split() == ["load", "requests", "failed", "requests/s"]
    assert rates[1].split() == ["4", "in", "flight", "373,456", "0", "124,485.3"]


def test_a_comparison_fits(capsys):
    one, other = (
        report_of(measured(NUMBERS, 9876.5)),
        report_of(measured([150_000, 70_000, 150_000], 12_345.6)),
    )
    show_comparison(compare(one, other))
    lines = capsys.readouterr().out.splitlines()
    assert any(line.endswith("within the spread") for line in lines)
    assert max(map(len, lines)) <= 80
