"""Encoders through the registry: by a converter's name or alias, with its options."""

from __future__ import annotations

import numpy as np
import pytest

from navi_core.contracts.converter import BoundConverter, Converter, PayloadEncoder
from navi_core.errors import ConfigError, PluginNotFoundError, RequestError, UnsupportedError
from navi_core.payloads import encode_payloads
from navi_core.testing.registries import registry_of
from navi_core.wire.tf_serving import Example


class _Lines(PayloadEncoder):
    input_name = "lines"

    def encode(self, columns):
        payloads = np.empty(1, dtype=object)
        payloads[0] = b",".join(b"%d" % value for value in columns["n"])
        return payloads


class _LineConverter(Converter):
    name = "line"
    aliases = ("comma",)

    def bind(self, artifact, signature, options) -> BoundConverter:
        raise NotImplementedError

    def encoder(self, options):
        assert options is None
        return _Lines()


class _OneWay(Converter):
    name = "one_way"

    def bind(self, artifact, signature, options) -> BoundConverter:
        raise NotImplementedError


@pytest.fixture
def registry():
    return registry_of(converters=[_LineConverter, _OneWay])


@pytest.mark.parametrize("name", ["line", "comma"])
def test_by_name_or_alias(registry, name):
    inputs = encode_payloads(name, [{"n": 1}, {"n": 22}], registry=registry)
    assert {each: array.tolist() for each, array in inputs.items()} == {"lines": [b"1,22"]}


def test_the_installed_converters_and_their_options():
    features = {"x": {"feature": "age", "dtype": "float32"}}
    inputs = encode_payloads("tf_example", {"age": [3]}, options={"input_name": "e", "features": features})
    assert Example.FromString(inputs["e"][0]).features.feature["age"].float_list.value == [3]


def test_wrong(registry):
    with pytest.raises(PluginNotFoundError, match="no converter is called 'nobody'"):
        encode_payloads("nobody", {"n": [1]}, registry=registry)
    with pytest.raises(UnsupportedError, match="converter 'one_way' has no encoder"):
        encode_payloads("one_way", {"n": [1]}, registry=registry)
    with pytest.raises(ConfigError, match=r"converters\.line"):
        encode_payloads("comma", {"n": [1]}, options={"x": 1}, registry=registry)
    with pytest.raises(RequestError, match="records: expected at least one column"):
        encode_payloads("line", {}, registry=registry)
