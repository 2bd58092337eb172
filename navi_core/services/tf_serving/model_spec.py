"""ModelSpec messages as references, and which version they mean.

An extension for clients of OpenVINO Model Server, which send version 0 where the caller names none:
version 0 of a model that has no such version is the same as no version at all. In TensorFlow Serving
it is a version that does not exist.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from navi_core.contracts.planes import DataPlane
from navi_core.errors import InvalidRequestError, ModelNotFoundError
from navi_core.messages import ModelRef

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import ModelSpec

__all__ = ["model_ref", "required_spec", "zero_as_newest"]


def required_spec(spec: ModelSpec | None) -> ModelSpec:
    """Return the spec of a request that has to have one.

    Raises
    ------
    InvalidRequestError
        There is none.
    """
    if spec is None:
        raise InvalidRequestError("Missing ModelSpec")
    return spec


def model_ref(spec: ModelSpec | None) -> ModelRef:
    """Return which model and version a request means.

    Raises
    ------
    InvalidRequestError
        There is no spec, or it has no name.
    """
    found = required_spec(spec)
    if not found.name:
        raise InvalidRequestError("ModelSpec has no name specified.")
    choice = found.WhichOneof("version_choice")
    return ModelRef(
        found.name,
        version=found.version.value if choice == "version" else None,
        label=found.version_label if choice == "version_label" else None,
    )


def zero_as_newest(plane: DataPlane, ref: ModelRef) -> ModelRef:
    """Return ``ref`` without its version where that is 0 and the model has no version 0."""
    if ref.version != 0:
        return ref
    try:
        versions = plane.status(ref.name)
    except ModelNotFoundError:
        return ref
    return ref if any(status.version == 0 for status in versions) else replace(ref, version=None)
