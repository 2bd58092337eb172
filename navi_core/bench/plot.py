"""A run second by second, as an SVG that is its own style sheet: throughput above, latency below."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final
from xml.sax.saxutils import escape

from navi_core.bench.report import Measurement, Report, SecondFigures

__all__ = ["draw"]

_WIDTH, _LEFT, _RIGHT, _TOP, _PANEL, _GAP, _BOTTOM = 860, 70, 20, 78, 170, 46, 60
_BREAK: Final = 1.0  # seconds between two measurements
_MIN_LABEL_PX: Final = 60.0
_HEAD: Final = """<style>
text { font: 12px sans-serif; fill: #333 } .title { font-size: 14px } .grid { stroke: #9996; stroke-width: 1 }
.rate, .median, .p99, .failed { fill: none; stroke-width: 2; stroke-linejoin: round }
.rate { stroke: #1f77b4 } .median { stroke: #2a9d5c } .p99 { stroke: #e08a1e } .failed { stroke: #d1495b }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .rate { stroke: #5aa9e6 } .median { stroke: #5fd096 }
.p99 { stroke: #ffb454 } .failed { stroke: #ff7b8a } }
</style>"""


def draw(report: Report) -> str:
    """Return the plot; seconds that are not whole are left out where there are whole ones.

    Parameters
    ----------
    report
        Measurements without seconds (wrk's) are left out.
    """
    runs = [(each, _shown(each)) for each in report.measurements if each.seconds]
    span_s = sum(len(seconds) + _BREAK for _, seconds in runs) or 1.0
    scale = (_WIDTH - _LEFT - _RIGHT) / span_s
    seconds = [second for _, shown in runs for second in shown]
    top_rate = _ceiling(max((each.num_succeeded + each.num_failed for each in seconds), default=1))
    top_ms = _ceiling(max((each.p99_ms for each in seconds), default=1.0))
    upper = _TOP + _PANEL
    lower = upper + _GAP + _PANEL
    height = lower + _BOTTOM
    title = f"{report.model}: {report.protocol}, {report.request_bytes:,} bytes a request"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">',
        _HEAD,
        f'<text class="title" x="{_LEFT}" y="20">{escape(title)}</text>',
        *_axis(upper, top_rate, "requests a second"),
        *_axis(lower, top_ms, "latency, ms"),
    ]
    at_s = 0.0
    labelled_to = 0.0
    for run, shown in runs:
        begin = _LEFT + at_s * scale

        def line(
            style: str,
            bottom: float,
            top: float,
            value: Callable[[SecondFigures], float],
            shown: Sequence[SecondFigures] = shown,
            begin: float = begin,
        ) -> str:
            points = " ".join(
                f"{begin + (index + 0.5) * scale:.1f},{bottom - value(each) / top * _PANEL:.1f}"
                for index, each in enumerate(shown)
            )
            # a line of one point has no length: a cap makes it a dot
            return (
                f'<polyline class="{style}" stroke-linecap="round" points="{points} {points.split()[-1]}"/>'
            )

        parts.append(line("rate", upper, top_rate, lambda each: each.num_succeeded))
        if run.num_failed:
            parts.append(line("failed", upper, top_rate, lambda each: each.num_failed))
        parts.append(line("median", lower, top_ms, lambda each: each.median_ms))
        parts.append(line("p99", lower, top_ms, lambda each: each.p99_ms))
        if begin >= labelled_to:
            parts.append(f'<text x="{begin:.1f}" y="{lower + 20}">{escape(_label(run))}</text>')
            labelled_to = begin + max(_MIN_LABEL_PX, 7.0 * len(_label(run)))
        at_s += len(shown) + _BREAK
        edge = _LEFT + (at_s - _BREAK / 2) * scale
        parts += [_grid(edge, bottom - _PANEL, edge, bottom) for bottom in (upper, lower)]
    at = float(_LEFT)
    for style, word in (
        ("rate", "succeeded"),
        ("failed", "failed"),
        ("median", "median latency"),
        ("p99", "p99 latency"),
    ):
        parts.append(
            f'<path class="{style}" d="M{at:.0f} 38h18"/><text x="{at + 24:.0f}" y="42">{word}</text>'
        )
        at += 48 + 6.6 * len(word)
    parts.append(f'<text x="{_LEFT}" y="{height - 14}">each line: the seconds of one measurement</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _shown(run: Measurement) -> list[SecondFigures]:
    return [each for each in run.seconds if each.is_whole] or list(run.seconds)


def _label(run: Measurement) -> str:
    return run.load


def _ceiling(value: float) -> float:
    """Return a round number that is not below a value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(
        step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= value * 0.999999
    )


def _grid(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _axis(bottom: float, top: float, words: str) -> list[str]:
    parts = [f'<text x="{_LEFT}" y="{bottom - _PANEL - 8}">{words}</text>']
    for part in (0.0, 0.5, 1.0):
        y = bottom - part * _PANEL
        parts.append(_grid(_LEFT, y, _WIDTH - _RIGHT, y))
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{part * top:,.6g}</text>')
    return parts
