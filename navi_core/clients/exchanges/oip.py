"""The Open Inference Protocol's inference, over gRPC and REST."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final, Literal
from urllib.parse import quote

import numpy as np

from navi_core.clients.exchanges.base import JSON_HEADERS, Exchange, RecordedRequest
from navi_core.clients.exchanges.json_answers import parse_answer
from navi_core.errors import DecodeError, UnsupportedError
from navi_core.messages import ModelRef
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.tensors import DType, dtype_of, string_array
from navi_core.types import Array, NamedArrays
from navi_core.wire import oip
from navi_core.wire.descriptors import parse_message
from navi_core.wire.oip_contents import decode_contents
from navi_core.wire.oip_dtypes import OIP_TYPES, OipType
from navi_core.wire.oip_json_values import decode_data
from navi_core.wire.oip_request import InputHead
from navi_core.wire.oip_tensors import checked_type, decode_raw, num_elements, raw_bytes
from navi_core.wire.plain_json import to_json_value

__all__ = ["OipGrpc", "OipHttp", "model_path"]

_INFER: Final = "/inference.GRPCInferenceService/ModelInfer"
_MAX_ANSWER_BYTES: Final = 2**31 - 1


class OipGrpc(Exchange):
    """``GRPCInferenceService/ModelInfer``, with raw contents."""

    name: ClassVar[str] = "oip+grpc"
    scheme: ClassVar[Literal["grpc", "http"]] = "grpc"

    def record(self, model: ModelRef, inputs: NamedArrays, signature_name: str) -> RecordedRequest:
        """Write a ModelInferRequest."""
        _refuse(model, signature_name)
        message = oip.ModelInferRequest(model_name=model.name, model_version=_version(model))
        for name, array in inputs.items():
            message.inputs.add(name=name, datatype=_kind(name, array).name, shape=array.shape)
            message.raw_input_contents.append(bytes(raw_bytes(array)))
        return RecordedRequest(_INFER, message.SerializeToString())

    def read(self, body: bytes) -> dict[str, Array]:
        """Read a ModelInferResponse, with raw or typed contents."""
        message = parse_message(oip.ModelInferResponse, body)
        raw = message.raw_output_contents
        if raw and len(raw) != len(message.outputs):
            raise DecodeError(f"answer: expected {len(message.outputs)} raw contents, got {len(raw)}")
        found: dict[str, Array] = {}
        for index, output in enumerate(message.outputs):
            head = InputHead(output.name, output.datatype, tuple(output.shape))
            kind = checked_type(head)
            count = num_elements(head, kind, _MAX_ANSWER_BYTES)
            if raw:
                found[output.name] = decode_raw(raw[index], head, kind, count)
            else:
                found[output.name] = decode_contents(output.contents, head, kind, count)
        return found


class OipHttp(Exchange):
    """``POST /v2/models/NAME/infer``, as JSON."""

    name: ClassVar[str] = "oip+http"
    scheme: ClassVar[Literal["grpc", "http"]] = "http"

    def record(self, model: ModelRef, inputs: NamedArrays, signature_name: str) -> RecordedRequest:
        """Write a JSON document."""
        _refuse(model, signature_name)
        tensors: list[dict[str, Any]] = []
        for name, array in inputs.items():
            kind = _kind(name, array)
            tensors.append(
                {
                    "name": name,
                    "shape": list(array.shape),
                    "datatype": kind.name,
                    "data": _values(name, array, kind),
                }
            )
        return RecordedRequest(
            f"{model_path(model)}/infer", json.dumps({"inputs": tensors}).encode(), JSON_HEADERS
        )

    def read(self, body: bytes) -> dict[str, Array]:
        """Read a JSON document without binary data: none was asked for."""
        outputs = parse_answer(body).get("outputs")
        if not isinstance(outputs, list):
            raise DecodeError("answer: expected a list of outputs, got none")
        found: dict[str, Array] = {}
        for output in outputs:
            try:
                head = InputHead(output["name"], output["datatype"], tuple(output["shape"]))
                data = output["data"]
            except (KeyError, TypeError) as error:
                raise DecodeError("answer: expected name, datatype, shape and data of each output") from error
            if not all(isinstance(size, int) for size in head.shape):
                raise DecodeError(f"output '{head.name}': expected a shape of integers")
            kind = checked_type(head)
            found[head.name] = decode_data(data, head, kind, num_elements(head, kind, _MAX_ANSWER_BYTES))
        return found


def model_path(model: ModelRef) -> str:
    """Return the path of a model's resources.

    Raises
    ------
    UnsupportedError
        The version is named by a label, which the protocol does not have.
    """
    _refuse(model, DEFAULT_SIGNATURE)
    path = f"/v2/models/{quote(model.name, safe='')}"
    return path if model.version is None else f"{path}/versions/{model.version}"


def _refuse(model: ModelRef, signature_name: str) -> None:
    if model.label is not None or signature_name != DEFAULT_SIGNATURE:
        raise UnsupportedError("the Open Inference Protocol has no labels and signatures")


def _version(model: ModelRef) -> str:
    return "" if model.version is None else str(model.version)


def _kind(name: str, array: Array) -> OipType:
    kind = OIP_TYPES.get(dtype_of(array))
    if kind is None:
        raise UnsupportedError(
            f"input '{name}': the Open Inference Protocol has no type for elements of {array.dtype}"
        )
    return kind


def _values(name: str, array: Array, kind: OipType) -> Any:
    if not kind.field:
        raise UnsupportedError(f"input '{name}': {kind.name} has no JSON form: ask over gRPC")
    flat = np.ascontiguousarray(array).reshape(-1)
    if kind.dtype is DType.STRING:
        try:
            return [item.decode() for item in string_array(flat).tolist()]
        except UnicodeDecodeError:
            raise UnsupportedError(
                f"input '{name}': bytes that are no UTF-8 have no JSON form: ask over gRPC"
            ) from None
    return to_json_value(flat)
