"""Requests a second of every row as bars, gRPC above REST, as an SVG that is its own style sheet."""

from __future__ import annotations

from figures import CEILINGS, Figures

CASES = {"64 in flight": "c64", "16 in flight": "c16", "1 in flight": "c1"}
LEFT, RIGHT, TOP, BAR, GAP, WIDTH = 260, 70, 62, 9, 8, 820
HEAD = """<style>
text { font: 12px sans-serif; fill: #333 } .title { font-size: 14px } .small { font-size: 9px } .navi { font-weight: bold }
.c64 { fill: #1f77b4 } .c16 { fill: #7fb2d9 } .c1 { fill: #c3d9ea }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .c64 { fill: #5aa9e6 } .c16 { fill: #2f6d9e } .c1 { fill: #23465f } }
</style>"""


def draw(figures: Figures) -> str:
    """Return the small model's loads as bars, the quickest row first."""
    rows = {protocol: _ordered(figures, protocol) for protocol in ("grpc", "http")}
    most = max((figures.of(row, case).requests_per_s for row, case in _all(figures, rows)), default=1.0)
    scale = (WIDTH - LEFT - RIGHT) / most
    parts, y = [], TOP
    for protocol, title in (("grpc", "gRPC"), ("http", "REST")):
        parts.append(f'<text class="title" x="10" y="{y}">{title}</text>')
        y += 10
        for row in rows[protocol]:
            style = ' class="navi"' if row.startswith("navi") else ""
            parts.append(f'<text{style} x="{LEFT - 8}" y="{y + 18}" text-anchor="end">{row}</text>')
            for case, color in CASES.items():
                if figure := figures.of(row, case):
                    width = figure.requests_per_s * scale
                    parts.append(
                        f'<rect class="{color}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}"/>'
                        f'<text class="small" x="{LEFT + width + 4:.1f}" y="{y + 8}">{figure.requests_per_s:,.0f}</text>'
                    )
                y += BAR + 1
            y += GAP
        y += 20
    legend = "".join(
        f'<rect class="{color}" x="{10 + 110 * index}" y="30" width="10" height="10"/>'
        f'<text x="{26 + 110 * index}" y="39">{case}</text>'
        for index, (case, color) in enumerate(CASES.items())
    )
    title = "Requests a second on one core: a 16-32-4 perceptron, one row a request"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}">',
            HEAD,
            f'<text class="title" x="10" y="18">{title}</text>{legend}',
            *parts,
            "</svg>\n",
        ]
    )


def _ordered(figures: Figures, protocol: str) -> list[str]:
    def rate(row: str) -> float:
        figure = figures.of(row, "64 in flight")
        return -figure.requests_per_s if figure else 0.0

    # the ceiling would leave the others no room
    return sorted((row for row in figures.rows(protocol) if row != CEILINGS[protocol]), key=rate)


def _all(figures: Figures, rows: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(row, case) for each in rows.values() for row in each for case in CASES if figures.of(row, case)]
