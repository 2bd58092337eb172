"""An error in a protocol's words, and the responses it becomes."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from navi_core.contracts.service import Response
from navi_core.errors import ErrorCode

__all__ = ["Worded"]


@dataclass(frozen=True, slots=True)
class Worded:
    """An error as the client gets it.

    Parameters
    ----------
    code
        The code that the protocol has for it.
    text
        What went wrong, in the protocol's words.
    reason
        Which limit or state it was, for programs; empty: the code says it all.
    """

    code: ErrorCode
    text: str
    reason: str = ""

    def rpc_response(self, status: int, *, max_bytes: int, truncated: str) -> Response:
        """Make a gRPC response.

        Parameters
        ----------
        status
            gRPC's number.
        max_bytes
            A longer text, in UTF-8, is cut here.
        truncated
            Stands behind a text that was cut.
        """
        text = self.text.encode("utf-8", "replace")
        message = text.decode()
        if len(text) > max_bytes:
            message = text[:max_bytes].decode("utf-8", "ignore") + truncated
        trailers = (("navi-reason", self.reason),) if self.reason else ()
        return Response(status=status, message=message, trailers=trailers)

    def json_response(self, status: int) -> Response:
        """Make an HTTP response: ``{"error": text}``."""
        headers = [("content-type", "application/json")]
        if self.reason:
            headers.append(("navi-reason", self.reason))
        text = self.text.encode("utf-8", "replace").decode()
        return Response(status=status, headers=headers, body=msgspec.json.encode({"error": text}))
