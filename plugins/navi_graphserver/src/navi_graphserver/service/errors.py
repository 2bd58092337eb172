"""navi's errors in GraphServer's words: the statuses and texts of its server in C++."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from navi_core import ErrorCode, ModelNotFoundError, NaviError, Response

__all__ = ["GRPC_STATUS", "RUNTIME_ERROR", "failure", "inference_failure", "malformed"]

RUNTIME_ERROR: Final = "Caught runtime_error exception"
"""What the server in C++ says of any failure it did not foresee; what it was stands behind it here."""

_INVALID_ARGUMENT: Final = 3
_NOT_FOUND: Final = 5
_UNKNOWN: Final = 2
_INTERNAL: Final = 13

GRPC_STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.OK: 0,
    ErrorCode.CANCELLED: 1,
    ErrorCode.UNKNOWN: _UNKNOWN,
    ErrorCode.INVALID_ARGUMENT: _INVALID_ARGUMENT,
    ErrorCode.DEADLINE_EXCEEDED: 4,
    ErrorCode.NOT_FOUND: _NOT_FOUND,
    ErrorCode.ALREADY_EXISTS: _UNKNOWN,
    ErrorCode.PERMISSION_DENIED: 7,
    ErrorCode.RESOURCE_EXHAUSTED: 8,
    ErrorCode.FAILED_PRECONDITION: _UNKNOWN,
    ErrorCode.ABORTED: 10,
    ErrorCode.OUT_OF_RANGE: 11,
    ErrorCode.UNIMPLEMENTED: 12,
    ErrorCode.INTERNAL: _INTERNAL,
    ErrorCode.UNAVAILABLE: 14,
    ErrorCode.DATA_LOSS: 15,
    ErrorCode.UNAUTHENTICATED: 16,
}
"""Code -> gRPC status. Total. A graph that exists already, or cannot be loaded, is UNKNOWN as in C++."""


def malformed(what: object) -> Response:
    """Answer bytes that are no such message: the server in C++ would read outside of them."""
    return Response(status=_INVALID_ARGUMENT, message=str(what))


def failure(error: NaviError) -> Response:
    """Answer an operation on graphs that failed."""
    status = GRPC_STATUS[error.code]
    text = f"{RUNTIME_ERROR}: {error.message}" if status == _UNKNOWN else error.message
    return Response(status=status, message=text)


def inference_failure(error: NaviError, graph_id: int) -> Response:
    """Answer a request that failed."""
    if isinstance(error, ModelNotFoundError):
        return Response(status=_NOT_FOUND, message=f"Unknown graph [{graph_id}]")
    status = GRPC_STATUS[error.code]
    if status == _INTERNAL:
        text = f"Caught exception during graph execution [{graph_id}]: {error.message}"
        return Response(status=status, message=text)
    return failure(error)


def no_results(graph_id: int) -> Response:
    """Answer a graph whose output mode selects nothing."""
    return Response(status=_INTERNAL, message=f"Got no results after graph execution [{graph_id}]")
