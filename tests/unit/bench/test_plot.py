"""The plot is an SVG whose lines are the figures."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from bench_reports import measured, report_of

from navi_core.bench.load import LoadPlan, Outcome
from navi_core.bench.plot import _ceiling, draw
from navi_core.bench.report import make_measurement
from navi_core.bench.tally import Tally

SVG = "{http://www.w3.org/2000/svg}"


def lines(text: str, style: str) -> list[list[tuple[float, float]]]:
    root = ET.fromstring(text)
    return [
        [tuple(map(float, point.split(","))) for point in each.get("points").split()]
        for each in root.iter(f"{SVG}polyline")
        if each.get("class") == style
    ]


def test_a_line_for_each_measurement():
    text = draw(report_of(measured([100, 200, 50]), measured([10, 20])))
    first, second = lines(text, "rate")
    assert (len(first), len(second)) == (4, 3)  # the last point twice: a cap for a line of one
    heights = [248.0 - y for _, y in first]
    assert heights[:3] == [85.0, 170.0, 42.5]  # of 170, for 200
    xs = [x for x, _ in first] + [x for x, _ in second]
    assert xs == sorted(xs)
    assert len(lines(text, "median")) == len(lines(text, "p99")) == 2
    assert not lines(text, "failed")
    assert "4 in flight" in text


def test_failures_have_a_line_of_their_own():
    tally = Tally()
    tally.fail(5, "HTTP 503", "busy", 10)
    plan = LoadPlan(concurrency=1, connections=1, duration_s=1.0)
    run = make_measurement(
        plan,
        Outcome(tally=tally, elapsed_s=1.0),
        engine="python",
        rows=1,
        answer_size=None,
        ceiling_per_s=None,
    )
    [failed] = lines(draw(report_of(run)), "failed")
    assert failed[0][1] == 78.0


def test_names_are_escaped_and_nothing_is_drawn_of_nothing():
    text = draw(report_of(model="<a&b>"))
    assert "&lt;a&amp;b&gt;" in text
    assert not lines(text, "rate")


def test_top_of_an_axis():
    assert [_ceiling(value) for value in (0, 1, 1.01, 99, 100, 101, 0.3, 850)] == [
        1.0,
        1.0,
        1.5,
        100.0,
        100.0,
        150.0,
        0.30000000000000004,
        1000.0,
    ]
