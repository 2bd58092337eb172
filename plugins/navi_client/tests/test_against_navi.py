"""A navi host on free ports, asked over all three protocols."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from navi_client import (
    AsyncClient,
    Client,
    ClientError,
    Code,
    Request,
    Target,
    UnsupportedError,
    encode_example,
)

from navi_core import (
    DEFAULT_SIGNATURE,
    Artifact,
    AuthSettings,
    DType,
    Host,
    HostConfig,
    ModelConfig,
    Runtime,
    Servable,
    Signature,
    TensorSpec,
    TransportSettings,
    VersionPolicySettings,
)
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of
from navi_core.testing.samples import same_bits, sample

pytestmark = pytest.mark.integration

X = np.array([[1.5, -2.0], [0.1, 3.0]], np.float32)
IN_OIP = tuple(dtype for dtype in DType if not dtype.startswith(("complex", "float8")))


class Echo(Servable):
    """Gives back a tensor of each type."""

    def __init__(self) -> None:
        specs = {
            str(dtype): TensorSpec(name=str(dtype), dtype=dtype, shape=None, optional=True) for dtype in DType
        }
        self.signatures = {DEFAULT_SIGNATURE: Signature(inputs=specs, outputs=specs, batchable=False)}

    def run(self, signature, inputs, outputs, ctx):
        return {name: np.array(inputs[name]) for name in outputs}


class EchoRuntime(Runtime):
    name = "echo"

    def recognise(self, artifact):
        return "echo" if artifact.has("echo") else None

    def load(self, artifact, options):
        return Echo()


@pytest.fixture
async def host(tmp_path):
    for version in (3, 7):
        write_affine(tmp_path / "m", version, scale=2.0 if version == 7 else -1.0)
    write_affine(tmp_path / "slow", 1, run_seconds=0.3)
    write_affine(tmp_path / "bad", 1, poison=13.0)
    config = HostConfig(
        models=(
            ModelConfig(
                path=str(tmp_path / "m"),
                stable_ms=0,
                versions=VersionPolicySettings(all=True),
                labels={"old": 3},
            ),
            *(ModelConfig(path=str(tmp_path / name), stable_ms=0) for name in ("slow", "bad")),
        ),
        transports={"grpc": TransportSettings(port=0)},
    )
    async with Host(config, registry=registry_of(runtimes=[AffineRuntime, EchoRuntime])) as running:
        await running.admin.replace(Artifact(name="echo", version=1, files={"echo": b""}))
        yield running


@pytest.fixture
def address(host):
    return f"127.0.0.1:{host.addresses['grpc'][0].port}"


@pytest.mark.parametrize(("protocol", "output"), [("tf_serving", "y"), ("oip", "y"), ("proton", "data")])
async def test_predict(address, protocol, output):
    async with AsyncClient(address, protocol=protocol) as client:
        assert await client.live()
        assert await client.ready()
        outputs = await client.predict("m", {"x": X})
        np.testing.assert_array_equal(outputs[output], X * 2)
        assert outputs.model == "m"
        with pytest.raises(ClientError) as caught:
            await client.predict("nobody", {"x": X})
        assert caught.value.code is Code.NOT_FOUND
        with pytest.raises(ClientError) as caught:
            await client.predict("m", {"x": X[:, :1]})
        assert caught.value.code is Code.INVALID_ARGUMENT
        with pytest.raises(ClientError) as caught:
            await client.predict("bad", {"x": X * 0 + 13})
        assert caught.value.code in (Code.INTERNAL, Code.INVALID_ARGUMENT)
        with pytest.raises(ClientError) as caught:
            await client.predict("slow", {"x": X}, timeout_s=0.1)
        assert caught.value.code is Code.DEADLINE_EXCEEDED


async def test_the_blocking_client(address):
    def ask():
        answers = []
        for protocol in ("tf_serving", "oip", "proton"):
            with Client(address, protocol=protocol, compression="gzip") as client:
                answers += [next(iter(client.predict("m", {"x": X}).values())) for _ in range(3)]
        return answers

    for answer in await asyncio.to_thread(ask):
        np.testing.assert_array_equal(answer, X * 2)


@pytest.mark.parametrize("protocol", ["tf_serving", "oip"])
async def test_versions_outputs_and_metadata(address, protocol):
    async with AsyncClient(address, protocol=protocol) as client:
        outputs = await client.predict("m", {"x": X}, version=3, outputs=["y"])
        assert list(outputs) == ["y"]
        np.testing.assert_array_equal(outputs["y"], -X)
        assert outputs.version == "3"
        assert (await client.predict("m", {"x": X})).version == "7"
        with pytest.raises(ClientError, match="NOT_FOUND"):
            await client.predict("m", {"x": X}, version=4)
        with pytest.raises(ClientError, match="INVALID_ARGUMENT"):
            await client.predict("m", {"x": X}, outputs=["z"])
        assert await client.ready("m")
        assert await client.ready("m", version=3)
        assert not await client.ready("m", version=4)
        assert not await client.ready("nobody")
        found = await client.metadata("m")
        assert found.model == "m"
        if protocol == "oip":
            assert {(each.model, each.version) for each in await client.models()} >= {("m", "3"), ("m", "7")}
        else:
            with pytest.raises(UnsupportedError, match="no lists of models"):
                await client.models()
        x = found.inputs["serving_default"]["x"]
        assert (x.dtype, x.shape) == ("float32", (None, 2))
        assert set(found.outputs["serving_default"]) == {"y", "rows"}


async def test_states_of_versions(address):
    async with AsyncClient(address) as client:
        states = await client.status("m")
        assert sorted((each.version, each.state) for each in states) == [(3, "AVAILABLE"), (7, "AVAILABLE")]
        with pytest.raises(ClientError, match="NOT_FOUND"):
            await client.status("nobody")
        assert (await client.predict("m", {"x": X}, label="old")).version == "3"
        with pytest.raises(ClientError, match="Unrecognized servable version label: new"):
            await client.predict("m", {"x": X}, label="new")
        with pytest.raises(ClientError, match='signature key "other" not found'):
            await client.predict("m", {"x": X}, signature="other")
        with pytest.raises(ClientError) as caught:
            await client.classify("m", [{"x": 1.0}])
        assert caught.value.code in (Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED)
        with pytest.raises(ClientError) as caught:
            await client.regress("m", [encode_example({"x": 1.0})])
        assert caught.value.code in (Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED)


@pytest.mark.parametrize("protocol", ["tf_serving", "oip"])
async def test_every_type_there_and_back(address, protocol):
    kinds = tuple(DType) if protocol == "tf_serving" else IN_OIP
    async with AsyncClient(address, protocol=protocol) as client:
        for shape in ((), (0, 2), (3,), (2, 600)):
            inputs = {str(dtype): sample(dtype, shape) for dtype in kinds}
            outputs = await client.predict("echo", inputs, outputs=list(inputs))
            assert list(outputs) == list(inputs)
            assert [name for name in inputs if not same_bits(outputs[name], inputs[name])] == []


@pytest.mark.parametrize("protocol", ["tf_serving", "oip", "proton"])
async def test_a_large_tensor(address, protocol):
    x = np.arange(2_000_000, dtype=np.float32).reshape(-1, 2)
    async with AsyncClient(address, protocol=protocol) as client:
        [y] = [array for name, array in (await client.predict("m", {"x": x})).items() if name != "rows"]
    assert np.array_equal(y, x * 2)
    assert not y.flags.owndata  # a view of the answer


async def test_a_stream(address):
    async def requests():
        for index in range(3):
            name = "m" if index != 1 else "nobody"
            yield Request(Target(name), {"x": X * index}, request_id=str(index))

    async with AsyncClient(address, protocol="oip") as client:
        answers = [each async for each in client.stream(requests())]
        assert len(answers) == 3
        [failure] = [each for each in answers if isinstance(each, ClientError)]
        assert "nobody" in failure.message
        by_id = {each.request_id: each for each in answers if not isinstance(each, ClientError)}
        np.testing.assert_array_equal(by_id["2"]["y"], X * 4)
        async for _ in client.stream([Request(Target("m"), {"x": X})] * 3):
            break  # the rest is cancelled

    def ask():
        with Client(address, protocol="oip") as client:
            return list(client.stream(Request(Target("m"), {"x": X * index}) for index in range(3)))

    for index, answer in enumerate(await asyncio.to_thread(ask)):
        np.testing.assert_array_equal(answer["y"], X * 2 * index)


async def test_tokens(tmp_path):
    write_affine(tmp_path / "m", 1)
    (tmp_path / "tokens").write_text("app-1\n")
    config = HostConfig(
        models=(ModelConfig(path=str(tmp_path / "m"), stable_ms=0),),
        transports={"grpc": TransportSettings(port=0)},
        auth=AuthSettings(infer_token_file=str(tmp_path / "tokens")),
    )
    async with Host(config, registry=registry_of(runtimes=[AffineRuntime])) as host:
        address = f"127.0.0.1:{host.addresses['grpc'][0].port}"
        for protocol in ("tf_serving", "oip", "proton"):
            async with AsyncClient(address, protocol=protocol, token="app-1") as client:
                assert (await client.predict("m", {"x": X})).model == "m"
            async with AsyncClient(address, protocol=protocol) as client:
                with pytest.raises(ClientError) as caught:
                    await client.predict("m", {"x": X})
                assert caught.value.code is Code.UNAUTHENTICATED


async def test_what_a_protocol_has_not_is_said_before_anything_is_sent(address):
    async with AsyncClient(address, protocol="proton") as client:
        for call in (client.metadata("m"), client.status("m"), client.classify("m", []), client.ready("m")):
            with pytest.raises(UnsupportedError, match="Proton's protocol has no"):
                await call
