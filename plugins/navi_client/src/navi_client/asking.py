"""What the two clients share: their settings, what each method asks for, and what becomes of a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from navi_client.connection import MAX_MESSAGE_BYTES, Compression, Connection, Tls, check_timeout
from navi_client.errors import ClientError, DecodeError
from navi_client.messages import Outputs, Request, Target
from navi_client.protocols.base import Exchange
from navi_client.protocols.table import ProtocolName, protocol_of
from navi_client.retrying import Attempts, Retries
from navi_client.types import Inputs, Parameters

__all__ = ["Asking"]

T = TypeVar("T")


class Asking:
    """A client without its channel: it knows neither threads nor an event loop.

    Parameters
    ----------
    address, protocol, tls, token, retries, timeout_s, compression, max_message_bytes, keepalive_s, metadata, channel_options
        See `navi_client.Client`.
    """

    def __init__(
        self,
        address: str,
        *,
        protocol: ProtocolName = "tf_serving",
        tls: Tls | bool = False,
        token: str | None = None,
        retries: Retries | int = 2,
        timeout_s: float | None = 30.0,
        compression: Compression | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        keepalive_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        channel_options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._connection = Connection(
            address=address,
            tls=tls,
            token=token,
            timeout_s=timeout_s,
            compression=compression,
            max_message_bytes=max_message_bytes,
            keepalive_s=keepalive_s,
            metadata=metadata or {},
            channel_options=channel_options,
        )
        self._protocol = protocol_of(protocol, max_message_bytes)
        self._retries = retries if isinstance(retries, Retries) else Retries(at_most=retries)
        self._metadata = self._connection.call_metadata()
        self._credentials = self._connection.credentials()
        self._channel: Any = None
        self._calls: dict[str, Any] = {}
        self._is_closed = False
        self._opening = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.address!r}, protocol={self._protocol.name!r})"

    def _open(self, library: Any) -> Any:
        """Return the channel of ``grpc`` or ``grpc.aio``.

        Raises
        ------
        RuntimeError
            The client is closed.
        """
        with self._opening:  # two threads that come first must not open two
            if self._is_closed:
                msg = f"{self!r} is closed"
                raise RuntimeError(msg)
            if self._channel is None:
                self._channel = self._connection.open(library, self._credentials)
            return self._channel

    def _call(self, library: Any, method: str) -> Any:
        """Return what calls a method; bytes go in, and bytes come out."""
        call = self._calls.get(method)
        if call is None or self._is_closed:
            call = self._calls[method] = self._open(library).unary_unary(method)
        return call

    def _stream_method(self, timeout_s: float | None) -> str:
        """Return the method that streams.

        Raises
        ------
        UnsupportedError
            The protocol has none.
        ValueError
            The timeout is none.
        """
        if timeout_s is not None:
            check_timeout(timeout_s)
        return self._protocol.stream_method()

    @staticmethod
    def _optional_target(model: str | None, version: int | str | None) -> Target | None:
        if model is None and version is not None:
            raise ValueError(f"model: expected a name beside version {version}, got none")
        return None if model is None else Target(model, version)

    def _prediction(
        self,
        model: str,
        inputs: Inputs,
        version: int | str | None,
        label: str | None,
        signature: str,
        outputs: Sequence[str],
        parameters: Parameters | None,
        request_id: str,
    ) -> Exchange[Outputs]:
        if isinstance(outputs, str):
            raise TypeError(f"outputs: expected a sequence of names, got '{outputs}'")
        target = Target(model, version, label, signature)
        return self._protocol.predict(Request(target, inputs, outputs, parameters or {}, request_id))

    def _begin(self, exchange: Exchange[Any], timeout_s: float | None) -> Attempts:
        """Check what can be checked before anything is sent; return the request's attempts."""
        self._connection.check_size(exchange.body)
        timeout_s = self._connection.timeout_s if timeout_s is None else check_timeout(timeout_s)
        return Attempts(self._retries, timeout_s, time.monotonic)

    def _read(self, exchange: Exchange[T], body: bytes, attempts: Attempts) -> T:
        try:
            return exchange.read(body)
        except DecodeError as error:
            error.address, error.retries = self._connection.address, attempts.retries_done
            raise

    def _failed(self, error: Any, retries: int = 0) -> ClientError:
        return self._connection.failure(error, retries)
