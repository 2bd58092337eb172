"""The feature map: feature id -> (tensor, column), and its frozen form that kernels search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from navi_dr_transform import wire
from navi_dr_transform.layout import EMBEDDINGS, Kind
from navi_dr_transform.segdense import AllConfig, InputFeature, SegDense

__all__ = ["FeatureMap", "Int64Array", "feature_map", "freeze"]

Int64Array: TypeAlias = NDArray[np.int64]

_TYPES: Final = {1: Kind.BINARY, 2: Kind.CONTINUOUS, 3: Kind.DISCRETE}
"""FeatureType of data.thrift -> tensor; other types have no column."""

_TWHIN: Final = frozenset({-2550691008059411095, 5390650078733277231, 3223956748566688423})
"""Ids that Navi takes for embeddings whatever their type says (navi/segdense/src/util.rs)."""

_NOT_FOUND: Final = -1
"""The id that Navi gives to an embedding whose name the segdense file does not have."""


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """Where every feature goes.

    Parameters
    ----------
    columns
        Feature id -> tensor (continuous, binary or discrete) and column.
    embedding_ids
        Kind -> id under which ``DataRecord.tensors`` holds that embedding; several may share one.
    """

    columns: Mapping[int, tuple[Kind, int]]
    embedding_ids: Mapping[Kind, int]


def feature_map(segdense: SegDense, all_config: AllConfig) -> FeatureMap:
    """Build the feature map as Navi does.

    Excluded features and negative indices have no column; of entries with one id, the one whose key
    sorts last counts; an embedding whose name is unknown gets the id -1.
    """
    names = all_config.train_data.seg_dense_schema.renamed_features
    # the first entry of a name counts, so the dictionary is built backwards
    ids = {
        item.full_feature_name: item.feature_id
        for item in reversed(segdense.complex_feature_type_transform_spec)
    }
    embedding_names = (names.user_embedding, names.user_eng_embedding, names.author_embedding)
    features = (feature for _, feature in sorted(segdense.input_features_map.items()))
    return FeatureMap(
        columns=_columns(features),
        embedding_ids={
            kind: ids.get(name, _NOT_FOUND) for kind, name in zip(EMBEDDINGS, embedding_names, strict=True)
        },
    )


def _columns(features: Iterable[InputFeature]) -> Mapping[int, tuple[Kind, int]]:
    columns: dict[int, tuple[Kind, int]] = {}
    for feature in features:
        if feature.maybe_exclude or feature.index < 0:
            continue
        kind = _TYPES.get(feature.feature_type)
        if kind is not None and feature.feature_id not in _TWHIN:
            columns[feature.feature_id] = (kind, feature.index)
    return columns


def freeze(columns: Mapping[int, tuple[Kind, int]], widths: Mapping[Kind, int]) -> Int64Array:
    """Freeze columns into an open-addressing hash table.

    Parameters
    ----------
    columns
        Feature id -> tensor and column.
    widths
        Kind -> columns of its tensor; what lies outside is left out, so that no lookup can leave it.

    Returns
    -------
    table
        (2 * slots,) int64, read-only; slots is a power of two and at least twice the entries. Slot s
        holds its key in [2s] and ``kind << wire.KIND_SHIFT | column`` in [2s + 1], -1 where it is empty. An id
        is searched from slot ``(id * wire.GOLDEN >> 32) & (slots - 1)`` on, until it or an empty slot is met.
    """
    entries = [
        (feature_id, (int(kind) << wire.KIND_SHIFT) | column)
        for feature_id, (kind, column) in columns.items()
        if column < widths.get(kind, 0)
    ]
    slots = 2
    while slots < 2 * len(entries):
        slots *= 2
    table = np.full(2 * slots, -1, dtype=np.int64)
    for feature_id, value in entries:
        slot = ((feature_id * wire.GOLDEN) >> 32) & (slots - 1)
        while table[2 * slot + 1] >= 0:
            slot = (slot + 1) & (slots - 1)
        table[2 * slot] = feature_id
        table[2 * slot + 1] = value
    table.flags.writeable = False
    return table
