"""Registers the service ``toy_sum``: numbers in, the sum of the model's answers out, as text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from navi_core import (
    GRPC_STATUS,
    HTTP_STATUS,
    Call,
    DecodeError,
    HttpRoute,
    InferenceRequest,
    ModelRef,
    NaviError,
    Operation,
    Response,
    RpcKind,
    RpcMethod,
    Service,
    ServiceContext,
    hookimpl,
)

_TEXT = (("content-type", "text/plain"),)


class ToySum(Service):
    """``POST /toy/MODEL`` and ``/toy.Toy/Sum``: the body is ``MODEL 1 2 3`` or ``1 2 3``."""

    name = "toy_sum"

    def __init__(self, context: ServiceContext) -> None:
        self._plane = context.plane

    @classmethod
    def create(cls, context: ServiceContext) -> Service:
        """Build the service."""
        return cls(context)

    def rpc_methods(self) -> Mapping[str, RpcMethod]:
        """Return the one RPC."""
        return {"/toy.Toy/Sum": RpcMethod(kind=RpcKind.UNARY, handler=self._rpc, operation=Operation.INFER)}

    def http_routes(self) -> Sequence[HttpRoute]:
        """Return the one route."""
        pattern = re.compile(r"/toy/(?P<model>[^/]+)")
        return (HttpRoute(verb="POST", pattern=pattern, handler=self._http, operation=Operation.INFER),)

    def openapi(self) -> dict[str, Any]:
        """Return what the one route takes and answers."""
        text = {"content": {"text/plain": {"schema": {"type": "string"}}}}
        answers = {"200": "The sum.", "400": "No numbers.", "404": "No such model.", "503": "Not now."}
        post = {
            "operationId": "sum",
            "requestBody": text,
            "responses": {status: {"description": said, **text} for status, said in answers.items()},
        }
        model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
        return {"paths": {"/toy/{model}": {"parameters": [model], "post": post}}}

    async def _rpc(self, call: Call) -> Response:
        model, _, numbers = bytes(call.body).partition(b" ")
        try:
            return Response(status=0, body=await self._sum(model.decode("utf-8", "replace"), numbers, call))
        except NaviError as error:
            return Response(status=GRPC_STATUS[error.code], message=error.message)

    async def _http(self, call: Call) -> Response:
        try:
            body = await self._sum(call.match["model"], bytes(call.body), call)
            return Response(status=200, body=body, headers=_TEXT)
        except NaviError as error:
            status = HTTP_STATUS[error.code]
            return Response(status=status, body=error.message.encode(), headers=_TEXT)

    async def _sum(self, model: str, numbers: bytes, call: Call) -> bytes:
        try:
            x = np.array([float(text) for text in numbers.split()], np.float32)
        except ValueError:
            error = DecodeError("expected numbers between blanks", model=model)
            asker = {"service": self.name, "transport": call.transport, "method": "sum"}
            self._plane.refused(ModelRef(model), error, **asker)
            raise error from None
        response = await self._plane.infer(
            ModelRef(model),
            InferenceRequest(
                inputs={"x": x}, deadline=call.deadline, service=self.name, transport=call.transport
            ),
        )
        total = sum(float(array.sum()) for array in response.outputs.values())
        response.release()
        return f"{total:g}".encode()


@hookimpl
def navi_register_services() -> Sequence[type[Service]]:
    """Register the service."""
    return [ToySum]
