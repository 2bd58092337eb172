"""The least that a gRPC server can do: HTTP/2 frames, and the same answer to every call, whatever its headers say.

Rules of the file, by RFC 9113: nothing needs to be known of a request but that its stream has ended, so the headers
are not decoded; ours are literals without indexing (RFC 7541, 6.2.2), which keep no state. Windows: we give what the
format allows, and keep those that we are given, also where an answer is larger than they are.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["FixedHttp2"]

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
_END_STREAM: Final = 0x1
_ACK: Final = 0x1
_END_HEADERS: Final = 0x4
_INITIAL_WINDOW_SIZE: Final = 4
_DEFAULT_WINDOW: Final = 65535
_MAX_WINDOW: Final = 2**31 - 1
_FRAME_BYTES: Final = 16384
_HEAD_BYTES: Final = 9


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


_OPENING: Final = b"\x88" + _literal(b"content-type", b"application/grpc")  # 0x88: ":status: 200"
_TRAILERS: Final = _literal(b"grpc-status", b"0")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class _Rest:
    """What is left of an answer that the windows do not let through."""

    def __init__(self, stream: int, window: int) -> None:
        self.stream = stream
        self.window = window
        self.pos = 0


class FixedHttp2:
    """One connection: bytes in, bytes out.

    Parameters
    ----------
    answer
        The message of every answer.
    """

    def __init__(self, answer: bytes) -> None:
        self._answer = struct.pack(">BI", 0, len(answer)) + answer
        self._data = b""
        self._has_preface = False
        self._window = _DEFAULT_WINDOW
        self._stream_window = _DEFAULT_WINDOW
        self._rests: dict[int, _Rest] = {}
        self._unacknowledged = 0
        self._out: list[bytes] = []

    def opening(self) -> bytes:
        """Return what a server sends first."""
        settings = struct.pack(">HI", _INITIAL_WINDOW_SIZE, _MAX_WINDOW)
        more = struct.pack(">I", _MAX_WINDOW - _DEFAULT_WINDOW)
        return _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, more)

    def feed(self, data: bytes) -> bytes:
        """Take what came; return what is to be sent."""
        data = self._data + data if self._data else data
        pos = 0
        if not self._has_preface:
            if len(data) < len(_PREFACE):
                self._data = data
                return b""
            self._has_preface = True
            pos = len(_PREFACE)
        while len(data) - pos >= _HEAD_BYTES:
            end = pos + _HEAD_BYTES + int.from_bytes(data[pos : pos + 3], "big")
            if len(data) < end:
                break
            stream = int.from_bytes(data[pos + 5 : pos + 9], "big") & 0x7FFFFFFF
            self._take(data[pos + 3], data[pos + 4], stream, data, pos + _HEAD_BYTES, end)
            pos = end
        self._data = data[pos:]
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _take(self, kind: int, flags: int, stream: int, data: bytes, begin: int, end: int) -> None:
        if kind in (_DATA, _HEADERS):
            if kind == _DATA:
                self._acknowledge(end - begin)
            if flags & _END_STREAM:
                self._begin_answer(stream)
        elif kind == _SETTINGS and not flags & _ACK:
            for place in range(begin, end, 6):
                key, value = struct.unpack_from(">HI", data, place)
                if key == _INITIAL_WINDOW_SIZE:
                    for rest in self._rests.values():
                        rest.window += value - self._stream_window
                    self._stream_window = value
            self._out.append(_frame(_SETTINGS, _ACK, 0, b""))
            self._continue()
        elif kind == _PING and not flags & _ACK:
            self._out.append(_frame(_PING, _ACK, 0, data[begin:end]))
        elif kind == _WINDOW_UPDATE:
            more = int.from_bytes(data[begin:end], "big") & _MAX_WINDOW
            if not stream:
                self._window += more
            elif stream in self._rests:
                self._rests[stream].window += more
            self._continue()
        elif kind == _RST_STREAM:
            self._rests.pop(stream, None)

    def _acknowledge(self, size: int) -> None:
        self._unacknowledged += size
        if self._unacknowledged > _MAX_WINDOW // 2:
            self._out.append(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._unacknowledged)))
            self._unacknowledged = 0

    def _begin_answer(self, stream: int) -> None:
        self._out.append(_frame(_HEADERS, _END_HEADERS, stream, _OPENING))
        rest = _Rest(stream, self._stream_window)
        if not self._send(rest):
            self._rests[stream] = rest

    def _continue(self) -> None:
        for rest in list(self._rests.values()):
            if self._send(rest):
                del self._rests[rest.stream]

    def _send(self, rest: _Rest) -> bool:
        """Send what the windows let through; tell whether that was all."""
        answer = self._answer
        while rest.pos < len(answer):
            size = min(len(answer) - rest.pos, _FRAME_BYTES, self._window, rest.window)
            if size <= 0:
                return False
            self._out.append(_frame(_DATA, 0, rest.stream, answer[rest.pos : rest.pos + size]))
            rest.pos += size
            rest.window -= size
            self._window -= size
        self._out.append(_frame(_HEADERS, _END_HEADERS | _END_STREAM, rest.stream, _TRAILERS))
        return True
