"""The README's requests and thrift clients, run as they stand there."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from navi_dr_transform.converter import BprConverter
from navi_dr_transform.encode import FAMILIES
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.thrift_records import decode_request
from navi_dr_transform.thrift_service.options import PREDICTION_SERVICE, ThriftOptions
from navi_dr_transform.thrift_service.service import ThriftPredictionService
from navi_dr_transform.thrift_service.transport import ThriftTransport

from navi_core import Host, encode_payloads
from navi_core.config.load import config_from_table
from navi_core.testing import AffineRuntime, registry_of, write_affine

TEXT = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def example(name, language):
    _, found, after = TEXT.partition(f"<!-- {name} -->\n```{language}\n")
    assert found, f"the README has no {name}"
    return after.partition("```")[0]


def run(source, **names):
    exec(compile(source, "README.md", "exec"), names)
    return names


def test_the_encoder_example():
    scores, embeddings = np.array([[0.5, np.nan], [1.5, 3]]), np.ones((2, 4), np.float32)
    names = run(example("encode example", "python"), scores=scores, embeddings=embeddings)
    request = decode_request(names["payload"])
    first, second = request.individualFeaturesList
    assert first.continuousFeatures == {feature_id("tweet.score"): 0.5}
    assert second.continuousFeatures == {feature_id("tweet.score"): 1.5, feature_id("tweet.age"): 3.0}
    assert (first.binaryFeatures, second.binaryFeatures) == ({feature_id("tweet.has_link")}, None)
    assert (first.stringFeatures, second.stringFeatures) == ({feature_id("tweet.language"): "en"}, None)
    assert first.tensors[feature_id("author.embedding")].floatTensor.floats == [1.0] * 4
    assert request.commonFeatures.discreteFeatures == {feature_id("user.country"): 7}


@pytest.fixture
def settings(tmp_path):
    """The README's settings, with a model that doubles two features instead of a recap model."""
    settings = tomllib.loads(example("thrift settings", "toml"))
    said = tomllib.loads(example("thrift features", "toml"))["service_options"]["thrift_prediction"]
    write_affine(tmp_path / "home", 1, scale=2.0, width=2)
    features = ["tweet.score", "tweet.has_link"]
    tensor = {"name": "x", "source": "continuous", "dtype": "float32", "default": 0.0, "features": features}
    return {
        **settings,
        "models": [
            {
                "path": str(tmp_path / "home"),
                "converter": "bpr",
                "converter_options": {"layout": {"tensors": [tensor]}},
                "service_options": {
                    "thrift_prediction": {
                        "response_features": {"y": said["response_features"]["probabilities"]}
                    }
                },
                "outputs": ["y"],
                "stable_ms": 0,
            }
        ],
    }


@pytest.mark.integration
def test_the_thrift_client_example(settings):
    port = settings["transports"]["thrift"]["port"]
    assert port == ThriftTransport.default_port
    settings["transports"]["thrift"]["port"] = 0
    registry = registry_of(
        runtimes=[AffineRuntime],
        converters=[BprConverter],
        transports=[ThriftTransport],
        services=[ThriftPredictionService],
    )
    with Host(config_from_table(settings), registry=registry) as host:
        source = example("thrift client", "python")
        assert source.count(str(port)) == 1
        names = run(source.replace(str(port), str(host.addresses["thrift"][0].port)))
        assert names["scores"] == [1.0]
        rows = [{"tweet.score": 0.5}, {"tweet.score": 2.0, "continuous:tweet.has_link": 1}]
        outputs = host.predict("home", encode_payloads("bpr", rows, registry=registry))
        assert outputs["y"].tolist() == [[1.0, 0.0], [4.0, 2.0]]


def test_the_tables_say_what_is_there():
    defaults = msgspec.to_builtins(ThriftOptions())
    for option, value in defaults.items():
        (line,) = [line for line in TEXT.splitlines() if line.startswith("|") and f"`{option}`" in line]
        assert f"`{value:g}`" in line if not isinstance(value, str) else f'`"{value}"`' in line, line
    assert defaults["service"] == PREDICTION_SERVICE
    for family in FAMILIES:
        assert f"`{family}`" in TEXT, family
