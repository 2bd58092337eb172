"""Asks a running server over HTTP, in Proton's protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from navi_core.clients.http_connection import HttpConnection
from navi_core.contracts.client import Endpoint, Prediction, RemoteClient, RemoteVersion
from navi_core.errors import ErrorCode, RemoteError, RequestError
from navi_core.messages import ModelRef
from navi_core.signature import DEFAULT_SIGNATURE, Signature, TensorSpec
from navi_core.tensors import DType
from navi_core.types import NamedArrays

__all__ = ["ProtonHttpClient"]


class ProtonHttpClient(RemoteClient):
    """Proton's REST API: one float32 tensor goes in, and one comes out. Nothing is sent again.

    Parameters
    ----------
    endpoint
        Where the server listens.
    """

    name: ClassVar[str] = "proton+http"
    default_port: ClassVar[int] = 8501

    def __init__(self, endpoint: Endpoint) -> None:
        self._connection = HttpConnection(endpoint)

    @classmethod
    def connect(cls, endpoint: Endpoint) -> ProtonHttpClient:
        """Make a client; it connects with the first request."""
        return cls(endpoint)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def models(self, names: Sequence[str]) -> Sequence[RemoteVersion]:
        """Return the named models, or all: the protocol has no versions, and one state for all models together."""
        listed = self._connection.get("/models").get("models")
        try:
            known = [str(each["name"]) for each in listed]
        except (KeyError, TypeError) as error:
            raise self._connection.unreadable("a list of models") from error
        unknown = next((name for name in names if name not in known), None)
        if unknown is not None:
            raise RemoteError(f"the server lists no model '{unknown}'", code=ErrorCode.NOT_FOUND)
        state = "READY" if self._connection.get("/ready").get("healthy") is True else "UNAVAILABLE"
        return [RemoteVersion(name, None, state) for name in names or known]

    def signatures(self, model: ModelRef) -> Mapping[str, Signature]:
        """Return the one signature that the protocol has room for."""
        del model
        data = {"data": TensorSpec(name="data", dtype=DType.FLOAT32)}
        return {DEFAULT_SIGNATURE: Signature(inputs=data, outputs=data)}

    def predict(self, model: ModelRef, inputs: NamedArrays, signature: str) -> Prediction:
        """Send one request."""
        from navi_core.clients.exchanges.proton import ProtonHttp  # noqa: PLC0415 - registering must stay cheap

        exchange = ProtonHttp()
        request = exchange.record(model, inputs, signature)
        content = self._connection.send("POST", request.path, request.body)
        try:
            return Prediction(exchange.read(content), None)
        except RequestError as error:
            raise self._connection.unreadable(f"a prediction ({error.message})") from error
