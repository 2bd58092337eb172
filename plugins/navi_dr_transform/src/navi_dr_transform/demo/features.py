"""The demo's features: names, ids, and the two mapping files that a version directory holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.layout import HOME, HomeTensor

__all__ = ["EMBEDDING_NAMES", "feature_id", "feature_ids", "write_mapping_files"]

EMBEDDING_NAMES: Final[Mapping[HomeTensor, str]] = {
    HomeTensor.USER_EMBEDDING: "user.timelines.twhin_user_follow_embeddings.twhin_user_follow_embeddings",
    HomeTensor.USER_ENG_EMBEDDING: "user.timelines.twhin_user_engagement_embeddings.twhin_user_engagement_embeddings",
    HomeTensor.AUTHOR_EMBEDDING: "original_author.timelines.twhin_author_follow_embeddings.twhin_author_follow_embeddings",
}
"""Full names of the embeddings of the home-timeline ranking model."""

_TYPES: Final = {HomeTensor.BINARY: 1, HomeTensor.CONTINUOUS: 2, HomeTensor.DISCRETE: 3}
_TENSOR_TYPE: Final = 9
_SEGDENSE_NAMES: Final = {
    HomeTensor.CONTINUOUS: "cont",
    HomeTensor.BINARY: "binary",
    HomeTensor.DISCRETE: "discrete",
}


@cache
def feature_ids(kind: HomeTensor) -> Sequence[int]:
    """Return the ids of a scalar tensor's features, by column."""
    return tuple(feature_id(name) for name in _names(kind))


def _names(kind: HomeTensor) -> Iterator[str]:
    for column in range(HOME.tensors[kind].width):
        yield f"demo.recap.{HOME.tensors[kind].name}.feature_{column:04d}"


def write_mapping_files(directory: Path) -> None:
    """Write ``all_config.json`` and the segdense file of the home layout into an existing directory."""
    (directory / HOME.segdense_file).write_text(json.dumps(_segdense()), encoding="utf-8")
    (directory / HOME.all_config_file).write_text(json.dumps(_all_config(), indent=2), encoding="utf-8")


def _segdense() -> dict[str, Any]:
    features = {
        kind: [
            _feature(name, _TYPES[kind], column, f"home_recap_2022_{segdense_name}__segdense_vals")
            for column, name in enumerate(_names(kind))
        ]
        for kind, segdense_name in _SEGDENSE_NAMES.items()
    }
    empty = {"type": "", "value": ""}
    spec = {
        segdense_name: {
            "tag": f"home_recap_2022_{segdense_name}__segdense_vals",
            "generic_feature_type": _TYPES[kind],
            "feature_identifier": segdense_name,
            "fixed_length": HOME.tensors[kind].width,
            "default_value": empty,
            "input_features": [],
        }
        for kind, segdense_name in _SEGDENSE_NAMES.items()
    }
    blob = {
        "tag": "blob",
        "generic_feature_type": 8,
        "feature_identifier": "blob",
        "fixed_length": 0,
        "default_value": empty,
        "input_features": [],
    }
    return {
        "common_prefix": "home_recap_2022",
        "densification_transform_spec": {**spec, "string": {}, "blob": blob},
        "identity_transform_spec": [],
        "complex_feature_type_transform_spec": [
            {
                **_feature(name, _TENSOR_TYPE, 0, name),
                "tensor_data_type": 0,
                "tensor_shape": [HOME.tensors[kind].width],
            }
            for kind, name in EMBEDDING_NAMES.items()
        ],
        "input_features_map": {
            str(item["feature_id"]): [item] for items in features.values() for item in items
        },
    }


def _feature(name: str, feature_type: int, index: int, tag: str) -> dict[str, Any]:
    return {
        "feature_id": feature_id(name),
        "full_feature_name": name,
        "feature_type": feature_type,
        "index": index,
        "maybe_exclude": False,
        "tag": tag,
        "added_at": 0,
    }


def _all_config() -> dict[str, Any]:
    return {
        "train_data": {
            "seg_dense_schema": {
                "renamed_features": {
                    "continuous": "home_recap_2022_cont__segdense_vals",
                    "binary": "home_recap_2022_binary__segdense_vals",
                    "discrete": "home_recap_2022_discrete__segdense_vals",
                    "author_embedding": EMBEDDING_NAMES[HomeTensor.AUTHOR_EMBEDDING],
                    "user_embedding": EMBEDDING_NAMES[HomeTensor.USER_EMBEDDING],
                    "user_eng_embedding": EMBEDDING_NAMES[HomeTensor.USER_ENG_EMBEDDING],
                    "meta__author_id": "meta.author_id",
                    "meta__user_id": "meta.user_id",
                    "meta__tweet_id": "meta.tweet_id",
                }
            }
        }
    }
