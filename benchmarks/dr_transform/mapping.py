"""The features that requests are made of, and the files that say which column each has: the home layout's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

NAMES = ("continuous", "binary", "discrete", "user_embedding", "user_eng_embedding", "author_embedding")
DTYPES = (np.float32, np.int64, np.int64, np.float32, np.float32, np.float32)
WIDTHS = (5293, 149, 320, 200, 200, 200)
CONTINUOUS, BINARY, DISCRETE, USER, USER_ENG, AUTHOR = range(6)
FEATURE_TYPES = {BINARY: 1, CONTINUOUS: 2, DISCRETE: 3}
SPECS = {CONTINUOUS: "cont", BINARY: "binary", DISCRETE: "discrete"}

# Feature ids are hashes of names: as good as random.
_ids = np.random.default_rng(2022).integers(-(2**63), 2**63, sum(WIDTHS[:3]), dtype=np.int64)
IDS = dict(zip((CONTINUOUS, BINARY, DISCRETE), np.split(_ids, np.cumsum(WIDTHS[:2])), strict=True))
"""Tensor -> feature ids by column."""
EMBEDDING_IDS = (-2550691008059411095, 5390650078733277231, 3223956748566688423)
COLUMNS = {
    int(feature_id): (tensor, column) for tensor, ids in IDS.items() for column, feature_id in enumerate(ids)
}
"""Feature id -> tensor and column."""


def _feature(feature_id: int, feature_type: int, index: int) -> dict:
    return {
        "feature_id": int(feature_id),
        "full_feature_name": f"feature.{feature_id}",
        "feature_type": feature_type,
        "index": index,
        "maybe_exclude": False,
        "tag": "",
        "added_at": 0,
    }


def write_mapping_files(folder: Path) -> None:
    """Write ``all_config.json`` and the segdense file."""
    default = {"type": "", "value": ""}
    spec = {
        name: {
            "tag": "",
            "generic_feature_type": FEATURE_TYPES[tensor],
            "feature_identifier": name,
            "fixed_length": WIDTHS[tensor],
            "default_value": default,
            "input_features": [],
        }
        for tensor, name in SPECS.items()
    }
    blob = {**spec["cont"], "generic_feature_type": 8, "feature_identifier": "blob", "fixed_length": 0}
    segdense = {
        "common_prefix": "",
        "densification_transform_spec": {**spec, "string": {}, "blob": blob},
        "identity_transform_spec": [],
        "complex_feature_type_transform_spec": [
            {**_feature(feature_id, 9, 0), "tensor_data_type": 0, "tensor_shape": [WIDTHS[USER]]}
            for feature_id in EMBEDDING_IDS
        ],
        "input_features_map": {
            str(key): [_feature(key, FEATURE_TYPES[tensor], column)]
            for key, (tensor, column) in COLUMNS.items()
        },
    }
    names = [f"feature.{feature_id}" for feature_id in EMBEDDING_IDS]
    renamed = {
        **dict.fromkeys(("continuous", "binary", "discrete"), ""),
        **dict.fromkeys(("meta__author_id", "meta__user_id", "meta__tweet_id"), ""),
        **dict(zip(("user_embedding", "user_eng_embedding", "author_embedding"), names, strict=True)),
    }
    config = {"train_data": {"seg_dense_schema": {"renamed_features": renamed}}}
    (folder / "segdense_transform_spec_home_recap_2022.json").write_text(json.dumps(segdense))
    (folder / "all_config.json").write_text(json.dumps(config))
