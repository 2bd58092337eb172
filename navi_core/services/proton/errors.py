"""navi's errors as Proton's clients get them: the only place with their codes.

Proton's own words are those of its HTTP framework, for bodies that are no request. Of everything else its
clients hear nothing: the connection closes. Here they get a status and a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from navi_core.contracts.service import Response
from navi_core.errors import ErrorCode, InvalidRequestError, NaviError
from navi_core.wire.ndarray_json import JsonDataError, JsonSyntaxError

__all__ = ["GRPC_STATUS", "HTTP_STATUS", "ContentTypeError", "http_failure", "rpc_failure"]

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
"""Code -> gRPC status number. Total."""

HTTP_STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.OK: 200,
    ErrorCode.CANCELLED: 499,
    ErrorCode.UNKNOWN: 500,
    ErrorCode.INVALID_ARGUMENT: 422,
    ErrorCode.DEADLINE_EXCEEDED: 504,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.ALREADY_EXISTS: 409,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.RESOURCE_EXHAUSTED: 429,
    ErrorCode.FAILED_PRECONDITION: 422,
    ErrorCode.ABORTED: 409,
    ErrorCode.OUT_OF_RANGE: 422,
    ErrorCode.UNIMPLEMENTED: 501,
    ErrorCode.INTERNAL: 500,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.DATA_LOSS: 500,
    ErrorCode.UNAUTHENTICATED: 401,
}
"""Code -> HTTP status. Total. What is JSON but cannot be done is 422, Proton's status for it."""

_BAD_REQUEST: Final = 400
_UNSUPPORTED_MEDIA_TYPE: Final = 415

_RETRY_AFTER_S: Final = "1"


class ContentTypeError(InvalidRequestError):
    """The body is not called JSON."""


def rpc_failure(error: NaviError) -> Response:
    """Make the gRPC response for an error."""
    trailers = (("navi-reason", error.reason),) if error.reason else ()
    return Response(status=GRPC_STATUS[error.code], message=_printable(error.message), trailers=trailers)


def http_failure(error: NaviError) -> Response:
    """Make the HTTP response for an error: plain text."""
    status, text = HTTP_STATUS[error.code], error.message
    if isinstance(error, ContentTypeError):
        status = _UNSUPPORTED_MEDIA_TYPE
    elif isinstance(error, JsonSyntaxError):
        status, text = _BAD_REQUEST, f"Failed to parse the request body as JSON: {text}"
    elif isinstance(error, JsonDataError):
        text = f"Failed to deserialize the JSON body into the target type: {text}"
    headers = [("content-type", "text/plain; charset=utf-8")]
    if error.reason:
        headers.append(("navi-reason", error.reason))
    if status in (429, 503):
        headers.append(("retry-after", _RETRY_AFTER_S))
    return Response(status=status, headers=headers, body=_printable(text).encode())


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
