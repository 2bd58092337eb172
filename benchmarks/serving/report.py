"""A run in words: tables on the terminal, tables and a plot in the documentation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aims import aims
from figures import REFERENCE_SERVER, Figures
from plot import draw

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "images" / "serving.svg"
TITLES = {"grpc": "gRPC", "http": "REST"}

LOADS_HEAD = [
    *("server", "requests/s (range)", "x navi", "p50, ms", "x navi", "p99, ms", "x navi"),
    *("of the ceiling", "generator busy", "server, us of processor"),
]
Table = list[list[str]]  # the first row is the head


def terminal(run: Mapping[str, Any]) -> str:
    """Return everything as aligned text."""
    return "\n\n".join(f"{title}\n{_aligned(table)}" for title, table in tables(run).items())


def markdown(run: Mapping[str, Any], earlier: Mapping[str, Any] | None = None) -> str:
    """Return everything as Markdown; another run's ratios stand in brackets."""
    return "\n\n".join(f"### {title}\n\n{_piped(table)}" for title, table in tables(run, earlier).items())


def tables(run: Mapping[str, Any], earlier: Mapping[str, Any] | None = None) -> dict[str, Table]:
    """Return title -> table."""
    now, before = Figures(run), Figures(earlier) if earlier else None
    found = {
        f"{TITLES[protocol]}, {case}": _loads(now, before, protocol, case)
        for case in now.cases
        for protocol in TITLES
        if now.rows(protocol)
    }
    found["Memory and start-up"] = _servers(now, before)
    found["Aims"] = _aims(now, before)
    failures = {
        row: why for turns in run["turns"].values() for turn in turns for row, why in turn["failures"].items()
    }
    if left_out := {**run["left_out"], **failures}:
        found["Left out"] = [["server", "reason"], *map(list, left_out.items())]
    return found


def _loads(now: Figures, before: Figures | None, protocol: str, case: str) -> Table:
    table = [LOADS_HEAD]
    ceiling = now.ceiling(protocol, case)
    for row in now.rows(protocol):
        own = now.of(row, case)
        if own is None:
            continue

        def times(name: str, row: str = row) -> str:
            return _ratio(lambda figures: figures.times(row, case, name), now, before)

        of_ceiling = "-"
        if ceiling:
            of_ceiling = f"{own.requests_per_s / ceiling:.0%}{' !' * now.is_near_ceiling(row, case)}"
        rate = f"{_rate(own.requests_per_s)} ({_rate(own.least)} to {_rate(own.largest)})"
        latencies = (_ms(own.p50_us), times("p50_us"), _ms(own.p99_us), times("p99_us"))
        limits = (of_ceiling, f"{own.generator_busy:.0%}", f"{own.server_us:,.0f}")
        table.append([row, rate, times("requests_per_s"), *latencies, *limits])
    return table


def _servers(now: Figures, before: Figures | None) -> Table:
    table = [["server", "resident, MB", "x navi", "first answer, s", "x navi"]]
    for name, turns in now.run["turns"].items():
        if turns:
            cells = [name]
            for what, form in (("resident_mb", "{:.0f}"), ("start_s", "{:.2f}")):

                def times(figures: Figures, name: str = name, what: str = what) -> float | None:
                    own, navi = figures.server(name, what), figures.server(REFERENCE_SERVER, what)
                    return own / navi if own and navi else None

                cells += [form.format(now.server(name, what)), _ratio(times, now, before)]
            table.append(cells)
    return table


def _aims(now: Figures, before: Figures | None) -> Table:
    other = aims(before) if before else []
    table = [["what", "beside", "aim", "found", ""]]
    for index, aim in enumerate(aims(now)):
        ratios = [each.ratio for each in (aim, *other[index : index + 1])]
        verdicts = {each.verdict for each in (aim, *other[index : index + 1])} - {"not measured"}
        verdict = "met in one run of two" if len(verdicts) > 1 else aim.verdict
        table.append([aim.what, aim.beside, aim.words, _both(ratios), verdict])
    return table


def _ratio(of: Callable[[Figures], float | None], now: Figures, before: Figures | None) -> str:
    return _both([of(now), *([of(before)] if before else [])])


def _both(ratios: Sequence[float | None]) -> str:
    words = ["-" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
    return words[0] if len(words) == 1 or words[1] == "-" else f"{words[0]} ({words[1]})"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _ms(us: float) -> str:
    return f"{us / 1000:.2f}" if us < 100_000 else f"{us / 1000:.0f}"


def _aligned(table: Table) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in table]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _piped(table: Table) -> str:
    head, *rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def read_run(path: Path) -> dict[str, Any]:
    """Read what ``--json`` wrote.

    Raises
    ------
    SystemExit
        It is something else.
    """
    try:
        run = json.loads(path.read_bytes())
        Figures(run)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{path}: expected the JSON of a run, got {type(error).__name__}: {error}") from None
    return run


def write_docs(run: Mapping[str, Any], earlier: Mapping[str, Any] | None = None) -> Sequence[Path]:
    """Put a run's tables between the page's marks, and draw the plot."""
    versions = "; ".join(
        f"{server}: {', '.join(f'{name} {version}' for name, version in found.items())}"
        for server, found in run["versions"].items()
    )
    about = (
        f"Measured on {run['measured']}: {run['rounds']} rounds, {run['seconds']:g} s a load; {run['machine']}. "
        f"{versions}."
    )
    if earlier:
        about += f"\nIn brackets: the ratios of another run of {earlier['rounds']} rounds, on {earlier['measured']}."
    plot = "![Requests a second, small model](images/serving.svg)"
    write_section("serving", "\n\n".join([about, plot, markdown(run, earlier)]))
    PLOT.write_text(draw(Figures(run)), encoding="utf-8")
    return PAGE, PLOT


def write_section(name: str, body: str) -> None:
    """Put text between two of the page's marks."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise SystemExit(f"{PAGE}: expected the marks {begin} and {end}")
    PAGE.write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}", encoding="utf-8")
