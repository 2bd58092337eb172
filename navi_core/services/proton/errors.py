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
from navi_core.wire.statuses import GRPC_STATUS
from navi_core.wire.statuses import HTTP_STATUS as USUAL_HTTP_STATUS

__all__ = ["GRPC_STATUS", "HTTP_STATUS", "ContentTypeError", "http_failure", "rpc_failure"]

HTTP_STATUS: Final[Mapping[ErrorCode, int]] = {
    **USUAL_HTTP_STATUS,
    ErrorCode.INVALID_ARGUMENT: 422,
    ErrorCode.FAILED_PRECONDITION: 422,
    ErrorCode.OUT_OF_RANGE: 422,
}
"""Code -> HTTP status. Total. What is JSON but cannot be done is 422, Proton's status for it."""

_BAD_REQUEST: Final = 400
_UNSUPPORTED_MEDIA_TYPE: Final = 415


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
    return Response(status=status, headers=headers, body=_printable(text).encode())


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
