"""The bytes of one connection -> messages. No sockets and no waiting: bytes are put in, messages taken out.

A message is read into a buffer of the connection's own where it is small, else into one made for it, which is given
away with it: large requests are not copied. Memory is taken after limit and budget were asked, and for messages that
are very large only as they come, so that a length that somebody made up costs nothing.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from navi_core import BodyHold, DecodeError, MemoryBudgetError, NaviError, RequestTooLargeError
from navi_dr_transform import wire
from navi_dr_transform.thrift_service.messages import (
    SNIFF_BYTES,
    Framing,
    Header,
    ThriftProtocolError,
    read_header,
    sniff_framing,
)
from navi_dr_transform.thrift_service.scanner import Scan

__all__ = ["Inbound", "Message", "Refusal"]

_SCRATCH_BYTES: Final = 1 << 14
"""Of each connection's own buffer; more than a header takes."""

_AT_ONCE_BYTES: Final = 1 << 23
"""Memory for so large a message is taken when its length is known; for larger ones as they come."""

_FRAME: Final = struct.Struct(">i")


@dataclass(frozen=True, slots=True)
class Message:
    """A message that has come whole.

    Parameters
    ----------
    header
        Its header.
    body
        What follows: the arguments struct, and in a frame whatever stands behind it.
    hold
        Its share of the memory budget, to be released when its answer is written.
    """

    header: Header
    body: bytes | memoryview
    hold: BodyHold


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that is not read.

    Parameters
    ----------
    header
        Its header, which an answer needs; None: there is none.
    error
        Why.
    is_last
        What follows on the connection cannot be understood.
    """

    header: Header | None
    error: NaviError
    is_last: bool


class Inbound:
    """What one connection's client sends.

    Parameters
    ----------
    max_message_bytes
        The largest message, its header not counted.
    new_hold
        Makes a message's share of the memory budget.

    Attributes
    ----------
    framing
        How messages are told apart; None: too little has come.
    received_bytes
        All that has come since the last message was taken out.
    """

    def __init__(self, max_message_bytes: int, new_hold: Callable[[], BodyHold]) -> None:
        self.framing: Framing | None = None
        self.received_bytes = 0
        self._max_message_bytes: Final = max_message_bytes
        self._new_hold: Final = new_hold
        self._buffer = bytearray(_SCRATCH_BYTES)
        self._stop = 0
        self._to_skip = 0
        self._hold = new_hold()
        self._held_bytes = 0
        self._header: Header | None = None
        self._scan: Scan | None = None

    @property
    def has_begun(self) -> bool:
        """Whether a part of a message is here."""
        return self._stop > 0 or self._to_skip > 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be put in before a message is taken out."""
        return self._stop == len(self._buffer)

    def free(self) -> memoryview:
        """Return where bytes can be put; empty when it is full."""
        return memoryview(self._buffer)[self._stop :]

    def put(self, num_bytes: int) -> None:
        """Note that bytes were put into what ``free`` returned."""
        self._stop += num_bytes
        self.received_bytes += num_bytes
        if self._to_skip:
            skipped = min(self._to_skip, self._stop)
            self._to_skip -= skipped
            self._drop(skipped)

    def take(self) -> Message | Refusal | None:
        """Return the next message, or why it is refused; None: more bytes are needed, and there is room for them."""
        if not self._stop or self._to_skip:
            return None
        try:
            if self.framing is None:
                self.framing = sniff_framing(bytes(self._buffer[: min(self._stop, SNIFF_BYTES)]))
            match self.framing:
                case Framing.FRAMED:
                    return self._take_framed()
                case Framing.BUFFERED:
                    return self._take_buffered()
                case _:
                    return None
        except ThriftProtocolError as error:
            return Refusal(None, error, is_last=True)

    def skip_rest(self) -> None:
        """Throw away whatever comes from now on."""
        self._begin_anew()
        self._to_skip = sys.maxsize
        self.put(0)

    def close(self) -> None:
        """Give back what a message that will not come has taken."""
        self._hold.release()
        self._held_bytes = 0

    # --- framed ---------------------------------------------------------------------------------------

    def _take_framed(self) -> Message | Refusal | None:
        if self._stop < _FRAME.size:
            return None
        size = _FRAME.unpack_from(self._buffer)[0]
        if size <= 0:
            raise ThriftProtocolError(f"thrift frame: expected a length of at least 1, got {size}")
        end = _FRAME.size + size
        if self._header is None:
            self._header = read_header(memoryview(self._buffer)[_FRAME.size : min(self._stop, end)])
        header = self._header
        if header is None:
            if self._stop >= end:
                raise ThriftProtocolError(
                    f"thrift frame: expected a message, got {size} bytes that hold none"
                )
            return None
        try:
            if size - header.size_bytes > self._max_message_bytes:
                raise _too_large(self._max_message_bytes, str(size - header.size_bytes))
            self._make_room(end)
        except (MemoryBudgetError, RequestTooLargeError) as error:
            self._to_skip = end
            self._begin_anew()
            self.put(0)
            return Refusal(header, error, is_last=False)
        if self._stop < end:
            return None
        return self._message(header, _FRAME.size + header.size_bytes, end)

    # --- buffered ------------------------------------------------------------------------------------

    def _take_buffered(self) -> Message | Refusal | None:
        if self._header is None:
            self._header = read_header(memoryview(self._buffer)[: self._stop])
        header = self._header
        if header is None:
            return None
        limit = header.size_bytes + self._max_message_bytes
        if self._scan is None:
            self._scan = Scan(wire.STRUCT, header.size_bytes, limit)
        scan = self._scan
        error: NaviError
        try:
            if self._stop >= scan.wanted and scan.go_on(self._buffer, self._stop):
                self._reserve(scan.offset)
                return self._message(header, header.size_bytes, scan.offset)
            self._make_room(max(scan.wanted, self._stop + 1))
        except DecodeError as malformed:
            error = malformed
            if scan.wanted > limit:
                error = _too_large(self._max_message_bytes, f"at least {scan.wanted - header.size_bytes}")
        except MemoryBudgetError as no_memory:
            error = no_memory
        else:
            return None
        return Refusal(header, error, is_last=True)

    # --- memory ----------------------------------------------------------------------------------------

    def _make_room(self, end: int) -> None:
        """See that a message that ends there, or its next part, fits.

        Raises
        ------
        MemoryBudgetError
            The budget does not allow it now.
        """
        if end <= len(self._buffer):
            self._reserve(end)
        elif len(self._buffer) == _SCRATCH_BYTES or self.is_full:
            size = min(end if end <= _AT_ONCE_BYTES else max(2 * self._stop, _AT_ONCE_BYTES), end)
            if self.framing is Framing.BUFFERED:
                size = max(size, 2 * self._stop)
            self._reserve(size)
            larger = bytearray(size)
            larger[: self._stop] = memoryview(self._buffer)[: self._stop]
            self._buffer = larger

    def _reserve(self, end: int) -> None:
        """Hold what a message takes that ends there, without its header: as for other transports, bodies count."""
        header_bytes = 0 if self._header is None else self._header.size_bytes
        if self.framing is Framing.FRAMED:
            header_bytes += _FRAME.size
        size_bytes = end - header_bytes
        if size_bytes > self._held_bytes:
            self._hold.grow(size_bytes - self._held_bytes)
            self._held_bytes = size_bytes

    def _message(self, header: Header, start: int, end: int) -> Message:
        """Take the message out; what came after it stays."""
        view = memoryview(self._buffer)
        hold = self._hold
        if len(self._buffer) == _SCRATCH_BYTES:
            body: bytes | memoryview = bytes(view[start:end])
            self._drop(end)
        else:
            body = view[start:end].toreadonly()
            rest = view[end : self._stop]
            self._buffer = bytearray(_SCRATCH_BYTES if len(rest) < _SCRATCH_BYTES else 2 * len(rest))
            self._buffer[: len(rest)] = rest
            self._stop = len(rest)
        self._forget(self._new_hold())
        return Message(header, body, hold)

    def _drop(self, num_bytes: int) -> None:
        rest = bytes(memoryview(self._buffer)[num_bytes : self._stop])
        if len(self._buffer) > _SCRATCH_BYTES > len(rest):
            self._buffer = bytearray(_SCRATCH_BYTES)
        self._buffer[: len(rest)] = rest
        self._stop = len(rest)

    def _begin_anew(self) -> None:
        """Give back what a refused message has taken; the bytes that are here stay."""
        self._hold.release()
        self._forget(self._hold)

    def _forget(self, hold: BodyHold) -> None:
        self._hold = hold
        self._held_bytes = 0
        self._header = None
        self._scan = None
        self.received_bytes = self._stop


def _too_large(limit: int, got: str) -> RequestTooLargeError:
    return RequestTooLargeError(f"message: expected at most {limit} bytes, got {got}")
