"""Asks a running host over REST, in TensorFlow Serving's protocol. The standard library's client is enough."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from google.protobuf import json_format

from navi_core.cli.endpoint import Endpoint, ModelVersion, Prediction, Target
from navi_core.cli.failures import CommandError
from navi_core.cli.json_values import to_json_value
from navi_core.cli.signature_defs import read_signatures
from navi_core.signature import DEFAULT_SIGNATURE, Signature
from navi_core.types import NamedArrays
from navi_core.wire import tf_serving
from navi_core.wire.tensor_json import decode_json_request

__all__ = ["RestClient"]


class RestClient:
    """A blocking client; a context manager.

    Parameters
    ----------
    endpoint
        Where the host listens.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._connection: http.client.HTTPConnection
        self._signatures: dict[Target, Mapping[str, Signature]] = {}
        if endpoint.tls:
            context = ssl.create_default_context(cafile=None if endpoint.ca is None else str(endpoint.ca))
            if endpoint.certificate is not None:
                context.load_cert_chain(endpoint.certificate, endpoint.key)
            self._connection = http.client.HTTPSConnection(
                endpoint.host, endpoint.port, timeout=endpoint.timeout_s, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(
                endpoint.host, endpoint.port, timeout=endpoint.timeout_s
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def models(self, names: Sequence[str]) -> Sequence[ModelVersion]:
        """Return the versions of the named models, or of all."""
        if names:
            answers = [
                (name, _items(self._get(f"/v1/models/{quote(name, safe='')}"), "model_version_status"))
                for name in names
            ]
        else:
            listed = _items(self._get("/v1/models"), "models")
            answers = [(each["name"], _items(each, "model_version_status")) for each in listed]
        return [version for name, statuses in answers for version in _versions(name, statuses)]

    def signatures(self, target: Target) -> Mapping[str, Signature]:
        """Return the signatures of the version that a request would go to."""
        if target in self._signatures:
            return self._signatures[target]
        answer = self._get(f"{_path(target)}/metadata")
        message = tf_serving.SignatureDefMap()
        try:
            # The key of the metadata, and in it the field of the map. The "@type" beside it is not a field.
            described = {"signature_def": answer["metadata"]["signature_def"]["signature_def"]}
            json_format.ParseDict(described, message, ignore_unknown_fields=True)
        except (KeyError, TypeError, json_format.ParseError) as error:
            raise self._unreadable("metadata") from error
        self._signatures[target] = read_signatures(message)
        return self._signatures[target]

    def predict(self, target: Target, inputs: NamedArrays) -> Prediction:
        """Send one request, in column form."""
        signature = self.signatures(target).get(target.signature or DEFAULT_SIGNATURE)
        body: dict[str, Any] = {
            "inputs": {name: to_json_value(array, base64=True) for name, array in inputs.items()}
        }
        if target.signature:
            body["signature_name"] = target.signature
        content = self._send("POST", f"{_path(target)}:predict", json.dumps(body).encode())
        answer = self._parsed(content)
        if signature is None or "outputs" not in answer:
            raise self._unreadable("a prediction")
        # outputs have the form of a request's inputs: the same rules make them tensors of the signature's types
        decoded = decode_json_request(
            json.dumps({"inputs": answer["outputs"]}).encode(), lambda _: signature.outputs
        )
        return Prediction(decoded.inputs, target.version)

    def _get(self, path: str) -> Any:
        return self._parsed(self._send("GET", path, None))

    def _send(self, verb: str, path: str, body: bytes | None) -> bytes:
        where = self._endpoint.address
        try:
            headers = {"Content-Type": "application/json", **self._endpoint.metadata}
            self._connection.request(verb, path, body, headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            msg = f"{where} cannot be asked: {str(error) or type(error).__name__}"
            raise CommandError(msg) from error
        if response.status != http.client.OK:
            msg = f"{where} answered {response.status} {response.reason}: {_error_text(content)}"
            raise CommandError(msg)
        return content

    def _parsed(self, content: bytes) -> Any:
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise self._unreadable("JSON") from error
        if not isinstance(answer, dict):
            raise self._unreadable("an object")
        return answer

    def _unreadable(self, expected: str) -> CommandError:
        return CommandError(f"{self._endpoint.address}: expected {expected}, got something else")


def _items(answer: Mapping[str, Any], key: str) -> list[Any]:
    items = answer.get(key)
    return items if isinstance(items, list) else []


def _versions(name: str, statuses: Sequence[Mapping[str, Any]]) -> list[ModelVersion]:
    if not statuses:
        return [ModelVersion(name, None, "no version yet")]
    return [
        ModelVersion(
            name,
            int(each["version"]),
            str(each["state"]),
            str(each.get("status", {}).get("error_message", "")),
            tuple(each.get("labels", ())),
        )
        for each in statuses
    ]


def _path(target: Target) -> str:
    path = f"/v1/models/{quote(target.model, safe='')}"
    if target.version is not None:
        return f"{path}/versions/{target.version}"
    if target.label is not None:
        return f"{path}/labels/{quote(target.label, safe='')}"
    return path


def _error_text(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode("utf-8", "replace")
