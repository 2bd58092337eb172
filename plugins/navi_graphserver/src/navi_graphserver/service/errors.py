"""navi's errors in GraphServer's words: the statuses and texts of its server in C++."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from navi_core import GRPC_STATUS, ErrorCode, ModelNotFoundError, NaviError, Response

__all__ = ["RUNTIME_ERROR", "STATUS", "failure", "inference_failure", "malformed", "no_results"]

RUNTIME_ERROR: Final = "Caught runtime_error exception"
"""What the server in C++ says of any failure it did not foresee; what it was stands behind it here."""

_UNKNOWN: Final = GRPC_STATUS[ErrorCode.UNKNOWN]
_INVALID_ARGUMENT: Final = GRPC_STATUS[ErrorCode.INVALID_ARGUMENT]
_NOT_FOUND: Final = GRPC_STATUS[ErrorCode.NOT_FOUND]
_INTERNAL: Final = GRPC_STATUS[ErrorCode.INTERNAL]

STATUS: Final[Mapping[ErrorCode, int]] = {
    **GRPC_STATUS,
    ErrorCode.ALREADY_EXISTS: _UNKNOWN,
    ErrorCode.FAILED_PRECONDITION: _UNKNOWN,
}
"""Code -> gRPC status. Total. A graph that exists already, or cannot be loaded, is UNKNOWN as in C++."""


def malformed(what: object) -> Response:
    """Answer bytes that are no such message: the server in C++ would read outside of them."""
    return Response(status=_INVALID_ARGUMENT, message=str(what))


def failure(error: NaviError) -> Response:
    """Answer an operation on graphs that failed."""
    status = STATUS[error.code]
    text = f"{RUNTIME_ERROR}: {error.message}" if status == _UNKNOWN else error.message
    return Response(status=status, message=text)


def inference_failure(error: NaviError, graph_id: int) -> Response:
    """Answer a request that failed."""
    if isinstance(error, ModelNotFoundError):
        return Response(status=_NOT_FOUND, message=f"Unknown graph [{graph_id}]")
    status = STATUS[error.code]
    if status == _INTERNAL:
        text = f"Caught exception during graph execution [{graph_id}]: {error.message}"
        return Response(status=status, message=text)
    return failure(error)


def no_results(graph_id: int) -> Response:
    """Answer a graph whose output mode selects nothing."""
    return Response(status=_INTERNAL, message=f"Got no results after graph execution [{graph_id}]")
