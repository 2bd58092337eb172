"""TensorFlow Serving: PredictionService and ModelService."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from navi_client._generated import tf_serving
from navi_client._generated.descriptors import parse_message
from navi_client._generated.example_values import example_of
from navi_client._generated.tensor_proto import array_of_message, decode_tensor, encode_tensor, varint
from navi_client._generated.tensors import DType, dtype_of
from navi_client._generated.tf_dtypes import BY_NUMBER
from navi_client.arrays import named_arrays
from navi_client.errors import Code, DecodeError, UnsupportedError
from navi_client.messages import (
    Class,
    ModelMetadata,
    Outputs,
    Request,
    Target,
    TensorInfo,
    VersionStatus,
)
from navi_client.protocols.base import Exchange, WireProtocol
from navi_client.protocols.fields import NotPlainError, length_delimited
from navi_client.types import Array, Bytes, Features

if TYPE_CHECKING:
    from navi_client._generated.tf_serving import Input, ModelSpec
    from navi_client._generated.tf_serving import TensorInfo as TensorInfoProto

__all__ = ["TfServing"]

_PREDICTION: Final = "/tensorflow.serving.PredictionService/"
_STATUS: Final = "/tensorflow.serving.ModelService/GetModelStatus"

_OUTPUTS: Final = 0x0A
_MODEL_SPEC: Final = 0x12
_ENTRY_KEY: Final = 0x0A
_ENTRY_VALUE: Final = 0x12
_SMALL_SPEC_BYTES: Final = 256


class TfServing(WireProtocol):
    """TensorFlow Serving's protocol."""

    name: ClassVar[str] = "tf_serving"
    title: ClassVar[str] = "TensorFlow Serving's protocol"

    def predict(self, request: Request) -> Exchange[Outputs]:
        """Ask for a prediction.

        Raises
        ------
        TypeError
            An input has a dtype that the protocol does not have.
        UnsupportedError
            The request has an id or parameters.
        """
        if request.request_id or request.parameters:
            raise UnsupportedError(f"{self.title} has no ids and parameters of requests")
        pieces: list[Bytes] = [_spec_field(request.target)]
        for name, array in named_arrays(request.inputs).items():
            # tensor_content is the array's memory: no other encoding is as cheap, here and in the server
            tensor = encode_tensor(array, as_content=dtype_of(array) is not DType.STRING)
            size_bytes = sum(map(len, tensor))
            key = name.encode()
            entry = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(size_bytes)
            pieces.append(b"\x12" + varint(len(entry) + size_bytes) + entry)
            pieces += tensor
        for name in request.outputs:
            wanted = name.encode()
            pieces.append(b"\x1a" + varint(len(wanted)) + wanted)
        return Exchange(_PREDICTION + "Predict", b"".join(pieces), self._read_predict_response)

    def _read_predict_response(self, body: bytes) -> Outputs:
        arrays: dict[str, Array] = {}
        left_bytes = self._max_tensor_bytes
        try:
            tensors, spec = _split(body)
        except NotPlainError:
            message = parse_message(tf_serving.PredictResponse, body)
            for name, tensor in message.outputs.items():
                arrays[name] = array_of_message(tensor, name=name, max_tensor_bytes=left_bytes)
                left_bytes -= arrays[name].nbytes
            return _outputs(arrays, message.model_spec)
        for name, (start, stop) in tensors.items():
            arrays[name] = decode_tensor(body, start, stop, name=name, max_tensor_bytes=left_bytes)
            left_bytes -= arrays[name].nbytes
        parse = _parse_small_spec if len(spec) <= _SMALL_SPEC_BYTES else _parse_spec
        return _outputs(arrays, parse(spec))

    def classify(
        self, target: Target, examples: Sequence[bytes | Features], context: bytes | Features | None
    ) -> Exchange[list[list[Class]]]:
        """Ask for classes of examples; one list of classes for each."""
        request = tf_serving.ClassificationRequest(model_spec=_spec(target), input=_input(examples, context))
        return Exchange(_PREDICTION + "Classify", request.SerializeToString(), _read_classification)

    def regress(
        self, target: Target, examples: Sequence[bytes | Features], context: bytes | Features | None
    ) -> Exchange[NDArray[np.float32]]:
        """Ask for values of examples; one for each."""
        request = tf_serving.RegressionRequest(model_spec=_spec(target), input=_input(examples, context))
        return Exchange(_PREDICTION + "Regress", request.SerializeToString(), _read_regression)

    def metadata(self, target: Target) -> Exchange[ModelMetadata]:
        """Ask for a model's signatures."""
        request = tf_serving.GetModelMetadataRequest(
            model_spec=_spec(target), metadata_field=["signature_def"]
        )
        return Exchange(_PREDICTION + "GetModelMetadata", request.SerializeToString(), _read_metadata)

    def status(self, target: Target) -> Exchange[list[VersionStatus]]:
        """Ask for the states of a model's versions, or of one."""
        request = tf_serving.GetModelStatusRequest(model_spec=_spec(target))
        return Exchange(_STATUS, request.SerializeToString(), _read_status)

    def ready(self, target: Target | None) -> Exchange[bool]:
        """Ask the health service of the server as a whole, or whether a version of a model is AVAILABLE."""
        if target is None:
            return super().ready(None)
        asked = self.status(target)
        return Exchange(asked.method, asked.body, _has_available, {Code.NOT_FOUND: False})


# --- requests -------------------------------------------------------------------------------------


def _spec(target: Target) -> ModelSpec:
    spec = tf_serving.ModelSpec(name=target.model, signature_name=target.signature)
    if target.version is not None:
        if isinstance(target.version, str):
            raise ValueError(f"version: expected an int in this protocol, got '{target.version}'")
        spec.version.value = target.version
    elif target.label is not None:
        spec.version_label = target.label
    return spec


@lru_cache(maxsize=256)
def _spec_field(target: Target) -> bytes:
    """Return a PredictRequest's first field; callers ask for the same few targets over and over."""
    data = _spec(target).SerializeToString()
    return b"\x0a" + varint(len(data)) + data


def _input(examples: Sequence[bytes | Features], context: bytes | Features | None) -> Input:
    if isinstance(examples, bytes | Mapping):
        raise TypeError("examples: expected a sequence of them, got one")
    made = tf_serving.Input()
    if context is None:
        made.example_list.examples.extend(map(example_of, examples))
    else:
        made.example_list_with_context.examples.extend(map(example_of, examples))
        made.example_list_with_context.context.CopyFrom(example_of(context))
    return made


# --- answers --------------------------------------------------------------------------------------


def _split(body: bytes) -> tuple[dict[str, tuple[int, int]], bytes]:
    """Find the parts of a plainly written PredictResponse: where each tensor lies, and the ModelSpec.

    Raises
    ------
    NotPlainError
        Something is unusual, or wrong.
    """
    tensors: dict[str, tuple[int, int]] = {}
    spec: bytes | None = None
    for tag, start, stop in length_delimited(body, 0, len(body)):
        if tag == _OUTPUTS:
            entry = length_delimited(body, start, stop)
            if len(entry) != 2 or entry[0][0] != _ENTRY_KEY or entry[1][0] != _ENTRY_VALUE:
                raise NotPlainError
            [(_, key_start, key_stop), (_, value_start, value_stop)] = entry
            try:
                name = body[key_start:key_stop].decode()
            except UnicodeDecodeError:
                raise NotPlainError from None
            if name in tensors:
                raise NotPlainError
            tensors[name] = (value_start, value_stop)
        elif tag == _MODEL_SPEC and spec is None:
            spec = body[start:stop]
        else:
            raise NotPlainError
    return tensors, spec or b""


def _parse_spec(spec: bytes) -> ModelSpec:
    return parse_message(tf_serving.ModelSpec, spec)


_parse_small_spec: Final = lru_cache(maxsize=256)(_parse_spec)


def _outputs(arrays: Mapping[str, Array], spec: ModelSpec) -> Outputs:
    version = str(spec.version.value) if spec.HasField("version") else ""
    return Outputs(arrays, model=spec.name, version=version, signature=spec.signature_name)


def _read_classification(body: bytes) -> list[list[Class]]:
    result = parse_message(tf_serving.ClassificationResponse, body).result
    return [[Class(each.label, each.score) for each in found.classes] for found in result.classifications]


def _read_regression(body: bytes) -> NDArray[np.float32]:
    result = parse_message(tf_serving.RegressionResponse, body).result
    return np.array([each.value for each in result.regressions], dtype=np.float32)


def _read_metadata(body: bytes) -> ModelMetadata:
    message = parse_message(tf_serving.GetModelMetadataResponse, body)
    if "signature_def" not in message.metadata:
        raise DecodeError("metadata: expected signature_def, got none")
    # not Unpack(): it checks the type's name against a registry that private descriptors are not in
    found = parse_message(tf_serving.SignatureDefMap, message.metadata["signature_def"].value).signature_def
    spec = message.model_spec
    return ModelMetadata(
        model=spec.name,
        versions=(str(spec.version.value),) if spec.HasField("version") else (),
        inputs={name: _infos(signature.inputs.items()) for name, signature in found.items()},
        outputs={name: _infos(signature.outputs.items()) for name, signature in found.items()},
    )


def _infos(tensors: Iterable[tuple[str, TensorInfoProto]]) -> dict[str, TensorInfo]:
    return {name: _info(info) for name, info in tensors}


def _info(info: TensorInfoProto) -> TensorInfo:
    kind = BY_NUMBER.get(info.dtype)
    dtype = str(kind.dtype) if kind is not None else f"DataType {info.dtype}"
    if info.tensor_shape.unknown_rank:
        return TensorInfo(dtype, None)
    return TensorInfo(dtype, tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim))


def _read_status(body: bytes) -> list[VersionStatus]:
    message = parse_message(tf_serving.GetModelStatusResponse, body)
    states = tf_serving.ModelVersionStatus.DESCRIPTOR.enum_types_by_name["State"].values_by_number
    return [
        VersionStatus(
            each.version,
            states[each.state].name if each.state in states else str(each.state),
            each.status.error_message,
        )
        for each in message.model_version_status
    ]


def _has_available(body: bytes) -> bool:
    return any(each.state == "AVAILABLE" for each in _read_status(body))
