"""Asks a running server over HTTP, in TensorFlow Serving's protocol. The standard library's client is enough."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import quote

from navi_core.clients.signature_defs import read_signatures
from navi_core.contracts.client import Endpoint, Prediction, RemoteClient, RemoteVersion
from navi_core.errors import ErrorCode, RemoteError, RequestError, UnsupportedError
from navi_core.messages import ModelRef
from navi_core.signature import DEFAULT_SIGNATURE, Signature
from navi_core.types import NamedArrays
from navi_core.wire import tf_serving
from navi_core.wire.plain_json import to_json_value
from navi_core.wire.tensor_json import decode_json_request

__all__ = ["TfServingHttpClient"]

_CODES: Final = {
    400: ErrorCode.INVALID_ARGUMENT,
    401: ErrorCode.UNAUTHENTICATED,
    403: ErrorCode.PERMISSION_DENIED,
    404: ErrorCode.NOT_FOUND,
    409: ErrorCode.ALREADY_EXISTS,
    412: ErrorCode.FAILED_PRECONDITION,
    413: ErrorCode.RESOURCE_EXHAUSTED,
    429: ErrorCode.RESOURCE_EXHAUSTED,
    500: ErrorCode.INTERNAL,
    501: ErrorCode.UNIMPLEMENTED,
    503: ErrorCode.UNAVAILABLE,
    504: ErrorCode.DEADLINE_EXCEEDED,
}
_READ_BYTES: Final = 1 << 20
_MAX_ANSWER_BYTES: Final = 2**31 - 1


class TfServingHttpClient(RemoteClient):
    """TensorFlow Serving's REST API. Nothing is sent again.

    Parameters
    ----------
    endpoint
        Where the server listens.
    """

    name: ClassVar[str] = "tf-serving+http"
    default_port: ClassVar[int] = 8501

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._headers = {"Content-Type": "application/json"}
        if endpoint.token is not None:
            self._headers["authorization"] = f"Bearer {endpoint.token}"
        self._signatures: dict[ModelRef, Mapping[str, Signature]] = {}
        self._connection: http.client.HTTPConnection
        if endpoint.tls:
            self._connection = http.client.HTTPSConnection(
                endpoint.host, endpoint.port, context=_tls_context(endpoint)
            )
        else:
            self._connection = http.client.HTTPConnection(endpoint.host, endpoint.port)

    @classmethod
    def connect(cls, endpoint: Endpoint) -> TfServingHttpClient:
        """Make a client; it connects with the first request."""
        if endpoint.max_retries:
            raise UnsupportedError("retries are not supported over http: ask over grpc, or without them")
        return cls(endpoint)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def models(self, names: Sequence[str]) -> Sequence[RemoteVersion]:
        """Return the versions of the named models, or of all."""
        if names:
            answers = [
                (name, _items(self._get(f"/v1/models/{quote(name, safe='')}"), "model_version_status"))
                for name in names
            ]
        else:
            listed = _items(self._get("/v1/models"), "models")
            answers = [(str(each.get("name")), _items(each, "model_version_status")) for each in listed]
        try:
            return [version for name, statuses in answers for version in _versions(name, statuses)]
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreadable("states of versions") from error

    def signatures(self, model: ModelRef) -> Mapping[str, Signature]:
        """Return the signatures of the version that a request would go to."""
        if model in self._signatures:
            return self._signatures[model]
        from google.protobuf import json_format  # noqa: PLC0415 - registering this class must stay cheap

        answer = self._get(f"{_path(model)}/metadata")
        message = tf_serving.SignatureDefMap()
        try:
            # The key of the metadata, and in it the field of the map. The "@type" beside it is not a field.
            described = {"signature_def": answer["metadata"]["signature_def"]["signature_def"]}
            json_format.ParseDict(described, message, ignore_unknown_fields=True)
        except (KeyError, TypeError, json_format.ParseError) as error:
            raise self._unreadable("metadata") from error
        self._signatures[model] = read_signatures(message)
        return self._signatures[model]

    def predict(self, model: ModelRef, inputs: NamedArrays, signature: str) -> Prediction:
        """Send one request, in column form."""
        known = self.signatures(model).get(signature)
        body: dict[str, Any] = {
            "inputs": {name: to_json_value(array, base64=True) for name, array in inputs.items()}
        }
        if signature != DEFAULT_SIGNATURE:
            body["signature_name"] = signature
        content = self._send("POST", f"{_path(model)}:predict", json.dumps(body).encode())
        answer = self._parsed(content)
        if known is None or "outputs" not in answer:
            raise self._unreadable("a prediction")
        # outputs have the form of a request's inputs: the same rules make them tensors of the signature's types
        try:
            decoded = decode_json_request(
                json.dumps({"inputs": answer["outputs"]}).encode(), lambda _: known.outputs
            )
        except RequestError as error:
            raise self._unreadable(f"outputs as the metadata says ({error.message})") from error
        return Prediction(decoded.inputs, model.version)

    def _get(self, path: str) -> Any:
        return self._parsed(self._send("GET", path, None))

    def _send(self, verb: str, path: str, body: bytes | None) -> bytes:
        where = self._endpoint.address
        try:
            response, content = self._exchange(verb, path, body)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            code = ErrorCode.DEADLINE_EXCEEDED if isinstance(error, TimeoutError) else ErrorCode.UNAVAILABLE
            raise RemoteError(
                f"{where} cannot be asked: {str(error) or type(error).__name__}", code=code
            ) from error
        if response.status != http.client.OK:
            raise RemoteError(
                f"{where} answered {response.status} {response.reason}: {_error_text(content)}",
                code=_CODES.get(response.status, ErrorCode.UNKNOWN),
            )
        return content

    def _exchange(self, verb: str, path: str, body: bytes | None) -> tuple[http.client.HTTPResponse, bytes]:
        """Send a request and read its answer; raises TimeoutError if both together take too long."""
        deadline = time.monotonic() + self._endpoint.timeout_s
        connection = self._connection
        connection.timeout = self._endpoint.timeout_s
        if connection.sock is None:
            connection.connect()
        socket = connection.sock
        socket.settimeout(_left_s(deadline))
        connection.request(verb, path, body, self._headers)
        socket.settimeout(_left_s(deadline))
        response = connection.getresponse()
        content = bytearray()
        # a timeout of the socket is for each piece: a server may send them one by one for ever
        while piece := response.read1(_READ_BYTES):
            content += piece
            if len(content) > _MAX_ANSWER_BYTES:
                raise http.client.HTTPException(f"expected at most {_MAX_ANSWER_BYTES} bytes, got more")
            if response.isclosed():
                break
            socket.settimeout(_left_s(deadline))
        if response.length:  # reading in pieces does not notice an end that came early
            raise http.client.IncompleteRead(bytes(content), response.length)
        response.close()  # the connection is for the next request
        return response, bytes(content)

    def _parsed(self, content: bytes) -> Any:
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise self._unreadable("JSON") from error
        if not isinstance(answer, dict):
            raise self._unreadable("an object")
        return answer

    def _unreadable(self, expected: str) -> RemoteError:
        return RemoteError(
            f"{self._endpoint.address}: expected {expected}, got something else", code=ErrorCode.INTERNAL
        )


def _tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=endpoint.ca_file)
    if endpoint.cert_file is not None:
        context.load_cert_chain(endpoint.cert_file, endpoint.key_file)
    return context


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s


def _items(answer: Mapping[str, Any], key: str) -> list[Any]:
    items = answer.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _versions(name: str, statuses: Sequence[Mapping[str, Any]]) -> list[RemoteVersion]:
    if not statuses:
        return [RemoteVersion(name, None, "no version yet")]
    return [
        RemoteVersion(
            name,
            int(each["version"]),
            str(each["state"]),
            str(each.get("status", {}).get("error_message", "")),
            tuple(each.get("labels", ())),
        )
        for each in statuses
    ]


def _path(model: ModelRef) -> str:
    path = f"/v1/models/{quote(model.name, safe='')}"
    if model.version is not None:
        return f"{path}/versions/{model.version}"
    if model.label is not None:
        return f"{path}/labels/{quote(model.label, safe='')}"
    return path


def _error_text(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode("utf-8", "replace")
