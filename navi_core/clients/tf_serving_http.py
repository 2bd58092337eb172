"""Asks a running server over HTTP, in TensorFlow Serving's protocol. The standard library's client is enough."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from navi_core.clients.exchanges.tf_serving import model_path
from navi_core.clients.http_connection import HttpConnection
from navi_core.clients.signature_defs import read_signatures
from navi_core.contracts.client import Endpoint, Prediction, RemoteClient, RemoteVersion
from navi_core.errors import RequestError
from navi_core.messages import ModelRef
from navi_core.signature import DEFAULT_SIGNATURE, Signature
from navi_core.types import NamedArrays
from navi_core.wire import tf_serving
from navi_core.wire.plain_json import to_json_value
from navi_core.wire.tensor_json import decode_json_request

__all__ = ["TfServingHttpClient"]


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
        self._connection = HttpConnection(endpoint)
        self._signatures: dict[ModelRef, Mapping[str, Signature]] = {}

    @classmethod
    def connect(cls, endpoint: Endpoint) -> TfServingHttpClient:
        """Make a client; it connects with the first request."""
        return cls(endpoint)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def models(self, names: Sequence[str]) -> Sequence[RemoteVersion]:
        """Return the versions of the named models, or of all."""
        if names:
            answers = [
                (
                    name,
                    _items(
                        self._connection.get(f"/v1/models/{quote(name, safe='')}"), "model_version_status"
                    ),
                )
                for name in names
            ]
        else:
            listed = _items(self._connection.get("/v1/models"), "models")
            answers = [(str(each.get("name")), _items(each, "model_version_status")) for each in listed]
        try:
            return [version for name, statuses in answers for version in _versions(name, statuses)]
        except (KeyError, TypeError, ValueError) as error:
            raise self._connection.unreadable("states of versions") from error

    def signatures(self, model: ModelRef) -> Mapping[str, Signature]:
        """Return the signatures of the version that a request would go to."""
        if model in self._signatures:
            return self._signatures[model]
        from google.protobuf import json_format  # noqa: PLC0415 - registering this class must stay cheap

        answer = self._connection.get(f"{model_path(model)}/metadata")
        message = tf_serving.SignatureDefMap()
        try:
            # The key of the metadata, and in it the field of the map. The "@type" beside it is not a field.
            described = {"signature_def": answer["metadata"]["signature_def"]["signature_def"]}
            json_format.ParseDict(described, message, ignore_unknown_fields=True)
        except (KeyError, TypeError, json_format.ParseError) as error:
            raise self._connection.unreadable("metadata") from error
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
        content = self._connection.send("POST", f"{model_path(model)}:predict", json.dumps(body).encode())
        answer = self._connection.parsed(content)
        if known is None or "outputs" not in answer:
            raise self._connection.unreadable("a prediction")
        # outputs have the form of a request's inputs: the same rules make them tensors of the signature's types
        try:
            decoded = decode_json_request(
                json.dumps({"inputs": answer["outputs"]}).encode(), lambda _: known.outputs
            )
        except RequestError as error:
            raise self._connection.unreadable(f"outputs as the metadata says ({error.message})") from error
        return Prediction(decoded.inputs, model.version)


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
