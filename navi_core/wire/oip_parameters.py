"""Request parameters of the Open Inference Protocol: messages <-> plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from navi_core.errors import InvalidRequestError
from navi_core.types import Parameters
from navi_core.wire.oip_request import NO_PARAMETERS

if TYPE_CHECKING:
    from navi_core.wire.oip import InferParameter

__all__ = ["PRIORITY", "parameters_of", "set_parameters"]

PRIORITY: Final = "priority"
"""The only parameter that may be an unsigned 64-bit number."""


def parameters_of(messages: Mapping[str, InferParameter]) -> Parameters:
    """Return parameters as plain values.

    Raises
    ------
    InvalidRequestError
        One has no value, or one of a kind that it may not have.
    """
    if not messages:
        return NO_PARAMETERS
    found: dict[str, bool | int | float | str] = {}
    for name, message in messages.items():
        choice = message.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidRequestError(f"parameter '{name}': expected a value, got none")
        if choice == "uint64_param" and name != PRIORITY:
            raise InvalidRequestError(
                f"parameter '{name}': expected bool_param, int64_param, string_param or double_param, "
                "got uint64_param"
            )
        found[name] = getattr(message, choice)
    return found


def set_parameters(messages: Mapping[str, InferParameter], parameters: Parameters) -> None:
    """Write plain values into a message's map of parameters."""
    for name, value in parameters.items():
        message = messages[name]
        if isinstance(value, bool):
            message.bool_param = value
        elif isinstance(value, int):
            message.int64_param = value
        elif isinstance(value, float):
            message.double_param = value
        else:
            message.string_param = value
