"""The Prometheus text format, as the servers that are imitated write it.

prometheus-client is not used here because it cannot write these pages: it ends every counter's name in
``_total``, always writes HELP lines, never writes empty braces, and in OpenMetrics turns the colons that
begin these names into underscores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from navi_core.metrics.cells import FamilySnapshot, FamilySpec, HistogramSnapshot, Labels

__all__ = ["TextStyle", "write_openmetrics", "write_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextStyle:
    """What differs between servers.

    Parameters
    ----------
    with_help
        Write HELP lines.
    empty_braces
        Write ``{}`` where there are no labels.
    show_empty
        Write the TYPE line of a family without samples.
    """

    with_help: bool
    empty_braces: bool
    show_empty: bool


def write_text(families: Iterable[tuple[FamilySpec, FamilySnapshot]], style: TextStyle) -> str:
    """Return the families as text, a line each, in the order given."""
    lines: list[str] = []
    for spec, snapshot in families:
        if not snapshot and not style.show_empty:
            continue
        if style.with_help:
            lines.append(f"# HELP {spec.name} {_escaped(spec.meaning, quote=False)}")
        lines.append(f"# TYPE {spec.name} {spec.kind}")
        for values, value in snapshot:
            if isinstance(value, HistogramSnapshot):
                lines += _histogram_lines(spec, values, value, style)
            else:
                lines.append(f"{spec.name}{_braces(spec.labels, values, style)} {_number(value)}")
    return "".join(f"{line}\n" for line in lines)


def write_openmetrics(families: Iterable[tuple[FamilySpec, FamilySnapshot]]) -> str:
    """Return the families as OpenMetrics text, without the closing line.

    OpenMetrics wants counters to end in ``_total``; those that do not are of type ``unknown`` there, which
    keeps their names.
    """
    lines: list[str] = []
    style = TextStyle(with_help=True, empty_braces=False, show_empty=True)
    for spec, snapshot in families:
        name, kind = spec.name, str(spec.kind)
        if kind == "counter":
            name = spec.name.removesuffix("_total")
            kind = "counter" if name != spec.name else "unknown"
        lines += [f"# HELP {name} {_escaped(spec.meaning)}", f"# TYPE {name} {kind}"]
        for values, value in snapshot:
            if isinstance(value, HistogramSnapshot):
                lines += _histogram_lines(
                    spec, values, value, style, bound_text=lambda bound: repr(float(bound))
                )
            else:
                lines.append(f"{spec.name}{_braces(spec.labels, values, style)} {_number(value)}")
    return "".join(f"{line}\n" for line in lines)


def _histogram_lines(
    spec: FamilySpec,
    values: Labels,
    histogram: HistogramSnapshot,
    style: TextStyle,
    bound_text: Callable[[float], str] = "{:.6g}".format,
) -> list[str]:
    bounds = [*(bound_text(bound) for bound in spec.bounds), "+Inf"]
    names = (*spec.labels, "le")
    lines = [
        f"{spec.name}_bucket{_braces(names, (*values, bound), style)} {count}"
        for bound, count in zip(bounds, histogram.cumulative, strict=True)
    ]
    braces = _braces(spec.labels, values, style)
    lines.append(f"{spec.name}_sum{braces} {_number(histogram.total)}")
    lines.append(f"{spec.name}_count{braces} {histogram.cumulative[-1]}")
    return lines


def _braces(names: Labels, values: Labels, style: TextStyle) -> str:
    if not names:
        return "{}" if style.empty_braces else ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str, *, quote: bool = True) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quote else text


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))
