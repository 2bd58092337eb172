"""ModelSpec messages as references, and which version they mean.

An extension for clients of OpenVINO Model Server, which send version 0 where the caller names none:
version 0 of a model that has no such version is the same as no version at all. In TensorFlow Serving
it is a version that does not exist.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from navi_core.contracts.planes import DataPlane
from navi_core.errors import InvalidRequestError, ModelNotFoundError
from navi_core.messages import ModelRef
from navi_core.wire.predict_proto import spec_ref

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import ModelSpec

__all__ = ["model_ref", "named", "required_spec", "zero_as_newest"]

S = TypeVar("S")


def required_spec(spec: S | None) -> S:
    """Return the spec of a request that has to have one, or what stands for it.

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
    return named(spec_ref(required_spec(spec)))


def named(ref: ModelRef) -> ModelRef:
    """Return what a request means, which has to have a name.

    Raises
    ------
    InvalidRequestError
        It has none.
    """
    if not ref.name:
        raise InvalidRequestError("ModelSpec has no name specified.")
    return ref


def zero_as_newest(plane: DataPlane, ref: ModelRef) -> ModelRef:
    """Return ``ref`` without its version where that is 0 and the model has no version 0."""
    if ref.version != 0:
        return ref
    try:
        versions = plane.status(ref.name)
    except ModelNotFoundError:
        return ref
    return ref if any(status.version == 0 for status in versions) else replace(ref, version=None)
