"""What ``navi-host bench`` shows people: rates and Proton's table, failures with an example of each, comparisons, progress.

Tables fit 80 columns.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import click

from navi_core.bench.comparison import ComparedFigure, Comparison
from navi_core.bench.load import OnProgress
from navi_core.bench.report import Measurement, Report
from navi_core.cli.show import print_table
from navi_core.signature import format_shape

__all__ = ["progress_of", "show_comparison", "show_report"]


def show_report(report: Report) -> None:
    """Print a report as two tables: what was done, and how long requests took (Proton's report, and the longest)."""
    inputs = ", ".join(f"{each.name} {each.dtype} {format_shape(each.shape)}" for each in report.inputs)
    version = "" if report.version is None else f" version {report.version}"
    click.echo(f"{report.model}{version} at {report.address}, {report.protocol}")
    click.echo(
        f"request: {inputs} ({report.source}), {report.request_bytes:,} bytes\n"
        f"answer: {report.answer_bytes:,} bytes, checked: {report.checked}; "
        f"load: {' and '.join(dict.fromkeys(each.engine for each in report.measurements))}"
    )
    click.echo()
    columns: tuple[str, ...] = ("load", "requests", "failed", "requests/s")
    if any(each.rows_per_s not in (None, each.requests_per_s) for each in report.measurements):
        columns = (*columns, "rows/s")
    if any(each.ceiling_per_s is not None for each in report.measurements):
        columns = (*columns, "ceiling/s")
    print_table(columns, [_rates(each) for each in report.measurements])
    click.echo()
    columns = ("latency", "total", "average", "median", "p95", "p99", "max")
    print_table(columns, [_latencies(each) for each in report.measurements])
    for each in report.measurements:
        for error in each.errors:
            click.echo(f"{each.load}: {error.count:,} x {error.code}: {' '.join(error.example.split())}")
        for note in each.notes:
            click.echo(f"{each.load}: {note}")
        if not each.is_complete:
            click.echo(f"{each.load}: interrupted after {each.elapsed_s:.1f} s")


def _rates(each: Measurement) -> dict[str, object]:
    ceiling = "" if each.ceiling_per_s is None else f"{each.ceiling_per_s:,.0f}{' !' * each.is_near_ceiling}"
    return {
        "load": each.load,
        "requests": f"{each.num_requests:,}",
        "failed": f"{each.num_failed:,}",
        "requests/s": f"{each.requests_per_s:,.1f}",
        "rows/s": "" if each.rows_per_s is None else f"{each.rows_per_s:,.1f}",
        "ceiling/s": ceiling,
    }


def _latencies(each: Measurement) -> dict[str, object]:
    latency = each.latency
    return {
        "latency": each.load,
        "total": _duration(latency.total_s * 1000),
        "average": _duration(latency.average_ms),
        "median": _duration(latency.median_ms),
        "p95": _duration(latency.p95_ms),
        "p99": _duration(latency.p99_ms),
        "max": _duration(latency.max_ms),
    }


def _duration(value_ms: float) -> str:
    """Return a duration with three figures, in the unit that suits it."""
    if value_ms >= 1000:
        return f"{value_ms / 1000:,.3g} s" if value_ms < 1_000_000 else f"{value_ms / 1000:,.0f} s"
    return f"{value_ms:.3g} ms" if value_ms >= 1 else f"{value_ms * 1000:.3g} us"


def show_comparison(comparison: Comparison) -> None:
    """Print a comparison: a table for each load."""
    if not comparison.loads:
        click.echo("the two runs have no load in common")
    for load in comparison.loads:
        rows = [_compared(each) for each in load.figures]
        print_table(("figure", "A", "B", "B / A", "spread", "B is"), rows, title=load.load)
        click.echo()
    for note in comparison.notes:
        click.echo(note)


def _compared(each: ComparedFigure) -> dict[str, object]:
    return {
        "figure": each.name,
        "A": f"{each.a:,.4g}" if each.a < 1000 else f"{each.a:,.0f}",
        "B": f"{each.b:,.4g}" if each.b < 1000 else f"{each.b:,.0f}",
        "B / A": "" if each.ratio is None else f"{each.ratio:.3f}",
        "spread": "" if each.spread is None else f"+- {each.spread:,.3g}",
        "B is": each.verdict,
    }


@contextlib.contextmanager
def progress_of(words: str) -> Iterator[OnProgress]:
    """Show how far a measurement is, where a person watches stderr.

    Parameters
    ----------
    words
        What is measured.
    """
    if not sys.stderr.isatty():
        yield lambda _part, _ended: None
        return
    from rich.console import Console  # noqa: PLC0415 - takes longer to import than most commands take to run
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - see above

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[ended]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(words, total=1.0, ended="")

        def show(part: float, ended: int) -> None:
            progress.update(task, completed=part, ended=f"{ended:,} requests" if ended else "")

        yield show
