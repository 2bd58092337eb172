"""Converters in a host: found by their files, named, turned off, and what ``inputs`` means with one."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from navi_core import (
    Array,
    BoundConverter,
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
    TensorSpec,
)
from navi_core.testing.affine import AffineRuntime, write_affine
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
