"""ModelSpec messages as references."""

from __future__ import annotations

from typing import TYPE_CHECKING

from navi_core.errors import InvalidRequestError
from navi_core.messages import ModelRef

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import ModelSpec

__all__ = ["model_ref", "required_spec"]


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
