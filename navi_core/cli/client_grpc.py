"""Asks a running host over gRPC, in TensorFlow Serving's protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import grpc

from navi_core.cli.endpoint import Endpoint, ModelVersion, Prediction, Target
from navi_core.cli.failures import CommandError
from navi_core.cli.signature_defs import read_signatures
from navi_core.signature import Signature
from navi_core.types import NamedArrays
from navi_core.wire import tf_serving
from navi_core.wire.tensor_proto import array_of_message, encode_tensor

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from navi_core.wire.tf_serving import ModelSpec

__all__ = ["GrpcClient"]

M = TypeVar("M", bound="Message")

_MAX_MESSAGE_BYTES: Final = 2**31 - 1
_OPTIONS: Final = (
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
)
_SERVICE: Final = "/tensorflow.serving."


class GrpcClient:
    """A blocking client; a context manager.

    Parameters
    ----------
    endpoint
        Where the host listens.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        if endpoint.tls:
            credentials = grpc.ssl_channel_credentials(
                *(
                    file.read_bytes() if file is not None else None
                    for file in (endpoint.ca, endpoint.key, endpoint.certificate)
                )
            )
            self._channel = grpc.secure_channel(endpoint.address, credentials, options=_OPTIONS)
        else:
            self._channel = grpc.insecure_channel(endpoint.address, options=_OPTIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def models(self, names: Sequence[str]) -> Sequence[ModelVersion]:
        """Return the versions of the named models.

        Raises
        ------
        CommandError
            No name is given, or the host answered with an error.
        """
        if not names:
            msg = "the gRPC protocol cannot list models: name some, or ask over http://"
            raise CommandError(msg)
        found: list[ModelVersion] = []
        for name in names:
            request = tf_serving.GetModelStatusRequest(model_spec=tf_serving.ModelSpec(name=name))
            answer = self._call("ModelService/GetModelStatus", request, tf_serving.GetModelStatusResponse)
            for status in answer.model_version_status:
                states = tf_serving.ModelVersionStatus.DESCRIPTOR.enum_types_by_name["State"].values_by_number
                state = states[status.state].name if status.state in states else str(status.state)
                found.append(ModelVersion(name, status.version, state, status.status.error_message))
        return found

    def signatures(self, target: Target) -> Mapping[str, Signature]:
        """Return the signatures of the version that a request would go to."""
        request = tf_serving.GetModelMetadataRequest(
            model_spec=_spec(target, with_signature=False), metadata_field=["signature_def"]
        )
        answer = self._call(
            "PredictionService/GetModelMetadata", request, tf_serving.GetModelMetadataResponse
        )
        signatures = tf_serving.SignatureDefMap()
        # not Unpack(): it checks the type's name against a registry that private descriptors are not in
        signatures.ParseFromString(answer.metadata["signature_def"].value)
        return read_signatures(signatures)

    def predict(self, target: Target, inputs: NamedArrays) -> Prediction:
        """Send one request."""
        request = tf_serving.PredictRequest(model_spec=_spec(target, with_signature=True))
        for name, array in inputs.items():
            request.inputs[name].ParseFromString(b"".join(encode_tensor(array)))
        answer = self._call("PredictionService/Predict", request, tf_serving.PredictResponse)
        outputs = {name: array_of_message(tensor, name=name) for name, tensor in answer.outputs.items()}
        spec = answer.model_spec
        return Prediction(outputs, spec.version.value if spec.HasField("version") else None)

    def _call(self, method: str, request: Message, answer: type[M]) -> M:
        call: Any = self._channel.unary_unary(
            _SERVICE + method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            metadata = tuple(self._endpoint.metadata.items())
            response: M = call(request, timeout=self._endpoint.timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            msg = f"{self._endpoint.address} answered {error.code().name}: {error.details()}"
            raise CommandError(msg) from error
        return response


def _spec(target: Target, *, with_signature: bool) -> ModelSpec:
    spec = tf_serving.ModelSpec(name=target.model)
    if with_signature:
        spec.signature_name = target.signature
    if target.version is not None:
        spec.version.value = target.version
    elif target.label is not None:
        spec.version_label = target.label
    return spec
