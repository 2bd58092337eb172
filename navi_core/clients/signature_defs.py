"""TensorFlow's SignatureDef -> navi's Signature, for clients that ask a host for metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from navi_core.errors import ErrorCode, RemoteError
from navi_core.signature import Signature, TensorSpec
from navi_core.wire.tf_dtypes import BY_NUMBER

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import SignatureDef, SignatureDefMap, TensorInfo

__all__ = ["read_signatures"]


def read_signatures(message: SignatureDefMap) -> dict[str, Signature]:
    """Return the signatures of a metadata answer.

    Raises
    ------
    RemoteError
        A tensor has an element type that navi does not know.
    """
    return {name: _signature(definition) for name, definition in message.signature_def.items()}


def _signature(definition: SignatureDef) -> Signature:
    return Signature(
        inputs=_specs(definition.inputs),
        outputs=_specs(definition.outputs),
        method_name=definition.method_name,
    )


def _specs(tensors: Mapping[str, TensorInfo]) -> dict[str, TensorSpec]:
    return {name: _spec(name, info) for name, info in tensors.items()}


def _spec(name: str, info: TensorInfo) -> TensorSpec:
    kind = BY_NUMBER.get(info.dtype)
    if kind is None:
        msg = f"tensor '{name}' has element type number {info.dtype}, which is unknown here"
        raise RemoteError(msg, code=ErrorCode.INTERNAL)
    shape = None
    if not info.tensor_shape.unknown_rank:
        shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
    return TensorSpec(name=name, dtype=kind.dtype, shape=shape)
