"""Calls as transports make them, and requests as clients write them."""

from __future__ import annotations

import json

from google.protobuf import text_format

from navi_core.authorization import Authorization
from navi_core.contracts.service import Call
from navi_core.routing import HostRouter
from navi_core.wire import oip

PREFIX = "/inference.GRPCInferenceService/"


def body_of(response):
    pieces = [response.body] if isinstance(response.body, bytes | memoryview) else response.body
    body = b"".join(pieces)
    if response.on_written is not None:
        response.on_written()
    return body


async def messages_of(*bodies):
    for body in bodies:
        yield body


async def call_rpc(service, rpc, body=b"", **kwargs):
    method = service.rpc_methods()[PREFIX + rpc]
    return await method.handler(Call(path=PREFIX + rpc, body=body, transport="grpc", **kwargs))


async def ask(service, rpc, text="", **kwargs):
    """Send a request in text format; return the response message, or the failed response."""
    request = text_format.Parse(
        text, oip.DESCRIPTORS.message_class(f"{rpc}Request")(), descriptor_pool=oip.DESCRIPTORS.pool
    )
    response = await call_rpc(service, rpc, request.SerializeToString(), **kwargs)
    if response.status:
        return response
    return oip.DESCRIPTORS.message_class(f"{rpc}Response").FromString(body_of(response))


async def stream(service, *bodies, **kwargs):
    """Send messages as one stream; return the responses, and the error that it ended with."""
    call = Call(path=f"{PREFIX}ModelStreamInfer", messages=messages_of(*bodies), transport="grpc", **kwargs)
    response = await service.rpc_methods()[call.path].handler(call)
    assert response.status == 0
    return [oip.ModelStreamInferResponse.FromString(message) async for message in response.stream]


async def call_http(service, verb, path, body=b"", headers=None, **kwargs):
    """Route and call; None where no route takes it."""
    match = HostRouter([service], authorization=Authorization(allow_admin=True)).http(verb, path, "")
    if match.route is None:
        return None
    call = Call(
        path=path,
        verb=verb,
        body=body,
        match=match.groups,
        metadata=headers or {},
        transport="http",
        **kwargs,
    )
    return await match.route.handler(call)


async def get(service, path):
    """GET a document; return status and document."""
    response = await call_http(service, "GET", path)
    body = body_of(response)
    return response.status, json.loads(body) if body else None


async def post(service, path, document=None, **kwargs):
    """POST a document; return status and document."""
    body = b"" if document is None else json.dumps(document).encode()
    response = await call_http(service, "POST", path, body, **kwargs)
    body = body_of(response)
    return response.status, json.loads(body) if body else None


def tensor(name, datatype, shape, data=None, **parameters):
    """Return an input of a JSON request."""
    found = {"name": name, "datatype": datatype, "shape": list(shape)}
    if data is not None:
        found["data"] = data
    if parameters:
        found["parameters"] = parameters
    return found
