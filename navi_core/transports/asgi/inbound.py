"""The messages that a gRPC client sends, read from a channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from navi_core.contracts.transport import TransportOptions
from navi_core.errors import ErrorCode, InvalidRequestError, NaviError, UnsupportedError
from navi_core.transports.asgi.channel import Channel, ClientGoneError
from navi_core.transports.asgi.framing import Frame, FrameDecoder
from navi_core.transports.body import BodyHold
from navi_core.transports.in_flight import Ending, RunningCall
from navi_core.transports.inflate import Encoding, Inflater
from navi_core.types import Bytes

__all__ = ["Inbound"]


class Inbound:
    """An iterator over messages; each is held in the budget until the next one is asked for.

    Parameters
    ----------
    channel
        Where the bytes come from.
    options
        The limits.
    encoding
        What compressed messages are compressed with; None: the client named nothing.
    """

    __slots__ = (
        "_channel",
        "_decoder",
        "_encoding",
        "_frames",
        "_hold",
        "_options",
        "refusal",
        "running",
        "was_compressed",
        "wire_size_bytes",
    )

    def __init__(self, channel: Channel, options: TransportOptions, encoding: Encoding | None) -> None:
        self._channel = channel
        self._options = options
        self._encoding = encoding
        self._hold = BodyHold(options.budget)
        self._decoder: FrameDecoder | None = None
        self._frames: Iterator[Frame] = iter(())
        self.running: RunningCall | None = None
        self.refusal: NaviError | None = None
        self.wire_size_bytes = 0
        self.was_compressed = False

    def __aiter__(self) -> AsyncIterator[Bytes]:
        return self

    async def __anext__(self) -> Bytes:
        """Return the client's next message.

        Raises
        ------
        StopAsyncIteration
            The client has ended its side.
        NaviError
            The message cannot be taken; :attr:`refusal` is the same error.
        """
        self._hold.release()
        try:
            message = await self._next()
        except NaviError as error:
            self.refusal = error
            raise
        except ClientGoneError:
            if self.running is not None:
                self.running.interrupt(Ending.CLIENT_GONE)
            await asyncio.sleep(0)  # the cancellation arrives here
            raise asyncio.CancelledError from None
        if message is None:
            raise StopAsyncIteration
        return message

    async def single(self, piece: bytes) -> Bytes:
        """Return the one message of an RPC whose client sends one, after its half-close; ``piece`` came already.

        Raises
        ------
        UnsupportedError
            The client sent none, or several.
        NaviError
            The message cannot be taken.
        ClientGoneError
            The client went away before it was complete.
        """
        self._feed(piece)
        message = await self._next()
        if message is None:
            raise UnsupportedError("gRPC request: expected one message, got none")
        if await self._next() is not None:
            raise UnsupportedError("gRPC request: expected one message, got more")
        return message

    def release(self) -> None:
        """Give the budget back what the last message took. Idempotent."""
        self._hold.release()

    async def _next(self) -> Bytes | None:
        while True:
            frame = next(self._frames, None)
            if frame is not None:
                return await self._decoded(frame)
            if self._channel.body_ended:
                if self._decoder is not None:
                    self._decoder.finish()
                return None
            self._feed(await self._channel.next_piece())

    def _feed(self, piece: bytes) -> None:
        if self._decoder is None:
            self._decoder = FrameDecoder(self._options.max_message_bytes, self._hold.grow)
        self._frames = self._decoder.feed(piece)

    async def _decoded(self, frame: Frame) -> Bytes:
        self.wire_size_bytes += len(frame.payload)
        if not frame.is_compressed:
            return frame.payload
        if self._encoding is None:
            raise InvalidRequestError(
                "gRPC message: expected grpc-encoding beside a compressed message, got none",
                code=ErrorCode.INTERNAL,
            )
        self.was_compressed = True
        options = self._options
        inflater = Inflater(
            self._encoding,
            max_inflated_bytes=min(options.max_inflated_bytes, options.max_message_bytes),
            max_inflate_ratio=options.max_inflate_ratio,
        )
        pieces = []
        for piece in inflater.feed(bytes(frame.payload)):
            self._hold.grow(len(piece))
            pieces.append(piece)
            await asyncio.sleep(0)  # inflating is work: others get their turn
        inflater.finish()
        return b"".join(pieces)
