"""Converters in a host: found by their files, named, turned off, and what ``inputs`` means with one."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from navi_core import (
    Array,
    BoundConverter,
    ConfigError,
    Converter,
    DecodeError,
    DType,
    Host,
    HostConfig,
    InputNamesError,
    ModelConfig,
    ModelLoadError,
    Plan,
    RowSpec,
    Signature,
    SignatureSettings,
    TensorSpec,
)
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.testing.affine import AffineRuntime, AffineServable, write_affine
from navi_core.testing.registries import registry_of

pytestmark = pytest.mark.integration


class BoundNumbers(BoundConverter):
    """Payloads of decimal numbers, one row each."""

    def __init__(self, model: Signature) -> None:
        text = TensorSpec(name="numbers", dtype=DType.STRING, shape=("batch",))
        self.signature = Signature(
            inputs={"numbers": text}, outputs=model.outputs, batchable=True, source="converter"
        )
        self.rows = {"x": RowSpec(DType.FLOAT32, (2,))}

    def plan(self, inputs) -> Plan:
        payloads = list(inputs["numbers"])
        if any(payload == b"" for payload in payloads):
            raise DecodeError("expected a number, got nothing", offset=0)
        count = len(payloads)
        return Plan(
            num_rows=count,
            row_ends=np.arange(1, count + 1),
            size_bytes=8 * count,
            rows=self.rows,
            payload=payloads,
        )

    def fill(self, plan: Plan, out: dict[str, Array]) -> None:
        try:
            out["x"][...] = np.array([float(payload) for payload in plan.payload], np.float32)[:, None]
        except ValueError:
            raise DecodeError("expected a number", offset=0) from None


class NumbersOptions(msgspec.Struct, forbid_unknown_fields=True):
    greeting: str = ""


class NumbersConverter(Converter):
    name = "numbers"
    aliases = ("digits",)
    options_type = NumbersOptions
    seen: list[str] = []

    def recognise(self, artifact) -> bool:
        return artifact.has("numbers.txt")

    def bind(self, artifact, signature, options) -> BoundConverter:
        self.seen.append(options.greeting)
        return BoundNumbers(signature)


@pytest.fixture
def host_of(tmp_path):
    folder = write_affine(tmp_path / "m", 1, scale=2.0)
    (folder / "numbers.txt").write_text("")

    def make(**settings):
        registry = registry_of(runtimes=[AffineRuntime], converters=[NumbersConverter])
        config = ModelConfig(path=str(tmp_path / "m"), stable_ms=0, **settings)
        return Host(HostConfig(models=(config,), max_load_retries=0), registry=registry)

    return make


async def test_a_converter_is_found_by_its_files(host_of):
    async with host_of() as host:
        answer = await host.predict("m", {"numbers": ["1", b"2.5"]}, outputs=("y",))
        bypassed = await host.predict("m", {"x": [[1, 2]]}, outputs=("y",))

    assert answer["y"][:, 0].tolist() == [2.0, 5.0]
    assert bypassed["y"].tolist() == [[2.0, 4.0]]


async def test_a_converter_can_be_turned_off(host_of):
    async with host_of(converter="none") as host:
        with pytest.raises(InputNamesError, match=r"expected \{x\}"):
            await host.predict("m", {"numbers": ["1"]})


async def test_a_bad_payload_is_refused_with_its_place(host_of):
    async with host_of() as host:
        with pytest.raises(DecodeError, match="offset 0"):
            await host.predict("m", {"numbers": [""]})
        with pytest.raises(DecodeError, match="offset 0"):
            await host.predict("m", {"numbers": ["one"]})


async def test_configured_inputs_are_the_converters(host_of):
    """Navi's --input names what clients send."""
    async with host_of(inputs=("numbers",)) as host:
        assert (await host.predict("m", {"numbers": ["1"]}))["y"][0, 0] == 2.0


async def test_configured_inputs_that_the_converter_does_not_take_are_a_load_error(host_of):
    with pytest.raises(ModelLoadError, match="takes numbers, the configuration says examples"):
        async with host_of(inputs=("examples",)):
            pass


class TwoSignatures(AffineServable):
    """Has ``negative`` beside the default signature."""

    def __init__(self, model):
        super().__init__(model)
        self.signatures = {**self.signatures, "negative": self.signatures[DEFAULT_SIGNATURE]}

    def run(self, signature, inputs, outputs, ctx):
        found = super().run(signature, inputs, outputs, ctx)
        return {**found, "y": -found["y"]} if signature == "negative" else found


class TwoSignaturesRuntime(AffineRuntime):
    def load(self, artifact, options):
        return TwoSignatures(super().load(artifact, options).model)


@pytest.fixture
def host_of_two(tmp_path):
    folder = write_affine(tmp_path / "m", 1, scale=2.0)
    (folder / "numbers.txt").write_text("")
    NumbersConverter.seen.clear()

    def make(signatures=None, **settings):
        registry = registry_of(runtimes=[TwoSignaturesRuntime], converters=[NumbersConverter])
        said = msgspec.convert(signatures or {}, dict[str, SignatureSettings])
        config = ModelConfig(path=str(tmp_path / "m"), stable_ms=0, signatures=said, **settings)
        return Host(HostConfig(models=(config,), max_load_retries=0), registry=registry)

    return make


async def test_other_signatures_are_not_converted_unless_they_ask(host_of_two):
    async with host_of_two() as host:
        assert (await host.predict("m", {"numbers": ["1"]}))["y"][0, 0] == 2.0
        with pytest.raises(InputNamesError, match=r"expected \{x\}"):
            await host.predict("m", {"numbers": ["1"]}, signature="negative")


async def test_a_signature_that_asks_is_converted_with_options_of_its_own(host_of_two):
    signatures = {"negative": {"convert": True, "converter_options": {"greeting": "minus"}}}
    async with host_of_two(signatures, converter_options={"greeting": "hello"}) as host:
        assert NumbersConverter.seen == ["hello", "minus"]
        assert (await host.predict("m", {"numbers": ["1"]}))["y"][0, 0] == 2.0
        answer = await host.predict("m", {"numbers": ["1", "3"]}, signature="negative")
        assert answer["y"][:, 0].tolist() == [-2.0, -6.0]
        bypassed = await host.predict("m", {"x": [[1, 2]]}, signature="negative", outputs=("y",))
        assert bypassed["y"].tolist() == [[-2.0, -4.0]]


async def test_the_default_signature_may_be_left_as_it_is(host_of_two):
    signatures = {DEFAULT_SIGNATURE: {"convert": False}, "negative": {"convert": True}}
    async with host_of_two(signatures) as host:
        assert (await host.predict("m", {"x": [[1, 2]]}, outputs=("y",)))["y"].tolist() == [[2.0, 4.0]]
        assert (await host.predict("m", {"numbers": ["1"]}, signature="negative"))["y"][0, 0] == -2.0


@pytest.mark.parametrize(
    ("signatures", "settings", "error", "text"),
    [
        (
            {"negative": {"convert": True}},
            {"converter": "none"},
            ConfigError,
            "signatures.negative.convert: expected a model with a converter, got none",
        ),
        (
            {"negative": {"convert": True, "converter_options": {"greting": ""}}},
            {},
            ConfigError,
            "signatures.negative.converter_options.greting: unknown key, did you mean 'greeting'?",
        ),
        (
            {DEFAULT_SIGNATURE: {"convert": False}},
            {"converter": "numbers"},
            ModelLoadError,
            (
                "converter 'numbers' needs a signature 'serving_default', or one that says convert = true; "
                "the model has serving_default, negative"
            ),
        ),
    ],
)
async def test_what_cannot_be_converted_fails_the_load(host_of_two, signatures, settings, error, text):
    with pytest.raises(error) as caught:
        async with host_of_two(signatures, **settings):
            pass
    assert caught.value.message == text


async def test_host_wide_options_count_under_an_alias_too(tmp_path):
    folder = write_affine(tmp_path / "m", 1)
    (folder / "numbers.txt").write_text("")
    NumbersConverter.seen.clear()
    registry = registry_of(runtimes=[AffineRuntime], converters=[NumbersConverter])
    config = HostConfig(
        models=(ModelConfig(path=str(tmp_path / "m"), stable_ms=0),),
        converters={"digits": {"greeting": "hello"}},
    )
    async with Host(config, registry=registry):
        assert NumbersConverter.seen == ["hello"]
