"""What transports answer by themselves: only what happens before a service is reached, or after it broke.

Services map their own errors; these tables are for the router's refusals (draining, not allowed), for
bodies that cannot be taken (too large, badly compressed, no memory), and for bugs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from navi_core.errors import ErrorCode, NaviError, RequestTooLargeError

__all__ = [
    "GRPC_STATUS",
    "HTTP_STATUS",
    "INTERNAL_TEXT",
    "RETRY_AFTER",
    "RETRY_AFTER_S",
    "AnswerTooLargeError",
    "grpc_status",
    "http_error_body",
    "http_status",
]

INTERNAL_TEXT: Final = "internal error"
"""All that a client learns of a bug; the log has the rest."""

RETRY_AFTER_S: Final = "1"
"""Seconds: overload of a model server passes quickly, and a draining one is replaced."""

RETRY_AFTER: Final = frozenset({429, 503})
"""The HTTP statuses that carry ``Retry-After``."""

GRPC_STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.OK: 0,
    ErrorCode.CANCELLED: 1,
    ErrorCode.UNKNOWN: 2,
    ErrorCode.INVALID_ARGUMENT: 3,
    ErrorCode.DEADLINE_EXCEEDED: 4,
    ErrorCode.NOT_FOUND: 5,
    ErrorCode.ALREADY_EXISTS: 6,
    ErrorCode.PERMISSION_DENIED: 7,
    ErrorCode.RESOURCE_EXHAUSTED: 8,
    ErrorCode.FAILED_PRECONDITION: 9,
    ErrorCode.ABORTED: 10,
    ErrorCode.OUT_OF_RANGE: 11,
    ErrorCode.UNIMPLEMENTED: 12,
    ErrorCode.INTERNAL: 13,
    ErrorCode.UNAVAILABLE: 14,
    ErrorCode.DATA_LOSS: 15,
    ErrorCode.UNAUTHENTICATED: 16,
}
"""The numbers of the gRPC specification (``statuscodes.md``)."""

HTTP_STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.OK: 200,
    ErrorCode.CANCELLED: 499,
    ErrorCode.UNKNOWN: 500,
    ErrorCode.INVALID_ARGUMENT: 400,
    ErrorCode.DEADLINE_EXCEEDED: 504,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.ALREADY_EXISTS: 409,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.RESOURCE_EXHAUSTED: 429,
    ErrorCode.FAILED_PRECONDITION: 400,
    ErrorCode.ABORTED: 409,
    ErrorCode.OUT_OF_RANGE: 400,
    ErrorCode.UNIMPLEMENTED: 501,
    ErrorCode.INTERNAL: 500,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.DATA_LOSS: 500,
    ErrorCode.UNAUTHENTICATED: 401,
}
"""The mapping that ``google.rpc.Code`` documents beside each code."""


class AnswerTooLargeError(NaviError):
    """A service's message is larger than the configured limit."""

    default_code = ErrorCode.RESOURCE_EXHAUSTED
    default_reason = "message_size"

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"answer: expected at most {limit_bytes} bytes, got {size_bytes}")


def grpc_status(error: NaviError) -> int:
    """Return the gRPC status number of an early error."""
    return GRPC_STATUS[error.code]


def http_status(error: NaviError) -> int:
    """Return the HTTP status of an early error; a body over its limit is 413, not 429."""
    if isinstance(error, RequestTooLargeError):
        return 413
    return HTTP_STATUS[error.code]


def http_error_body(message: str) -> bytes:
    """Return ``{"error": message}`` as JSON."""
    return msgspec.json.encode({"error": message.encode("utf-8", "replace").decode()})
