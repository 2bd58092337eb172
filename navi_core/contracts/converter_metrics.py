"""What a bound converter counts: metrics of a plugin's own, shown beside the host's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["ConverterMetric", "HistogramValue", "MetricSample"]


@dataclass(frozen=True, slots=True)
class HistogramValue:
    """A histogram at one moment.

    Parameters
    ----------
    counts
        Values by bucket, not accumulated: those up to each bound, then those above the last one.
    total
        The values' sum.
    """

    counts: Sequence[int]
    total: float


MetricSample: TypeAlias = tuple[tuple[str, ...], float | HistogramValue]
"""Label values, and the value that they have now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConverterMetric:
    """One metric of a bound converter, with its values at one moment.

    It stands on the page as ``navi_converter_NAME_...`` after the converter's name, with the labels ``model``,
    ``version`` and ``signature`` before its own.

    Parameters
    ----------
    name
        Small letters, digits and underscores: ``records_total``. A counter's ends in ``_total``, and one with a unit
        in that, as in ``decode_seconds_total``.
    kind
        Counters and histograms never go down.
    meaning
        One line for the page.
    labels
        Names of its own labels, in order. Their values come from a bounded set, never from what clients send.
    unit
        ``seconds``, ``bytes``, or what is counted.
    bounds
        Increasing upper bounds of a histogram's buckets, inclusive; ``+Inf`` comes by itself.
    samples
        Every combination of label values once; a histogram's are :class:`HistogramValue` with one count more than
        there are bounds.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    samples: Sequence[MetricSample]
    labels: tuple[str, ...] = ()
    unit: str = ""
    bounds: tuple[float, ...] = ()
