"""Asks a running server over HTTP, in the Open Inference Protocol, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

from navi_core.clients.http_connection import HttpConnection
from navi_core.contracts.client import Endpoint, Prediction, RemoteClient, RemoteVersion
from navi_core.errors import ErrorCode, RemoteError, RequestError
from navi_core.messages import ModelRef
from navi_core.signature import DEFAULT_SIGNATURE, Signature, TensorSpec
from navi_core.types import NamedArrays

__all__ = ["OipHttpClient"]

_NO_INDEX: Final = frozenset(
    {
        ErrorCode.INVALID_ARGUMENT,
        ErrorCode.NOT_FOUND,
        ErrorCode.PERMISSION_DENIED,
        ErrorCode.UNAUTHENTICATED,
        ErrorCode.UNIMPLEMENTED,
        ErrorCode.UNKNOWN,  # 405
    }
)
"""What a server answers that keeps no index of its repository, or not for everybody."""
_NOT_READY: Final = frozenset({ErrorCode.NOT_FOUND, ErrorCode.INVALID_ARGUMENT, ErrorCode.UNAVAILABLE})


class OipHttpClient(RemoteClient):
    """The Open Inference Protocol's REST API. Nothing is sent again.

    Parameters
    ----------
    endpoint
        Where the server listens.
    """

    name: ClassVar[str] = "oip+http"
    default_port: ClassVar[int] = 8501

    def __init__(self, endpoint: Endpoint) -> None:
        self._connection = HttpConnection(endpoint)

    @classmethod
    def connect(cls, endpoint: Endpoint) -> OipHttpClient:
        """Make a client; it connects with the first request."""
        return cls(endpoint)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def models(self, names: Sequence[str]) -> Sequence[RemoteVersion]:
        """Return the versions of the named models, or of all, as the index of the server's repository says them.

        Where a server has no index, named models are READY or UNAVAILABLE, which is all that the protocol says.
        """
        try:
            listed = self._index()
        except RemoteError as error:
            if not names or error.code not in _NO_INDEX:
                raise
            listed = []
        if not names:
            return listed
        known = {name: [each for each in listed if each.model == name] for name in names}
        return [version for name in names for version in known[name] or self._versions(name)]

    def _index(self) -> list[RemoteVersion]:
        content = self._connection.send("POST", "/v2/repository/index", b"{}")
        try:
            listed = json.loads(content)
            return [
                RemoteVersion(
                    str(each["name"]),
                    _version(each.get("version")),
                    str(each.get("state") or "unknown"),
                    str(each.get("reason", "")),
                )
                for each in listed
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._connection.unreadable("a list of models") from error

    def _versions(self, name: str) -> Iterator[RemoteVersion]:
        model = ModelRef(name)
        # a server may say no versions; then there is one, without a number
        for version in self._metadata(model).get("versions") or (None,):
            path = _model_path(model)
            try:
                self._connection.send(
                    "GET", f"{path}{f'/versions/{version}' * (version is not None)}/ready", None
                )
            except RemoteError as error:
                if error.code not in _NOT_READY:
                    raise
                yield RemoteVersion(name, _version(version), "UNAVAILABLE")
            else:
                yield RemoteVersion(name, _version(version), "READY")

    def signatures(self, model: ModelRef) -> Mapping[str, Signature]:
        """Return the one signature that the protocol has."""
        answer = self._metadata(model)
        try:
            inputs, outputs = (
                {each["name"]: _spec(each) for each in answer[key]} for key in ("inputs", "outputs")
            )
        except (KeyError, TypeError) as error:
            raise self._connection.unreadable("metadata") from error
        return {DEFAULT_SIGNATURE: Signature(inputs=inputs, outputs=outputs)}

    def _metadata(self, model: ModelRef) -> Any:
        return self._connection.get(_model_path(model))

    def predict(self, model: ModelRef, inputs: NamedArrays, signature: str) -> Prediction:
        """Send one request."""
        from navi_core.clients.exchanges.oip import OipHttp  # noqa: PLC0415 - registering this class must stay cheap

        exchange = OipHttp()
        request = exchange.record(model, inputs, signature)
        content = self._connection.send("POST", request.path, request.body)
        try:
            outputs = exchange.read(content)
        except RequestError as error:
            raise self._connection.unreadable(f"a prediction ({error.message})") from error
        return Prediction(outputs, _version(self._connection.parsed(content).get("model_version")))


def _model_path(model: ModelRef) -> str:
    from navi_core.clients.exchanges.oip import model_path  # noqa: PLC0415 - registering the class must stay cheap

    return model_path(model)


def _spec(tensor: Mapping[str, Any]) -> TensorSpec:
    from navi_core.wire.oip_dtypes import BY_NAME  # noqa: PLC0415 - registering the class must stay cheap

    kind = BY_NAME.get(tensor["datatype"])
    if kind is None:
        raise RemoteError(
            f"tensor '{tensor['name']}' has the element type {tensor['datatype']}, which is unknown here",
            code=ErrorCode.INTERNAL,
        )
    shape = tuple(None if size < 0 else int(size) for size in tensor["shape"])
    return TensorSpec(name=tensor["name"], dtype=kind.dtype, shape=shape)


def _version(value: Any) -> int | str | None:
    """Return a version as a number where it is one; None: the server did not say."""
    text = str(value or "")
    return int(text) if text.isascii() and text.isdigit() else text or None
