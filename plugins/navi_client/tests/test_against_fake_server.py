"""Retries, deadlines, metadata and failures, against a server that answers as the test says."""

from __future__ import annotations

import asyncio
import threading
import time

import grpc
import numpy as np
import pytest
from navi_client import (
    AsyncClient,
    Client,
    ClientError,
    Code,
    DecodeError,
    Request,
    Retries,
    Target,
    UnsupportedError,
)

from navi_core.wire.predict_proto import encode_predict_response

pytestmark = pytest.mark.integration

X = np.array([[1.5, -2.0]], np.float32)
QUICK = Retries(first_pause_s=0.001)


def answer(value=1.0):
    pieces, _ = encode_predict_response(
        {"y": np.array([value], np.float32)}, model="m", version=1, signature="s"
    )
    return b"".join(pieces)


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """Return a function that makes a client, calls one method and closes it: ``await ask(server, "predict", ...)``."""

    async def asynchronous(server, method, *arguments, settings=None, **options):
        async with AsyncClient(server.address, **(settings or {})) as client:
            return await getattr(client, method)(*arguments, **options)

    async def synchronous(server, method, *arguments, settings=None, **options):
        def run():
            with Client(server.address, **(settings or {})) as client:
                return getattr(client, method)(*arguments, **options)

        return await asyncio.to_thread(run)

    return synchronous if request.param == "sync" else asynchronous


@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNKNOWN])
async def test_two_failures_and_then_an_answer(fake, ask, code):
    fake.answers = [code, code, answer(2.5)]
    outputs = await ask(fake, "predict", "m", {"x": X}, settings={"retries": QUICK})
    assert outputs["y"].tolist() == [2.5]
    assert len(fake.calls) == 3
    assert len({body for _, body, _, _ in fake.calls}) == 1


async def test_three_failures_are_one_too_many(fake, ask):
    fake.answers = [grpc.StatusCode.RESOURCE_EXHAUSTED]
    with pytest.raises(ClientError) as caught:
        await ask(fake, "predict", "m", {"x": X}, settings={"retries": QUICK})
    assert (caught.value.code, caught.value.retries) == (Code.RESOURCE_EXHAUSTED, 2)
    assert caught.value.message == "words of RESOURCE_EXHAUSTED"
    assert str(caught.value).startswith(f"{fake.address}: RESOURCE_EXHAUSTED: words")
    assert len(fake.calls) == 3


@pytest.mark.parametrize(
    "code",
    [code for code in grpc.StatusCode if code.name not in ("OK", "RESOURCE_EXHAUSTED", "UNKNOWN")],
)
async def test_no_other_failure_is_tried_again(fake, ask, code):
    fake.answers = [code, answer()]
    with pytest.raises(ClientError) as caught:
        await ask(fake, "predict", "m", {"x": X})
    assert (caught.value.code.name, caught.value.retries) == (code.name, 0)
    assert len(fake.calls) == 1


async def test_retries_may_be_turned_off(fake, ask):
    fake.answers = [grpc.StatusCode.UNKNOWN, answer()]
    with pytest.raises(ClientError, match="UNKNOWN"):
        await ask(fake, "predict", "m", {"x": X}, settings={"retries": 0})
    assert len(fake.calls) == 1


async def test_a_deadline_ends_the_request(fake, ask):
    fake.answers = [lambda body, context: fake.released.wait(60) and body]
    began = time.monotonic()
    with pytest.raises(ClientError) as caught:
        await ask(fake, "predict", "m", {"x": X}, timeout_s=2)
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 40
    [(_, _, _, left_s)] = fake.calls
    assert left_s < 2.1  # the server is told


async def test_each_attempt_is_given_what_is_left(fake, ask):
    def slow(body, context):
        del body
        fake.released.wait(0.2)
        context.abort(grpc.StatusCode.UNKNOWN, "again")

    fake.answers = [slow, slow, answer()]
    await ask(fake, "predict", "m", {"x": X}, settings={"retries": QUICK, "timeout_s": 5})
    first, _, third = (left_s for _, _, _, left_s in fake.calls)
    assert third < first - 0.2  # gRPC rounds what it tells the server up, by as much as a tenth of a second


async def test_what_is_sent_beside_the_message(fake, ask):
    fake.answers = [answer()]
    settings = {"token": "secret", "metadata": {"X-Tenant": "a"}, "compression": "gzip"}
    large = {"x": np.zeros(100_000, np.float32)}
    await ask(fake, "predict", "m", large, settings=settings)
    [(method, body, metadata, _)] = fake.calls
    assert method == "/tensorflow.serving.PredictionService/Predict"
    assert metadata["authorization"] == "Bearer secret"
    assert metadata["x-tenant"] == "a"
    assert len(body) > 400_000  # inflated again: gzip is the transport's affair


async def test_nobody_there(ask, fake):
    fake.stop()
    with pytest.raises(ClientError) as caught:
        await ask(fake, "live", timeout_s=5)
    assert caught.value.code is Code.UNAVAILABLE


async def test_an_answer_that_is_none(fake, ask):
    fake.answers = [b"\xff\xff"]
    with pytest.raises(DecodeError, match=r"127\.0\.0\.1.*expected a tensorflow\.serving\.PredictResponse"):
        await ask(fake, "predict", "m", {"x": X})


async def test_a_request_over_the_limit_is_not_sent(fake, ask):
    with pytest.raises(ClientError, match="request: expected at most 1000 bytes, got 4"):
        await ask(
            fake, "predict", "m", {"x": np.zeros(1000, np.float32)}, settings={"max_message_bytes": 1000}
        )
    assert fake.calls == []


async def test_failures_that_are_answers(fake, ask):
    fake.answers = [grpc.StatusCode.NOT_FOUND]
    assert await ask(fake, "ready", "m") is False
    fake.answers = [grpc.StatusCode.UNIMPLEMENTED]
    assert await ask(fake, "live") is True  # a TensorFlow Serving without the health service
    with pytest.raises(ClientError, match="UNIMPLEMENTED"):
        await ask(fake, "ready")
    with pytest.raises(ValueError, match="expected a name beside version 3"):
        await ask(fake, "ready", version=3)


async def test_health_decides_where_the_protocol_has_no_question(fake, ask):
    fake.answers = [b"\x08\x01", b"\x08\x02"]
    assert await ask(fake, "ready", settings={"protocol": "proton"}) is True
    assert await ask(fake, "ready", settings={"protocol": "proton"}) is False
    assert {method for method, *_ in fake.calls} == {"/grpc.health.v1.Health/Check"}


async def test_every_method_asks_for_its_own(fake, ask):
    fake.answers = [b""]
    assert await ask(fake, "classify", "m", [{"a": 1}]) == []
    assert (await ask(fake, "regress", "m", [{"a": 1}])).shape == (0,)
    assert await ask(fake, "status", "m", version=3) == []
    oip = {"protocol": "oip", "keepalive_s": 30, "channel_options": [("grpc.default_authority", "ranker")]}
    assert (await ask(fake, "metadata", "m", settings=oip)).model == ""
    assert await ask(fake, "live", settings=oip) is False
    assert await ask(fake, "ready", settings=oip) is False
    assert [method.rsplit("/", 1)[1] for method, *_ in fake.calls] == [
        "Classify",
        "Regress",
        "GetModelStatus",
        "ModelMetadata",
        "ServerLive",
        "ServerReady",
    ]


async def test_arguments_that_cannot_be(fake, ask):
    with pytest.raises(TypeError, match="outputs: expected a sequence of names, got 'y'"):
        await ask(fake, "predict", "m", {"x": X}, outputs="y")
    with pytest.raises(ValueError, match="timeout_s"):
        await ask(fake, "predict", "m", {"x": X}, timeout_s=-1)
    assert fake.calls == []


def test_a_closed_client_says_so(fake):
    fake.answers = [answer()]
    client = Client(fake.address)
    client.predict("m", {"x": X})
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="is closed"):
        client.predict("m", {"x": X})


async def test_a_closed_async_client_says_so(fake):
    fake.answers = [answer()]
    client = AsyncClient(fake.address)
    await client.predict("m", {"x": X})
    await client.close()
    await client.close()
    with pytest.raises(RuntimeError, match="is closed"):
        await client.predict("m", {"x": X})


async def test_a_cancelled_request_is_cancelled_and_the_client_goes_on(fake):
    fake.answers = [lambda body, context: fake.released.wait(60) and body, answer()]
    async with AsyncClient(fake.address) as client:
        task = asyncio.create_task(client.predict("m", {"x": X}))
        while not fake.calls:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.predict("m", {"x": X}))["y"].tolist() == [1]


def test_threads_share_one_client(fake):
    fake.answers = [lambda body, context: answer(len(body))]
    failures = []
    with Client(fake.address) as client:

        def run(size):
            x = {"x": np.zeros(size, np.float32)}
            expected = client.predict("m", x)["y"].tolist()
            for _ in range(20):
                if client.predict("m", x)["y"].tolist() != expected:
                    failures.append(size)

        threads = [threading.Thread(target=run, args=(size,)) for size in (1, 40, 400, 4000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    assert len(fake.calls) == 84


def test_streams_that_fail(fake):
    with Client(fake.address, protocol="oip") as client:
        with pytest.raises(ClientError, match="UNAVAILABLE: no streams today"):
            list(client.stream([Request(Target("m"), {"x": X})]))
        with pytest.raises(TypeError, match="complex"):
            list(client.stream([Request(Target("m"), {"x": np.ones(1, complex)})]))
    with Client(fake.address) as client, pytest.raises(UnsupportedError, match="streams"):
        list(client.stream([]))


async def test_async_streams_that_fail(fake):
    async with AsyncClient(fake.address, protocol="oip") as client:
        with pytest.raises(ClientError, match="UNAVAILABLE: no streams today"):
            [each async for each in client.stream([Request(Target("m"), {"x": X})])]
        with pytest.raises(TypeError, match="complex"):
            [each async for each in client.stream([Request(Target("m"), {"x": np.ones(1, complex)})])]
