"""Microseconds a record of every contender, on a logarithmic scale, as an SVG that is its own style sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from contenders import CPP, CPP_VIRTUAL, MEMCPY, NAVI, PYTHON, THRIFTPY

STYLES = {
    NAVI: "navi",
    CPP: "cpp",
    CPP_VIRTUAL: "cpp2",
    PYTHON: "python",
    THRIFTPY: "thriftpy",
    MEMCPY: "memcpy",
}
LEFT, RIGHT, TOP, ROW = 210, 30, 70, 20
WIDTH = 780
HEAD = """<style>
text { font: 12px sans-serif; fill: #333 } .title { font-size: 14px } .line { stroke: #9994; stroke-width: 1 }
.navi { fill: #d1495b } .cpp { fill: #1f77b4 } .cpp2 { fill: #7fb2d9 } .python { fill: #8a6bbf }
.thriftpy { fill: #c0a3e0 } .memcpy { fill: #6b7a86 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .navi { fill: #ff7b8a } .cpp { fill: #5aa9e6 }
.cpp2 { fill: #2f6d9e } .python { fill: #b79af0 } .thriftpy { fill: #6f4fa8 } .memcpy { fill: #a9b8c4 } }
</style>"""


def draw(results: Sequence[Mapping[str, Any]], records: int = 64) -> str:
    """Return the cases of one number of records, all where there are none of it."""
    chosen = [each for each in results if each["case"].startswith(f"{records}x")] or list(results)
    figures = [entry["median"] / 1e3 for each in chosen for entry in each["ns_per_record"].values()]
    low, high = math.floor(math.log10(min(figures))), math.ceil(math.log10(max(figures)))
    span = (WIDTH - LEFT - RIGHT) / (high - low)

    def x(us: float) -> float:
        return LEFT + (math.log10(us) - low) * span

    height = TOP + ROW * len(chosen) + 40
    bottom = height - 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">',
        HEAD,
        f'<text class="title" x="10" y="20">Microseconds a record, {records} records a request</text>',
    ]
    at = 10.0
    for name, style in STYLES.items():
        parts.append(
            f'<circle class="{style}" cx="{at + 5}" cy="41" r="5"/><text x="{at + 14}" y="45">{name}</text>'
        )
        at += 28 + 6.6 * len(name)
    for power in range(low, high + 1):
        place = x(10.0**power)
        parts.append(f'<line class="line" x1="{place:.1f}" y1="{TOP - 10}" x2="{place:.1f}" y2="{bottom}"/>')
        parts.append(f'<text x="{place:.1f}" y="{bottom + 16}" text-anchor="middle">{10.0**power:g}</text>')
    for index, result in enumerate(chosen):
        y = TOP + ROW * index + 4
        label = result["case"].removeprefix(f"{records}x")
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{label}</text>')
        taken = result["ns_per_record"]
        parts.append(f'<line class="line" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
        # navi last, so that it lies on top
        names = [*(name for name in STYLES if name != NAVI and name in taken), NAVI]
        places = [(STYLES[name], x(taken[name]["median"] / 1e3)) for name in names]
        parts += [f'<circle class="{style}" cx="{place:.1f}" cy="{y}" r="5"/>' for style, place in places]
    return "\n".join([*parts, "</svg>"]) + "\n"
