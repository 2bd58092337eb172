"""GetModelMetadata: the signatures of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from navi_core.contracts.planes import DataPlane
from navi_core.contracts.service import Call, Response
from navi_core.errors import InvalidRequestError, NaviError
from navi_core.messages import ModelRef
from navi_core.services.tf_serving.errors import Failures
from navi_core.services.tf_serving.model_spec import model_ref, required_spec, zero_as_newest
from navi_core.signature import Signature, TensorSpec
from navi_core.wire import tf_serving
from navi_core.wire.descriptors import parse_message
from navi_core.wire.tensor_proto import encode_tensor
from navi_core.wire.tf_dtypes import TF_TYPES

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import ModelSpec, SignatureDefMap, TensorInfo

__all__ = ["SIGNATURE_DEF", "GetModelMetadataRpc", "describe_model", "signature_def_map"]

SIGNATURE_DEF: Final = "signature_def"
"""The only metadata field there is."""

_TYPE_URL: Final = "type.googleapis.com/tensorflow.serving.SignatureDefMap"

_ANY_SIZE: Final = -1


def signature_def_map(signatures: Mapping[str, Signature]) -> SignatureDefMap:
    """Return signatures as TensorFlow describes them.

    Tensors have no name in a graph here, so their ``name`` is the one that clients use.
    """
    result = tf_serving.SignatureDefMap()
    for name, signature in signatures.items():
        definition = result.signature_def[name]
        definition.method_name = signature.method_name
        for spec in signature.inputs.values():
            _describe(spec, definition.inputs[spec.name])
            if spec.default is not None:
                definition.defaults[spec.name].ParseFromString(b"".join(encode_tensor(spec.default)))
        for spec in signature.outputs.values():
            _describe(spec, definition.outputs[spec.name])
    return result


def _describe(spec: TensorSpec, info: TensorInfo) -> None:
    info.name = spec.name
    info.dtype = TF_TYPES[spec.dtype].number
    if spec.shape is None:
        info.tensor_shape.unknown_rank = True
        return
    info.tensor_shape.SetInParent()
    for dim in spec.shape:
        info.tensor_shape.dim.add(size=dim if isinstance(dim, int) else _ANY_SIZE)


def describe_model(plane: DataPlane, ref: ModelRef) -> tuple[ModelSpec, SignatureDefMap]:
    """Return which version ``ref`` means, by name and number, and its signatures.

    Raises
    ------
    ModelError
        It cannot be resolved.
    """
    with plane.acquire(ref) as handle:
        spec = tf_serving.ModelSpec(name=handle.model)
        spec.version.value = handle.version
        return spec, signature_def_map(handle.signatures)


class GetModelMetadataRpc:
    """The handler of ``PredictionService/GetModelMetadata``.

    Parameters
    ----------
    plane
        Knows the signatures.
    failures
        Words errors.
    """

    def __init__(self, plane: DataPlane, failures: Failures) -> None:
        self._plane = plane
        self._failures = failures

    async def __call__(self, call: Call) -> Response:
        """Answer one request."""
        ref: ModelRef | None = None
        try:
            request = parse_message(tf_serving.GetModelMetadataRequest, call.body)
            spec = required_spec(request.model_spec if request.HasField("model_spec") else None)
            _check_fields(list(request.metadata_field))
            ref = zero_as_newest(self._plane, model_ref(spec))
            resolved, signatures = describe_model(self._plane, ref)
        except NaviError as error:
            return self._failures.rpc(error, ref)
        response = tf_serving.GetModelMetadataResponse(model_spec=resolved)
        packed = response.metadata[SIGNATURE_DEF]
        packed.type_url = _TYPE_URL
        packed.value = signatures.SerializeToString(deterministic=True)
        return Response(status=0, body=response.SerializeToString())


def _check_fields(fields: list[str]) -> None:
    if not fields:
        raise InvalidRequestError("GetModelMetadataRequest must specify at least one metadata_field")
    for field in fields:
        if field != SIGNATURE_DEF:
            raise InvalidRequestError(f"Metadata field {field} is not supported")
