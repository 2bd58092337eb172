"""What became of a request: which features matched, which are unknown, which columns stayed default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from navi_dr_transform.layout import LayoutTensor, Source
from navi_dr_transform.plain_records import Feature
from navi_dr_transform.resolved import ResolvedLayout

__all__ = ["DefaultColumn", "Explanation", "Matched", "TensorSummary", "Unknown", "explain"]


@dataclass(frozen=True, slots=True)
class Matched:
    """A feature, or one category of it, that fills a column.

    Parameters
    ----------
    source, id, name, category
        Which it is; a name that nobody knows is empty, as the category is elsewhere than in sparse features.
    tensor, column
        Where it goes; None: the whole row.
    num_rows
        Rows that it fills.
    is_common
        Whether the common features hold it.
    """

    source: str
    id: int
    name: str
    category: str
    tensor: str
    column: int | None
    num_rows: int
    is_common: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """A feature, or one category of it, that goes nowhere.

    Parameters
    ----------
    source, id, name, category
        As in :class:`Matched`.
    num_rows
        Rows that it would fill; 0 where it is common and every record replaces it.
    reason
        Why it goes nowhere.
    """

    source: str
    id: int
    name: str
    category: str
    num_rows: int
    reason: str


@dataclass(frozen=True, slots=True)
class DefaultColumn:
    """A column that no record filled.

    Parameters
    ----------
    tensor, column
        Which it is; None: the whole row.
    features
        The features that would have filled it, by name or id; none: the layout has no feature there.
    """

    tensor: str
    column: int | None
    features: Sequence[str]


@dataclass(frozen=True, slots=True)
class TensorSummary:
    """One tensor, in numbers.

    Parameters
    ----------
    name, dtype, source
        Which it is.
    width
        Its columns; a tensor that one feature fills counts as one in the other numbers.
    num_mapped
        Columns that a feature goes to.
    num_filled
        Columns that a record filled.
    """

    name: str
    dtype: str
    source: str
    width: int
    num_mapped: int
    num_filled: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of a request.

    Parameters
    ----------
    num_records
        Its records.
    matched, unknown
        Its features, in the order of tensors and columns, and of sources and ids.
    defaults
        Columns that stayed default in every row, in order; those without a feature are left out.
    tensors
        Every tensor in numbers.
    """

    num_records: int
    matched: Sequence[Matched]
    unknown: Sequence[Unknown]
    defaults: Sequence[DefaultColumn]
    tensors: Sequence[TensorSummary]


_Key = tuple[Source, int, bytes | None]


def explain(
    records: Sequence[Sequence[Feature]],
    common: Sequence[Feature],
    resolved: ResolvedLayout,
    widths: Mapping[int, int],
) -> Explanation:
    """Say what became of a request.

    Parameters
    ----------
    records, common
        Its features.
    resolved
        The layout and what fills it.
    widths
        Index of a tensor -> its columns; the tensors that are made.
    """
    num_rows = _rows(records, common)
    common_keys = set(_keys(common))
    places = _places(resolved, widths)
    filled: set[tuple[int, int | None]] = set()
    matched, unknown = [], []
    tensors = resolved.layout.tensors
    for key, count in sorted(num_rows.items(), key=lambda item: _order(item[0])):
        source, feature_id, category = key
        words = (
            source.name.lower(),
            feature_id,
            resolved.names.get(feature_id, ""),
            "" if category is None else category.decode(errors="backslashreplace"),
        )
        if records and not count:
            unknown.append(
                Unknown(*words, 0, "every record has the feature too, which replaces the common one")
            )
            continue
        found = places.get(key, ())
        filled.update(found)
        if not found:
            unknown.append(Unknown(*words, count, _why_unknown(key, resolved, widths)))
        matched += [
            (index, Matched(*words, tensors[index].name, column, count, key in common_keys))
            for index, column in found
        ]
    matched.sort(key=lambda each: (each[0], -1 if each[1].column is None else each[1].column))
    mapped = _mapped(places, resolved.names)
    return Explanation(
        num_records=len(records),
        matched=[each for _, each in matched],
        unknown=unknown,
        defaults=[
            DefaultColumn(tensors[index].name, column, features)
            for (index, column), features in sorted(
                mapped.items(), key=lambda item: (item[0][0], item[0][1] or 0)
            )
            if (index, column) not in filled
        ],
        tensors=[_summary(index, tensors[index], width, mapped, filled) for index, width in widths.items()],
    )


def _keys(features: Iterable[Feature]) -> Iterator[_Key]:
    for feature in _last_ones(features):
        if feature.categories is None:
            yield feature.source, feature.id, None
        else:
            for category in feature.categories:
                yield feature.source, feature.id, category


def _last_ones(features: Iterable[Feature]) -> Iterable[Feature]:
    """Return each feature once: a sparse feature replaces what another field has of it, as a whole."""
    return {(feature.source, feature.id): feature for feature in features}.values()


def _rows(records: Sequence[Sequence[Feature]], common: Sequence[Feature]) -> Mapping[_Key, int]:
    """Return feature -> rows that it fills: all of them where it is common.

    A sparse feature of a record replaces the common one whole, with the categories that the record lacks.
    """
    common_keys = list(_keys(common))
    counts = dict.fromkeys(common_keys, 0)
    for record in records:
        own = {(feature.source, feature.id) for feature in record if feature.categories is not None}
        kept = (key for key in common_keys if key[:2] not in own)
        for key in {*_keys(record), *kept}:
            counts[key] = counts.get(key, 0) + 1
    return counts


def _order(key: _Key) -> tuple[int, int, bytes]:
    return int(key[0]), key[1], key[2] or b""


def _places(
    resolved: ResolvedLayout, widths: Mapping[int, int]
) -> Mapping[_Key, Sequence[tuple[int, int | None]]]:
    """Return feature -> the tensors and columns that it fills, those that are made."""
    found: dict[_Key, list[tuple[int, int | None]]] = {}
    for (source, feature_id), places in resolved.features.columns.items():
        for place in places:
            if place.column < widths.get(place.tensor, 0):
                found.setdefault((source, feature_id, place.category), []).append(
                    (place.tensor, place.column)
                )
    for index, feature_id in resolved.features.embeddings.items():
        if widths.get(index, 0) > 0:
            found.setdefault((Source.TENSOR, feature_id, None), []).append((index, None))
    return found


def _mapped(
    places: Mapping[_Key, Sequence[tuple[int, int | None]]], names: Mapping[int, str]
) -> Mapping[tuple[int, int | None], Sequence[str]]:
    """Return column -> the features that go there, by name or id."""
    found: dict[tuple[int, int | None], list[str]] = {}
    for (_, feature_id, category), columns in places.items():
        name = names.get(feature_id, str(feature_id))
        word = name if category is None else f"{name} '{category.decode(errors='backslashreplace')}'"
        for column in columns:
            found.setdefault(column, []).append(word)
    return found


def _why_unknown(key: _Key, resolved: ResolvedLayout, widths: Mapping[int, int]) -> str:
    source, feature_id, category = key
    places = resolved.features.columns.get((source, feature_id), ())
    for place in places:
        if place.category == category:
            width = widths.get(place.tensor, 0)
            return (
                f"its column {place.column} is outside of the tensor's {width}"
                if width
                else "its tensor is not made"
            )
    if places:
        return "the layout has other categories of it"
    others = [
        each.name.lower()
        for each, other in resolved.features.columns
        if other == feature_id and each is not source
    ]
    if others:
        return f"the layout has it as a {others[0]} feature"
    if feature_id in resolved.names:
        return "known by name, but the layout has no column for it"
    return "the layout does not know it"


def _summary(
    index: int,
    tensor: LayoutTensor,
    width: int,
    mapped: Mapping[tuple[int, int | None], Any],
    filled: set[tuple[int, int | None]],
) -> TensorSummary:
    return TensorSummary(
        name=tensor.name,
        dtype=str(tensor.dtype),
        source=tensor.source.name.lower(),
        width=width,
        num_mapped=sum(each == index for each, _ in mapped),
        num_filled=sum(each == index for each, _ in filled),
    )
