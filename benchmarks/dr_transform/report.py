"""The run in words: rows on the terminal, a table and a plot in the documentation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contenders import CPP, CPP_VIRTUAL, MEMCPY, NAVI, PYTHON, THRIFTPY
from plot import draw

ORDER = (NAVI, CPP, CPP_VIRTUAL, PYTHON, THRIFTPY, MEMCPY)
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "dr-transform-performance.md"
PLOT = ROOT / "docs" / "images" / "dr_transform.svg"

TERMINAL_HEAD = (
    f"{'case':38}"
    + "".join(f"{name[:20]:>21}" for name in ORDER)
    + "   x C++  x memcpy   (us a record: median, least)"
)


def terminal_row(result: Mapping[str, Any]) -> str:
    """Return a case's line on the terminal."""
    taken = result["ns_per_record"]
    cells = [
        f"{taken[name]['median'] / 1e3:>12.2f} ({taken[name]['least'] / 1e3:6.2f})"
        if name in taken
        else f"{'-':>21}"
        for name in ORDER
    ]
    return (
        f"{result['case']:38}{''.join(cells)} {_times(result['times_cpp']):>7} {result['times_memcpy']:>9.2f}"
    )


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1f}"


def table(run: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> list[str]:
    """Return every case as a row of Markdown; with another run's ratios behind this one's."""
    before = {result["case"]: result for result in earlier["results"]} if earlier else {}
    head = ["case", "KB a record", *(f"{name}, us" for name in ORDER), "x C++", "x memcpy"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for result in run["results"]:
        taken = result["ns_per_record"]
        other = before.get(result["case"])
        cells = [
            f"`{result['case']}`",
            f"{result['request_bytes'] / int(result['case'].partition('x')[0]) / 1e3:.1f}",
            *(_us(taken[name]["median"]) if name in taken else "-" for name in ORDER),
            _both(_times(result["times_cpp"]), other and _times(other["times_cpp"])),
            _both(f"{result['times_memcpy']:.2f}", other and f"{other['times_memcpy']:.2f}"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _us(nanoseconds: float) -> str:
    us = nanoseconds / 1e3
    return f"{us:.2f}" if us < 10 else f"{us:.1f}" if us < 100 else f"{us:.0f}"


def _both(now: str, before: str | None) -> str:
    return now if not before else f"{now} ({before})"


def summary(run: Mapping[str, Any]) -> str:
    """Return the least, median and largest ratios, by what they depend on most."""
    groups = {
        "one record, caches warm": lambda case: case.startswith("1x") and "-warm" in case,
        "one record, in a ring": lambda case: case.startswith("1x") and "-ring" in case,
        "100 features, more records": lambda case: "x100-" in case and not case.startswith("1x"),
        "500 features and more, more records, caches warm": lambda case: _usual(case) and "-warm" in case,
        "500 features and more, more records, in a ring": lambda case: _usual(case) and "-ring" in case,
    }
    lines = []
    for words, belongs in groups.items():
        chosen = [result for result in run["results"] if belongs(result["case"])]
        cpp = sorted(result["times_cpp"] for result in chosen if result["times_cpp"] is not None)
        memcpy = sorted(result["times_memcpy"] for result in chosen)
        if cpp:
            lines.append(
                f"* {words}: {cpp[0]:.1f} to {cpp[-1]:.1f} times as fast as Apache Thrift C++ with templates "
                f"(median {statistics.median(cpp):.1f}), in {memcpy[0]:.1f} to {memcpy[-1]:.1f} times memcpy's time "
                f"(median {statistics.median(memcpy):.1f})"
            )
    return "\n".join(lines)


def _usual(case: str) -> bool:
    return not case.startswith("1x") and "x100-" not in case


def write_docs(run: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> Sequence[Path]:
    """Put the run's table between the page's marks, and draw the plot."""
    versions = "; ".join(f"{name}: {version}" for name, version in run["versions"].items())
    left_out = "".join(f"\n{name} is left out: {why}\n" for name, why in run["left_out"].items())
    about = (
        f"Measured on {run['measured']}, {run['clock']} time, {run['rounds']} rounds; {run['machine']}; {versions}."
        + ("\nIn brackets: the ratios of another run." if earlier else "")
    )
    body = [
        about,
        left_out,
        summary(run),
        "",
        "![Microseconds a record](images/dr_transform.svg)",
        "",
        *table(run, earlier),
    ]
    write_section("measured", "\n".join(body))
    PLOT.write_text(draw(run["results"]), encoding="utf-8")
    return PAGE, PLOT


def write_section(name: str, body: str) -> None:
    """Put text between two of the page's marks."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise SystemExit(f"{PAGE}: expected the marks {begin} and {end}")
    PAGE.write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}", encoding="utf-8")
