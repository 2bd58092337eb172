"""Every RPC and every route of a host with token files: without a token, with a bad one, with each good one."""

from __future__ import annotations

import grpc.aio
import pytest
from aiohttp import ClientSession
from yarl import URL

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
            call = channel.stream_stream(path)(iter([b""]), metadata=sent, timeout=60)
        elif kind.streams_responses:
            call = channel.unary_stream(path)(b"", metadata=sent, timeout=60)
        else:
            await channel.unary_unary(path)(b"", metadata=sent, timeout=60)
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


PATHS = {
    Operation.INFER: [
        "POST /v1/models/m:predict",
        "POST /V1/Models/m/versions/1:classify",
        "POST /v1/models/%6d/labels/stable:regress",
        "POST /v1/models/nobody:predict",
        "POST /v1/models/m:PREDICT",
        "POST /v2/models/m/infer",
        "POST /v2/models/%6d/versions/1/infer",
        "POST /predict",
    ],
    Operation.ADMIN: [
        "POST /v2/repository/models/nobody/load",
        "POST /v2/repository/models/%6eobody/load",
        "POST /v2/repository/models/nobody/unload",
    ],
    Operation.READ: [
        "GET /v1/models",
        "GET /v1/models/m/metadata",
        "OPTIONS /v1/models/m:predict",
        "POST /v1/nothing",  # malformed
        "GET /v2",
        "GET /v2/health/live",
        "GET /v2/health/ready",
        "GET /v2/models",
        "GET /v2/models/stats",
        "GET /v2/models/m/versions/1",
        "GET /v2/models/m/ready",
        "GET /v2/models/m/config",
        "POST /v2/repository/index",
        # what is not there, and says so
        *(f"{verb} /v2/{kind}sharedmemory/status" for verb in ("GET", "POST") for kind in ("system", "cuda")),
        *(f"{verb} /v2/{part}" for verb in ("GET", "POST") for part in ("trace/setting", "logging")),
        *(f"{verb} /v2/models/m/generate" for verb in ("GET", "POST")),
        *(f"{verb} /v2/repository/elsewhere/models/m/load" for verb in ("GET", "POST")),
        "GET /models",
        "GET /ready",
        "GET /healthz/live",
        "GET /healthz/ready",
        "GET /metrics",
        "GET /openapi.json",
        "GET /",
    ],
}
"""What a path is for, in every spelling that finds it."""


@pytest.mark.parametrize(("name", "token"), TOKENS.items())
async def test_every_http_path_over_a_real_connection(host, name, token):
    statuses = {ErrorCode.UNAUTHENTICATED: 401, ErrorCode.PERMISSION_DENIED: 403}
    origin = f"http://{target_of(host, 'http')}"
    reached = set()
    async with ClientSession() as session:
        for operation, paths in PATHS.items():
            for verb, path in (each.split() for each in paths):
                url = URL(origin + path, encoded=True)
                async with session.request(verb, url, headers=metadata(token)) as answer:
                    expected = EXPECTED[operation][name]
                    if expected is None:
                        assert answer.status not in statuses.values(), (verb, path)
                    else:
                        assert answer.status == statuses[expected], (verb, path)
                reached.add(host.router.http(verb, path, "").route.pattern.pattern + verb)
    routes = {route.pattern.pattern + route.verb.replace("*", "POST") for route in host.router.http_routes()}
    assert routes == reached, "a new route needs a path in PATHS"


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
