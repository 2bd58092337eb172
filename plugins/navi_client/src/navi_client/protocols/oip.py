"""The Open Inference Protocol v2, as Triton, KServe, MLServer and OpenVINO Model Server speak it over gRPC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from navi_client._generated import oip
from navi_client._generated.descriptors import parse_message
from navi_client._generated.oip_contents import decode_contents, view_contents
from navi_client._generated.oip_dtypes import BY_NAME, OIP_TYPES
from navi_client._generated.oip_tensors import checked_type, decode_raw, num_elements, raw_bytes
from navi_client._generated.tensor_proto import varint
from navi_client._generated.tensors import dtype_of
from navi_client.arrays import named_arrays
from navi_client.errors import ClientError, Code, DecodeError, UnsupportedError
from navi_client.messages import ListedModel, ModelMetadata, Outputs, Request, Target, TensorInfo
from navi_client.oip_head import InputHead
from navi_client.protocols.base import Exchange, WireProtocol
from navi_client.protocols.fields import NotPlainError, length_delimited
from navi_client.types import Array, Bytes, Parameters

if TYPE_CHECKING:
    from navi_client._generated.oip import (
        InferParameter,
        InferTensorContents,
        ModelInferResponse,
        ModelMetadataResponse,
    )

__all__ = ["OpenInference"]

_SERVICE: Final = "/inference.GRPCInferenceService/"
_SIGNATURE: Final = "serving_default"

_MODEL_NAME: Final = 0x0A
_MODEL_VERSION: Final = 0x12
_ID: Final = 0x1A
_OUTPUT: Final = 0x2A
_RAW: Final = 0x32
_CONTENTS: Final = 0x2A
_IN_HEAD: Final = frozenset({0x0A, 0x12, 0x1A, 0x22})
_SMALL_BYTES: Final = 256


class OpenInference(WireProtocol):
    """The Open Inference Protocol, with Triton's raw tensors and streams."""

    name: ClassVar[str] = "oip"
    title: ClassVar[str] = "the Open Inference Protocol"

    def predict(self, request: Request) -> Exchange[Outputs]:
        """Ask for a prediction.

        Raises
        ------
        TypeError
            An input has a dtype that the protocol does not have, or a parameter is of no kind that it has.
        UnsupportedError
            The request names a label or a signature.
        """
        return Exchange(_SERVICE + "ModelInfer", self.stream_request(request), self._read_infer_response)

    def stream_method(self) -> str:
        """Return Triton's streaming RPC."""
        return _SERVICE + "ModelStreamInfer"

    def stream_request(self, request: Request) -> bytes:
        """Return a serialized ModelInferRequest; raises what `predict` does."""
        pieces: list[Bytes] = [_target_fields(request.target)]
        if request.request_id:
            request_id = request.request_id.encode()
            pieces.append(b"\x1a" + varint(len(request_id)) + request_id)
        if request.parameters:
            pieces.append(_encoded_parameters(request.parameters))
        contents: list[Bytes] = []
        for name, array in named_arrays(request.inputs).items():
            kind = OIP_TYPES.get(dtype_of(array))
            if kind is None:
                msg = f"input '{name}': {self.title} has no type for elements of {array.dtype}"
                raise TypeError(msg)
            head = _encoded_head(name, kind.name, array.shape)
            pieces.append(b"\x2a" + varint(len(head)) + head)
            data = raw_bytes(array)
            contents += (b"\x3a" + varint(len(data)), data)
        for name in request.outputs:
            wanted = name.encode()
            entry = b"\x0a" + varint(len(wanted)) + wanted
            pieces.append(b"\x32" + varint(len(entry)) + entry)
        return b"".join([*pieces, *contents])

    def read_stream_answer(self, body: bytes) -> Outputs | ClientError:
        """Read a ModelStreamInferResponse; a request that failed is an error, and the stream goes on."""
        message = parse_message(oip.ModelStreamInferResponse, body)
        if message.error_message:
            return ClientError(message.error_message, code=Code.UNKNOWN)
        return self._of_message(message.infer_response)

    def _read_infer_response(self, body: bytes) -> Outputs:
        try:
            return self._split(body)
        except NotPlainError:
            return self._of_message(parse_message(oip.ModelInferResponse, body))

    def _split(self, body: bytes) -> Outputs:
        """Read a plainly written ModelInferResponse; its tensors become views of it.

        Raises
        ------
        NotPlainError
            Something is unusual, or wrong.
        """
        texts: dict[int, str] = {}
        heads: list[tuple[InputHead, tuple[int, int] | None]] = []
        raw: list[memoryview] = []
        view = memoryview(body)
        for tag, start, stop in length_delimited(body, 0, len(body)):
            if tag == _RAW:
                raw.append(view[start:stop])
            elif tag == _OUTPUT:
                head_stop, where = _split_output(body, start, stop)
                head = body[start:head_stop]
                parse = _parse_small_head if len(head) <= _SMALL_BYTES else _parse_head
                heads.append((parse(head), where))
            elif tag in (_MODEL_NAME, _MODEL_VERSION, _ID) and tag not in texts:
                try:
                    texts[tag] = body[start:stop].decode()
                except UnicodeDecodeError:
                    raise NotPlainError from None
            else:
                raise NotPlainError
        return Outputs(
            self._arrays([head for head, _ in heads], [where for _, where in heads], raw, body),
            model=texts.get(_MODEL_NAME, ""),
            version=texts.get(_MODEL_VERSION, ""),
            request_id=texts.get(_ID, ""),
        )

    def _of_message(self, message: ModelInferResponse) -> Outputs:
        heads = [InputHead(each.name, each.datatype, tuple(each.shape)) for each in message.outputs]
        contents = [each.contents if each.HasField("contents") else None for each in message.outputs]
        return Outputs(
            self._arrays(heads, contents, list(message.raw_output_contents), b""),
            model=message.model_name,
            version=message.model_version,
            request_id=message.id,
            parameters=_plain_parameters(message.parameters),
        )

    def _arrays(
        self,
        heads: list[InputHead],
        contents: Iterable[tuple[int, int] | InferTensorContents | None],
        raw: list[memoryview] | list[bytes],
        body: bytes,
    ) -> dict[str, Array]:
        """Return all outputs.

        Parameters
        ----------
        heads
            What is said of each.
        contents
            Of each: where its typed contents lie in ``body``, the parsed contents, or None: it has none.
        raw
            The entries of ``raw_output_contents``; one for each output, or none at all.
        """
        if raw and len(raw) != len(heads):
            raise DecodeError(
                f"raw_output_contents: expected one entry for each of {len(heads)} outputs, got {len(raw)}"
            )
        arrays: dict[str, Array] = {}
        left_bytes = self._max_tensor_bytes
        for index, (head, typed) in enumerate(zip(heads, contents, strict=True)):
            kind = checked_type(head)
            count = num_elements(head, kind, left_bytes)
            if raw:
                array = decode_raw(raw[index], head, kind, count)
            elif isinstance(typed, tuple):
                array = view_contents(body, *typed, head, kind, count)
            elif typed is not None:
                array = decode_contents(typed, head, kind, count)
            elif count:
                raise DecodeError(f"output '{head.name}': expected contents, got none", tensor=head.name)
            else:
                array = np.empty(head.shape, kind.numpy)
            left_bytes -= array.nbytes
            arrays[head.name] = array
        return arrays

    def metadata(self, target: Target) -> Exchange[ModelMetadata]:
        """Ask what a model takes and gives."""
        request = oip.ModelMetadataRequest(name=target.model, version=_version(target))
        return Exchange(_SERVICE + "ModelMetadata", request.SerializeToString(), _read_metadata)

    def models(self) -> Exchange[list[ListedModel]]:
        """Ask which models there are: Triton's repository extension, which KServe does not have."""
        return Exchange(_SERVICE + "RepositoryIndex", b"", _read_index)

    def live(self) -> Exchange[bool]:
        """Ask whether the server is there."""
        return Exchange(_SERVICE + "ServerLive", b"", _is_live)

    def ready(self, target: Target | None) -> Exchange[bool]:
        """Ask whether the server, or one model, takes requests; a model that is not there does not."""
        if target is None:
            return Exchange(_SERVICE + "ServerReady", b"", _is_server_ready)
        request = oip.ModelReadyRequest(name=target.model, version=_version(target))
        failures = {Code.NOT_FOUND: False}
        return Exchange(_SERVICE + "ModelReady", request.SerializeToString(), _is_model_ready, failures)


# --- requests -------------------------------------------------------------------------------------


def _version(target: Target) -> str:
    if target.label is not None or target.signature:
        raise UnsupportedError(f"{OpenInference.title} has no labels and signatures")
    return "" if target.version is None else str(target.version)


@lru_cache(maxsize=256)
def _target_fields(target: Target) -> bytes:
    """Return fields 1 and 2 of a ModelInferRequest."""
    request = oip.ModelInferRequest(model_name=target.model, model_version=_version(target))
    return request.SerializeToString()


@lru_cache(maxsize=1024)
def _encoded_head(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    """Return an input's name, type and shape."""
    message = oip.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    return message.SerializeToString()


def _encoded_parameters(parameters: Mapping[str, Any]) -> bytes:
    message = oip.ModelInferRequest()
    for name, value in parameters.items():
        match value:
            case bool():
                message.parameters[name].bool_param = value
            case int():
                message.parameters[name].int64_param = value
            case float():
                message.parameters[name].double_param = value
            case str():
                message.parameters[name].string_param = value
            case _:
                msg = f"parameter '{name}': expected bool, int, float or str, got {type(value).__name__}"
                raise TypeError(msg)
    return message.SerializeToString()


# --- answers --------------------------------------------------------------------------------------


def _split_output(body: bytes, start: int, stop: int) -> tuple[int, tuple[int, int] | None]:
    """Find where an output's contents begin; return where its head ends, and where the contents lie."""
    head_stop = start
    for tag, field_start, field_stop in length_delimited(body, start, stop):
        if tag == _CONTENTS and field_stop == stop:
            return head_stop, (field_start, field_stop)
        if tag not in _IN_HEAD:
            raise NotPlainError
        head_stop = field_stop
    return stop, None


def _parse_head(data: bytes) -> InputHead:
    message = parse_message(oip.ModelInferResponse.InferOutputTensor, data)
    return InputHead(message.name, message.datatype, tuple(message.shape))


_parse_small_head: Final = lru_cache(maxsize=1024)(_parse_head)


def _plain_parameters(messages: Mapping[str, InferParameter]) -> Parameters:
    found = {name: (message, message.WhichOneof("parameter_choice")) for name, message in messages.items()}
    return {name: getattr(message, choice) for name, (message, choice) in found.items() if choice}


def _read_metadata(body: bytes) -> ModelMetadata:
    message = parse_message(oip.ModelMetadataResponse, body)
    return ModelMetadata(
        model=message.name,
        versions=tuple(message.versions),
        inputs={_SIGNATURE: {each.name: _info(each) for each in message.inputs}},
        outputs={_SIGNATURE: {each.name: _info(each) for each in message.outputs}},
        platform=message.platform,
    )


def _read_index(body: bytes) -> list[ListedModel]:
    models = parse_message(oip.RepositoryIndexResponse, body).models
    return [ListedModel(each.name, each.version, each.state, each.reason) for each in models]


def _info(tensor: ModelMetadataResponse.TensorMetadata) -> TensorInfo:
    kind = BY_NAME.get(tensor.datatype)
    dtype = str(kind.dtype) if kind is not None else tensor.datatype
    return TensorInfo(dtype, tuple(None if size < 0 else size for size in tensor.shape))


def _is_live(body: bytes) -> bool:
    return parse_message(oip.ServerLiveResponse, body).live


def _is_server_ready(body: bytes) -> bool:
    return parse_message(oip.ServerReadyResponse, body).ready


def _is_model_ready(body: bytes) -> bool:
    return parse_message(oip.ModelReadyResponse, body).ready
