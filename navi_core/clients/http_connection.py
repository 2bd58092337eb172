"""One connection to a server over HTTP/1.1, with the standard library: what the clients over HTTP have in common."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import Any, Final

from navi_core.contracts.client import Endpoint
from navi_core.errors import ErrorCode, RemoteError, UnsupportedError

__all__ = ["HttpConnection"]

_CODES: Final = {
    400: ErrorCode.INVALID_ARGUMENT,
    401: ErrorCode.UNAUTHENTICATED,
    403: ErrorCode.PERMISSION_DENIED,
    404: ErrorCode.NOT_FOUND,
    409: ErrorCode.ALREADY_EXISTS,
    412: ErrorCode.FAILED_PRECONDITION,
    413: ErrorCode.RESOURCE_EXHAUSTED,
    429: ErrorCode.RESOURCE_EXHAUSTED,
    500: ErrorCode.INTERNAL,
    501: ErrorCode.UNIMPLEMENTED,
    503: ErrorCode.UNAVAILABLE,
    504: ErrorCode.DEADLINE_EXCEEDED,
}
_READ_BYTES: Final = 1 << 20
_MAX_ANSWER_BYTES: Final = 2**31 - 1


class HttpConnection:
    """A connection that is opened with the first request. Nothing is sent again.

    Parameters
    ----------
    endpoint
        Where the server listens.

    Raises
    ------
    UnsupportedError
        The endpoint asks for retries.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        if endpoint.max_retries:
            raise UnsupportedError("retries are not supported over http: ask over grpc, or without them")
        self._endpoint = endpoint
        self._headers = {"Content-Type": "application/json"}
        if endpoint.token is not None:
            self._headers["authorization"] = f"Bearer {endpoint.token}"
        self._connection: http.client.HTTPConnection
        if endpoint.tls:
            self._connection = http.client.HTTPSConnection(
                endpoint.host, endpoint.port, context=_tls_context(endpoint)
            )
        else:
            self._connection = http.client.HTTPConnection(endpoint.host, endpoint.port)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def get(self, path: str) -> Any:
        """Ask for a JSON object.

        Raises
        ------
        RemoteError
            The server cannot be asked, answers with an error, or with something else than an object.
        """
        return self.parsed(self.send("GET", path, None))

    def send(self, verb: str, path: str, body: bytes | None) -> bytes:
        """Send a request and return the body of its answer.

        Raises
        ------
        RemoteError
            The server cannot be asked, or answers with an error.
        """
        where = self._endpoint.address
        try:
            response, content = self._exchange(verb, path, body)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            code = ErrorCode.DEADLINE_EXCEEDED if isinstance(error, TimeoutError) else ErrorCode.UNAVAILABLE
            raise RemoteError(f"{where} cannot be asked: {_why(error)}", code=code) from error
        if response.status != http.client.OK:
            raise RemoteError(
                f"{where} answered {response.status} {response.reason}: {_error_text(content)}",
                code=_CODES.get(response.status, ErrorCode.UNKNOWN),
            )
        return content

    def _exchange(self, verb: str, path: str, body: bytes | None) -> tuple[http.client.HTTPResponse, bytes]:
        """Send a request and read its answer; raises TimeoutError if both together take too long."""
        deadline = time.monotonic() + self._endpoint.timeout_s
        connection = self._connection
        connection.timeout = self._endpoint.timeout_s
        if connection.sock is None:
            connection.connect()
        socket = connection.sock
        socket.settimeout(_left_s(deadline))
        connection.request(verb, path, body, self._headers)
        socket.settimeout(_left_s(deadline))
        response = connection.getresponse()
        content = bytearray()
        # a timeout of the socket is for each piece: a server may send them one by one for ever
        while piece := response.read1(_READ_BYTES):
            content += piece
            if len(content) > _MAX_ANSWER_BYTES:
                raise http.client.HTTPException(f"expected at most {_MAX_ANSWER_BYTES} bytes, got more")
            if response.isclosed():
                break
            socket.settimeout(_left_s(deadline))
        if response.length:  # reading in pieces does not notice an end that came early
            raise http.client.IncompleteRead(bytes(content), response.length)
        response.close()  # the connection is for the next request
        return response, bytes(content)

    def parsed(self, content: bytes) -> Any:
        """Return the JSON object that an answer is; raises RemoteError where it is none."""
        try:
            answer = json.loads(content)
        except ValueError as error:
            raise self.unreadable("JSON") from error
        if not isinstance(answer, dict):
            raise self.unreadable("an object")
        return answer

    def unreadable(self, expected: str) -> RemoteError:
        """Return the error of an answer that is not what it should be."""
        return RemoteError(
            f"{self._endpoint.address}: expected {expected}, got something else", code=ErrorCode.INTERNAL
        )


def _tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=endpoint.ca_file)
    if endpoint.cert_file is not None:
        context.load_cert_chain(endpoint.cert_file, endpoint.key_file)
    return context


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s


def _why(error: OSError | http.client.HTTPException) -> str:
    """Say why there was no answer; what a server of another protocol sent stays off the terminal."""
    if isinstance(error, http.client.BadStatusLine) and not isinstance(error, ConnectionError):
        return "it answers, but not over HTTP (is it a port for gRPC?)"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return text or type(error).__name__


def _error_text(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode("utf-8", "replace")
