"""Reserved request parameters: what they mean, and what is refused.

Everything else reaches the runtime as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from navi_core.errors import InvalidRequestError, UnsupportedError
from navi_core.types import Parameters
from navi_core.wire.oip_request import NO_PARAMETERS, InferTerms

__all__ = ["BINARY_OUTPUT", "FINAL_RESPONSE", "RequestSettings", "read_parameters", "refuse_shared_memory"]

BINARY_OUTPUT: Final = "binary_data_output"
FINAL_RESPONSE: Final = "triton_enable_empty_final_response"

_SEQUENCE: Final = ("sequence_id", "sequence_start", "sequence_end")
_SHARED_MEMORY: Final = frozenset({"shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"})
_RESERVED: Final = frozenset({*_SEQUENCE, "priority", "timeout", "headers", BINARY_OUTPUT, FINAL_RESPONSE})
_RESERVED_PREFIX: Final = "triton_"


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """What a request's parameters ask for.

    Parameters
    ----------
    custom
        Those that are not reserved: for the runtime.
    timeout_us
        Microseconds that the answer may take; 0: no limit.
    priority
        The level to queue at; 0: the model's default.
    binary_output
        Outputs are binary by default.
    """

    custom: Parameters = field(default_factory=lambda: NO_PARAMETERS)
    timeout_us: int = 0
    priority: int = 0
    binary_output: bool = False


_NO_SETTINGS: Final = RequestSettings()


def read_parameters(parameters: Parameters, *, over_grpc: bool) -> RequestSettings:
    """Read a request's parameters.

    Raises
    ------
    UnsupportedError
        The request is part of a sequence.
    InvalidRequestError
        A reserved parameter has a value of the wrong kind, or is not the client's to set.
    """
    if not parameters:
        return _NO_SETTINGS
    for name in _SEQUENCE:
        if parameters.get(name):  # 0 and "" mean none
            raise UnsupportedError(
                f"sequences are not supported: no model here keeps state between requests (parameter '{name}')"
            )
    for name in parameters:
        if name.startswith(_RESERVED_PREFIX) and not (over_grpc and name == FINAL_RESPONSE):
            raise InvalidRequestError(
                f"parameter keys starting with '{_RESERVED_PREFIX}' are reserved: '{name}'"
            )
    _flag(parameters, FINAL_RESPONSE)  # about answers without outputs, which no model here gives
    return RequestSettings(
        custom={name: value for name, value in parameters.items() if name not in _RESERVED},
        timeout_us=_whole_number(parameters, "timeout"),
        priority=_whole_number(parameters, "priority"),
        binary_output=_flag(parameters, BINARY_OUTPUT),
    )


def refuse_shared_memory(terms: InferTerms) -> None:
    """Refuse a request whose tensors lie in shared memory.

    Raises
    ------
    UnsupportedError
        One does; the text names it.
    """
    for role, tensors in (("input", terms.inputs), ("output", terms.outputs)):
        for tensor in tensors:
            if tensor.parameters and not _SHARED_MEMORY.isdisjoint(tensor.parameters):
                raise UnsupportedError(f"shared memory is not supported ({role} '{tensor.name}')")


def _whole_number(parameters: Parameters, name: str) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or value < 0:
        raise InvalidRequestError(f"parameter '{name}': expected an integer of at least 0")
    return value


def _flag(parameters: Parameters, name: str) -> bool:
    value = parameters.get(name, False)
    if type(value) is not bool:
        raise InvalidRequestError(f"parameter '{name}': expected a boolean")
    return value
