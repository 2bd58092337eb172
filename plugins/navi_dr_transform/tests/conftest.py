"""Shared fixtures: a small feature mapping, the files it comes from, and where the specs lie."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

# with --import-mode=importlib, test folders are not packages: this is how their tests share modules
sys.path.insert(0, str(Path(__file__).parent))

from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import HOME, HOME_EMBEDDINGS, HomeTensor, Source

SEGDENSE_FILE = HOME.segdense_file
ALL_CONFIG_FILE = HOME.all_config_file


def _feature(feature_id, feature_type, index, *, exclude=False, name=None):
    return {
        "feature_id": feature_id,
        "full_feature_name": name or f"feature {feature_id}",
        "feature_type": feature_type,
        "index": index,
        "maybe_exclude": exclude,
        "tag": "tag",
        "added_at": 0,
    }


def _segdense(features, embeddings):
    def dense(*items):
        return {
            "tag": "t",
            "generic_feature_type": 2,
            "feature_identifier": "f",
            "fixed_length": 4,
            "default_value": {"type": "float", "value": "NaN"},
            "input_features": list(items),
        }

    return {
        "common_prefix": "prefix",
        "densification_transform_spec": {
            "discrete": dense(),
            "cont": dense(),
            "binary": dense(),
            "string": None,
            "blob": dense("anything"),
        },
        "identity_transform_spec": [{"feature_id": 1, "full_feature_name": "i", "feature_type": 2}],
        "complex_feature_type_transform_spec": [
            _feature(feature_id, 9, 0, name=name) for name, feature_id in embeddings.items()
        ],
        "input_features_map": {key: [feature] for key, feature in features.items()},
    }


def _all_config(**names):
    known = {
        "continuous": "c",
        "binary": "b",
        "discrete": "d",
        "author_embedding": "author",
        "user_embedding": "user",
        "user_eng_embedding": "user_eng",
        "meta__author_id": "m",
        "meta__user_id": "m",
        "meta__tweet_id": "m",
    }
    return {"train_data": {"seg_dense_schema": {"renamed_features": {**known, **names}}}}


class Mapping:
    """Builds mapping files; ``FEATURES`` and ``EMBEDDINGS`` are those of the examples."""

    FEATURES = {
        "7": _feature(7, 2, 0),
        "8": _feature(8, 2, 2),
        "-9": _feature(-9, 2, 3),
        "5": _feature(5, 1, 1),
        "6": _feature(6, 1, 2),
        "20": _feature(20, 3, 0),
        "21": _feature(21, 3, 1),
    }
    EMBEDDINGS = {"user": -2, "user_eng": -3, "author": -4}

    feature = staticmethod(_feature)
    all_config = staticmethod(_all_config)

    @classmethod
    def segdense(cls, features=None, embeddings=None):
        return _segdense(features or cls.FEATURES, embeddings or cls.EMBEDDINGS)

    @classmethod
    def write(cls, directory: Path, *, segdense=None, all_config=None):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / SEGDENSE_FILE).write_text(json.dumps(segdense or cls.segdense()))
        (directory / ALL_CONFIG_FILE).write_text(json.dumps(all_config or cls.all_config()))
        return directory


@pytest.fixture(scope="session")
def mapping():
    return Mapping


@pytest.fixture(scope="session")
def features():
    """The feature map that the example mapping files give."""
    return FeatureMap(
        columns={
            (Source.CONTINUOUS, 7): (Place(HomeTensor.CONTINUOUS, 0),),
            (Source.CONTINUOUS, 8): (Place(HomeTensor.CONTINUOUS, 2),),
            (Source.CONTINUOUS, -9): (Place(HomeTensor.CONTINUOUS, 3),),
            (Source.BINARY, 5): (Place(HomeTensor.BINARY, 1),),
            (Source.BINARY, 6): (Place(HomeTensor.BINARY, 2),),
            (Source.DISCRETE, 20): (Place(HomeTensor.DISCRETE, 0),),
            (Source.DISCRETE, 21): (Place(HomeTensor.DISCRETE, 1),),
        },
        embeddings=dict(zip(HOME_EMBEDDINGS, (-2, -3, -4), strict=True)),
    )


@pytest.fixture(scope="session")
def widths():
    return dict(zip(HomeTensor, (4, 3, 2, 2, 3, 1), strict=True))


@pytest.fixture(scope="session")
def specs():
    """The repository's ``specs`` folder; a plugin that is tested alone does not have it."""
    folder = Path(__file__).resolve().parents[3] / "specs"
    if not (folder / "thrift").is_dir():
        pytest.skip("the specs folder is not beside this plugin")
    return folder


# --- the event loop that the command line uses where it exists ------------------------------------------------


def pytest_configure(config):
    config.addinivalue_line("markers", "uvloop: runs on uvloop's event loop")


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(config, item):
    """Name the event loop of an async test."""
    if item.get_closest_marker("uvloop"):
        uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed here")
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
