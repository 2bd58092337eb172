"""What the server and its models are: metadata, readiness, and a model's configuration as Triton shows it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from typing import TYPE_CHECKING, Final

from navi_core.contracts.planes import DataPlane
from navi_core.contracts.versions import ServableState
from navi_core.errors import VersionNotFoundError
from navi_core.messages import ModelRef
from navi_core.services.oip.inference import served_signature
from navi_core.signature import TensorSpec
from navi_core.wire import oip
from navi_core.wire.oip_dtypes import OIP_TYPES, datatype_name

if TYPE_CHECKING:
    from navi_core.wire.oip import ModelConfig, ModelMetadataResponse, ServerMetadataResponse

__all__ = ["EXTENSIONS", "model_config", "model_is_ready", "model_metadata", "server_metadata"]

SERVER_NAME: Final = "navi"

EXTENSIONS: Final = (
    "classification",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)
"""What is implemented, by the names and in the order that Triton gives them."""

_ANY_SIZE: Final = -1


def server_metadata() -> ServerMetadataResponse:
    """Return the server's name, version and extensions."""
    try:
        version = distribution_version("navi-core")
    except PackageNotFoundError:  # run from a folder that was never installed
        version = "unknown"
    return oip.ServerMetadataResponse(name=SERVER_NAME, version=version, extensions=EXTENSIONS)


def model_metadata(plane: DataPlane, ref: ModelRef) -> ModelMetadataResponse:
    """Return a model's versions that can answer, and the tensors of the one that is meant.

    Raises
    ------
    ModelError, SignatureNotFoundError
        It cannot be resolved, or has no signature that the protocol could show.
    """
    with plane.acquire(ref) as handle:
        answer = oip.ModelMetadataResponse(name=handle.model, platform=handle.platform)
        _, signature = served_signature(handle.signatures, handle.model)
        for specs, tensors in ((signature.inputs, answer.inputs), (signature.outputs, answer.outputs)):
            for spec in specs.values():
                tensors.add(name=spec.name, datatype=datatype_name(spec.dtype), shape=_dims(spec))
        answer.versions.extend(
            str(status.version)
            for status in plane.status(handle.model)
            if status.state is ServableState.AVAILABLE
        )
        return answer


def _dims(spec: TensorSpec) -> list[int]:
    """Return a shape as the protocol has it: -1 is any size. It has no word for an unknown rank."""
    shape = (None,) if spec.shape is None else spec.shape
    return [dim if isinstance(dim, int) else _ANY_SIZE for dim in shape]


def model_is_ready(plane: DataPlane, ref: ModelRef) -> bool:
    """Tell whether a model, or one version of it, can answer now.

    Raises
    ------
    ModelNotFoundError, VersionNotFoundError
        There is no such model or version.
    """
    is_ready = plane.is_ready(ref.name)
    if ref.version is None:
        return is_ready
    for status in plane.status(ref.name):
        if status.version == ref.version:
            return is_ready and status.state is ServableState.AVAILABLE
    raise VersionNotFoundError(ref.name, ref.version)


def model_config(plane: DataPlane, ref: ModelRef) -> ModelConfig:
    """Return a model's configuration, as far as Triton's words for it go.

    Where requests are joined, ``max_batch_size`` is above 0 and the shapes are those of one row.

    Raises
    ------
    ModelError, SignatureNotFoundError
        It cannot be resolved, or has no signature that the protocol could show.
    """
    with plane.acquire(ref) as handle:
        _, signature = served_signature(handle.signatures, handle.model)
        config = oip.ModelConfig(name=handle.model, platform=handle.platform)
        config.backend = handle.platform.rpartition("_")[0]
        versions = [
            status.version for status in plane.status(handle.model) if status.state is ServableState.AVAILABLE
        ]
        config.version_policy.specific.versions.extend(versions)
        is_batched = signature.batchable
        if is_batched:
            config.max_batch_size = min(handle.max_batch_rows, 2**31 - 1)
            config.dynamic_batching.SetInParent()
            config.dynamic_batching.priority_levels = handle.priority_levels
            config.dynamic_batching.default_priority_level = handle.default_priority_level
        for spec in signature.inputs.values():
            config.input.add(
                name=spec.name,
                data_type=_number(spec),
                dims=_row_dims(spec, is_batched=is_batched),
                optional=spec.optional or spec.default is not None,
            )
        for spec in signature.outputs.values():
            config.output.add(
                name=spec.name, data_type=_number(spec), dims=_row_dims(spec, is_batched=is_batched)
            )
        return config


def _number(spec: TensorSpec) -> int:
    """Return an element type's number; 0, which is no type, where the protocol has none."""
    kind = OIP_TYPES.get(spec.dtype)
    return kind.number if kind is not None else 0


def _row_dims(spec: TensorSpec, *, is_batched: bool) -> list[int]:
    dims = _dims(spec)
    return dims[1:] if is_batched and not spec.is_per_request else dims
