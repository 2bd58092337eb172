"""What transports answer by themselves: only what happens before a service is reached, or after it broke.

Services map their own errors; these tables are for the router's refusals (draining, not allowed), for
bodies that cannot be taken (too large, badly compressed, no memory), and for bugs.
"""

from __future__ import annotations

from typing import Final

import msgspec

from navi_core.errors import ErrorCode, NaviError, RequestTooLargeError
from navi_core.wire.statuses import GRPC_STATUS, HTTP_STATUS

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
