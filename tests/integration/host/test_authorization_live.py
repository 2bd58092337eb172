"""Every RPC and every route of a host with token files: without a token, with a bad one, with each good one."""

from __future__ import annotations

import grpc.aio
import pytest
from aiohttp import ClientSession

from navi_core import AuthSettings, Host, HostConfig, ModelConfig, TransportSettings
from navi_core.contracts.service import Call, Operation
from navi_core.errors import ErrorCode, NaviError
from navi_core.testing.affine import AffineRuntime, write_affine
from navi_core.testing.registries import registry_of

pytestmark = pytest.mark.integration

TOKENS = {"none": None, "bad": "nobody", "infer": "app-1", "admin": "root-1"}
REFUSED = {ErrorCode.UNAUTHENTICATED: 16, ErrorCode.PERMISSION_DENIED: 7}

EXPECTED = {
    Operation.READ: {"none": None, "bad": None, "infer": None, "admin": None},
    Operation.INFER: {
        "none": ErrorCode.UNAUTHENTICATED,
        "bad": ErrorCode.UNAUTHENTICATED,
        "infer": None,
        "admin": None,
    },
    Operation.ADMIN: {
        "none": ErrorCode.UNAUTHENTICATED,
        "bad": ErrorCode.UNAUTHENTICATED,
        "infer": ErrorCode.PERMISSION_DENIED,
        "admin": None,
    },
}


@pytest.fixture
async def host(tmp_path):
    write_affine(tmp_path / "m", 1)
    (tmp_path / "admin").write_text("root-1\n")
    (tmp_path / "infer").write_text("app-1\n")
    config = HostConfig(
        models=(ModelConfig(path=str(tmp_path / "m"), stable_ms=0),),
        transports={"grpc": TransportSettings(port=0), "http": TransportSettings(port=0)},
        admin=True,
        auth=AuthSettings(admin_token_file=str(tmp_path / "admin"), infer_token_file=str(tmp_path / "infer")),
    )
    async with Host(config, registry=registry_of(runtimes=[AffineRuntime])) as running:
        yield running


def metadata(token):
    return {} if token is None else {"authorization": f"Bearer {token}"}


def target_of(host, transport):
    return str(host.addresses[transport][0]).split("//")[-1]


async def test_every_rpc_over_a_real_connection(host):
    seen = set()
    async with grpc.aio.insecure_channel(target_of(host, "grpc")) as channel:
        for path in host.router.rpc_paths():
            method = host.router.rpc(path)
            seen.add(method.operation)
            for name, token in TOKENS.items():
                status = await status_of(channel, path, method.kind, tuple(metadata(token).items()))
                expected = EXPECTED[method.operation][name]
                if expected is None:
                    assert status not in REFUSED.values(), (path, name)
                else:
                    assert status == REFUSED[expected], (path, name)
    assert {Operation.READ, Operation.INFER} <= seen


async def status_of(channel, path, kind, sent):
    """Return the status number of one call with an empty message."""
    try:
        if kind.streams_requests:
            call = channel.stream_stream(path)(iter([b""]), metadata=sent, timeout=5)
        elif kind.streams_responses:
            call = channel.unary_stream(path)(b"", metadata=sent, timeout=5)
        else:
            await channel.unary_unary(path)(b"", metadata=sent, timeout=5)
            return 0
        async for _ in call:  # the first answer of a stream that never ends says enough
            call.cancel()
            return 0
    except grpc.aio.AioRpcError as error:
        return error.code().value[0]
    return 0


async def test_every_http_route(host):
    routes = list(host.router.http_routes())
    assert {route.operation for route in routes} >= {Operation.READ, Operation.INFER}
    for route in routes:
        for name, token in TOKENS.items():
            expected = EXPECTED[route.operation][name]
            call = Call(path="/", verb=route.verb, metadata=metadata(token))
            if expected is None:
                route.handler(call).close()  # let through; what it would do is no matter here
                continue
            with pytest.raises(NaviError) as refused:
                route.handler(call)
            assert refused.value.code is expected, (route.pattern.pattern, name)


async def test_a_refusal_over_http_says_what_to_bring(host):
    url = f"http://{target_of(host, 'http')}/v1/models/m"
    body = {"instances": [[1.0, 2.0]]}
    async with ClientSession() as session:
        async with session.post(f"{url}:predict", json=body) as refused:
            assert refused.status == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert "authorization: Bearer TOKEN" in (await refused.json())["error"]
        async with session.post(f"{url}:predict", json=body, headers=metadata("nobody")) as refused:
            assert refused.status == 401
        async with session.post(f"{url}:predict", json=body, headers=metadata("app-1")) as allowed:
            assert allowed.status == 200
        async with session.get(url) as status:
            assert status.status == 200
