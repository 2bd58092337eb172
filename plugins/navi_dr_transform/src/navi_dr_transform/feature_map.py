"""The feature map: which feature goes to which columns of which tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from navi_dr_transform.layout import HOME_EMBEDDINGS, HomeTensor, Source
from navi_dr_transform.segdense import AllConfig, InputFeature, SegDense

__all__ = ["Columns", "FeatureMap", "Place", "home_feature_map"]

_TENSORS: Final = {
    1: (Source.BINARY, HomeTensor.BINARY),
    2: (Source.CONTINUOUS, HomeTensor.CONTINUOUS),
    3: (Source.DISCRETE, HomeTensor.DISCRETE),
}
"""FeatureType of data.thrift -> where it stands and its tensor; other types have no column."""

_TWHIN: Final = frozenset({-2550691008059411095, 5390650078733277231, 3223956748566688423})
"""Ids that Navi takes for embeddings whatever their type says (navi/segdense/src/util.rs)."""

_NOT_FOUND: Final = -1
"""The id that Navi gives to an embedding whose name the segdense file does not have."""


@dataclass(frozen=True, slots=True)
class Place:
    """One column of one tensor.

    Parameters
    ----------
    tensor
        Index of the layout's tensor.
    column
        The column.
    category
        For sparse features: the key inside the feature that goes to this column; None elsewhere.
    """

    tensor: int
    column: int
    category: bytes | None = None


Columns: TypeAlias = Mapping[tuple[Source, int], tuple[Place, ...]]
"""Part of the DataRecord and feature id -> its columns."""


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """Where every feature goes.

    Parameters
    ----------
    columns
        Part of the DataRecord and feature id -> the columns it fills, nearly always one. Columns may lie
        outside of their tensors: those are ignored.
    embeddings
        Index of a tensor that comes from ``tensors`` or ``sparseTensors`` -> the feature id of its rows;
        several may share one.
    """

    columns: Columns
    embeddings: Mapping[int, int]


def home_feature_map(segdense: SegDense, all_config: AllConfig) -> FeatureMap:
    """Build the home layout's feature map as Navi does.

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
        embeddings={
            index: ids.get(name, _NOT_FOUND)
            for index, name in zip(HOME_EMBEDDINGS, embedding_names, strict=True)
        },
    )


def _columns(features: Iterable[InputFeature]) -> Columns:
    by_id: dict[int, tuple[Source, Place]] = {}
    for feature in features:
        if feature.maybe_exclude or feature.index < 0:
            continue
        tensor = _TENSORS.get(feature.feature_type)
        if tensor is not None and feature.feature_id not in _TWHIN:
            by_id[feature.feature_id] = (tensor[0], Place(tensor[1], feature.index))
    return {(source, feature_id): (place,) for feature_id, (source, place) in by_id.items()}
