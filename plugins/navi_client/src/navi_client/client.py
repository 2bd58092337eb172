"""The client that blocks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray

from navi_client.asking import Asking
from navi_client.errors import ClientError
from navi_client.messages import Class, ListedModel, ModelMetadata, Outputs, Request, Target, VersionStatus
from navi_client.protocols.base import Exchange
from navi_client.types import Features, Inputs, Parameters

__all__ = ["Client"]

T = TypeVar("T")


class Client(Asking):
    """A client that blocks. Thread-safe; a context manager. It connects when it is first used.

    Parameters
    ----------
    address
        ``HOST:PORT``, ``unix:PATH``, or any other target that gRPC resolves.
    protocol
        ``tf_serving``, ``oip`` (Triton, KServe, MLServer, OpenVINO) or ``proton``.
    tls
        True: encrypted, trusting whom gRPC trusts; `Tls`: with files.
    token
        Sent as ``authorization: Bearer TOKEN``; use TLS with it.
    retries
        How many times a request is sent again after RESOURCE_EXHAUSTED or UNKNOWN, or `Retries`. 0: never.
    timeout_s
        How long a request may take with all its retries, unless it says otherwise; None: for ever.
    compression
        ``gzip`` or ``deflate`` for what is sent. What comes is inflated whatever it is.
    max_message_bytes
        The largest request and answer, and the largest tensor that an answer may become.
    keepalive_s
        Ask for a sign of life every so often while requests are in flight; None: the system finds out.
    metadata
        Sent with every request.
    channel_options
        More options of the channel, as gRPC names them; they win over the client's own.

    Raises
    ------
    ValueError
        An argument is not what it can be.
    OSError
        A file of `Tls` cannot be read.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; requests in flight are cancelled. Idempotent."""
        self._is_closed = True
        if self._channel is not None:
            self._channel.close()

    def predict(
        self,
        model: str,
        inputs: Inputs,
        *,
        version: int | str | None = None,
        label: str | None = None,
        signature: str = "",
        outputs: Sequence[str] = (),
        parameters: Parameters | None = None,
        request_id: str = "",
        timeout_s: float | None = None,
    ) -> Outputs:
        """Ask for a prediction.

        Parameters
        ----------
        model
            The model's name.
        inputs
            Input name -> array. bool, (u)int8 to (u)int64, float16 to float64, complex, bfloat16, float8 and
            strings, as far as the protocol has them; strings as object arrays of ``bytes`` or ``str``, as ``S`` or
            ``U`` arrays, or as lists.
        version, label
            Which version; neither: the server's choice, the newest. Labels: TensorFlow Serving.
        signature
            Which signature (TensorFlow Serving); empty: ``serving_default``.
        outputs
            The outputs that are wanted; empty: all.
        parameters, request_id
            Parameters and id of the request (Open Inference Protocol).
        timeout_s
            How long this request may take with all its retries; None: what the client was made with.

        Returns
        -------
        outputs
            Output name -> array, a dict with attributes. Numeric arrays are read-only views of the answer where
            its encoding allows.

        Raises
        ------
        ClientError
            The request failed: the server's code and words.
        DecodeError
            The answer cannot be read.
        UnsupportedError
            The protocol does not have what is asked for.
        TypeError, ValueError
            An argument is not what it can be.
        """
        exchange = self._prediction(model, inputs, version, label, signature, outputs, parameters, request_id)
        return self._ask(exchange, timeout_s)

    def classify(
        self,
        model: str,
        examples: Sequence[bytes | Features],
        *,
        context: bytes | Features | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str = "",
        timeout_s: float | None = None,
    ) -> list[list[Class]]:
        """Ask for classes of examples (TensorFlow Serving).

        Parameters
        ----------
        model, version, label, signature, timeout_s
            See `predict`.
        examples
            Serialized ``tf.Example``, or their features (see `navi_client.encode_example`).
        context
            An example whose features all others share.

        Returns
        -------
        classes
            For each example its classes.

        Raises
        ------
        ClientError, TypeError, ValueError
            See `predict` and `navi_client.encode_example`.
        """
        target = Target(model, version, label, signature)
        return self._ask(self._protocol.classify(target, examples, context), timeout_s)

    def regress(
        self,
        model: str,
        examples: Sequence[bytes | Features],
        *,
        context: bytes | Features | None = None,
        version: int | None = None,
        label: str | None = None,
        signature: str = "",
        timeout_s: float | None = None,
    ) -> NDArray[np.float32]:
        """Ask for values of examples (TensorFlow Serving).

        Parameters
        ----------
        model, examples, context, version, label, signature, timeout_s
            See `classify`.

        Returns
        -------
        values
            (examples,) float32.

        Raises
        ------
        ClientError, TypeError, ValueError
            See `classify`.
        """
        target = Target(model, version, label, signature)
        return self._ask(self._protocol.regress(target, examples, context), timeout_s)

    def metadata(
        self,
        model: str,
        *,
        version: int | str | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
    ) -> ModelMetadata:
        """Ask what a model takes and gives (not in Proton's protocol).

        Raises
        ------
        ClientError, ValueError
            See `predict`.
        """
        return self._ask(self._protocol.metadata(Target(model, version, label)), timeout_s)

    def status(
        self, model: str, *, version: int | None = None, timeout_s: float | None = None
    ) -> list[VersionStatus]:
        """Ask for the states of a model's versions, or of one (TensorFlow Serving).

        Raises
        ------
        ClientError, ValueError
            See `predict`.
        """
        return self._ask(self._protocol.status(Target(model, version)), timeout_s)

    def models(self, *, timeout_s: float | None = None) -> list[ListedModel]:
        """Ask which models there are (Open Inference Protocol, Triton's repository extension).

        Raises
        ------
        ClientError
            See `predict`.
        """
        return self._ask(self._protocol.models(), timeout_s)

    def live(self, *, timeout_s: float | None = None) -> bool:
        """Ask whether the server is there.

        Over the Open Inference Protocol by its own call, else by gRPC's health service.

        Raises
        ------
        ClientError
            It cannot be reached.
        """
        return self._ask(self._protocol.live(), timeout_s)

    def ready(
        self, model: str | None = None, *, version: int | str | None = None, timeout_s: float | None = None
    ) -> bool:
        """Ask whether the server, or one model, takes requests. An unknown model does not.

        Parameters
        ----------
        model, version
            Which; None: the server as a whole (TensorFlow Serving, Proton: by gRPC's health service, which not
            every server has).
        timeout_s
            See `predict`.

        Raises
        ------
        ClientError, ValueError
            See `predict`.
        """
        return self._ask(self._protocol.ready(self._optional_target(model, version)), timeout_s)

    def stream(
        self, requests: Iterable[Request], *, timeout_s: float | None = None
    ) -> Iterator[Outputs | ClientError]:
        """Send requests over one stream, and yield the answers as they come (Open Inference Protocol).

        Models may answer one request several times, or not at all: `Outputs.request_id` says which one it is.
        Nothing is sent again.

        Parameters
        ----------
        requests
            They are taken by a thread of gRPC's, as fast as the server takes them.
        timeout_s
            How long the stream may take as a whole; None: for ever.

        Yields
        ------
        answer
            Outputs, or the failure of one request, after which the stream goes on.

        Raises
        ------
        ClientError
            The stream as a whole failed.
        TypeError, ValueError, UnsupportedError
            A request cannot be sent, or ``requests`` raised.
        """
        method = self._stream_method(timeout_s)
        faults: list[Exception] = []

        def bodies() -> Iterator[bytes]:
            try:
                for request in requests:
                    yield self._protocol.stream_request(request)
            except Exception as error:  # raised for the caller below, not in gRPC's thread
                faults.append(error)
                call.cancel()

        call = self._open(grpc).stream_stream(method)(bodies(), timeout=timeout_s, metadata=self._metadata)
        try:
            for body in call:
                yield self._protocol.read_stream_answer(body)
        except grpc.RpcError as error:
            if faults:
                raise faults[0] from None
            raise self._failed(error) from error
        finally:
            call.cancel()

    def _ask(self, exchange: Exchange[T], timeout_s: float | None) -> T:
        attempts = self._begin(exchange, timeout_s)
        call = self._call(grpc, exchange.method)
        while True:
            try:
                body = call(exchange.body, timeout=attempts.remaining_s(), metadata=self._metadata)
            except grpc.RpcError as error:
                failure = self._failed(error, attempts.retries_done)
                if failure.code in exchange.failures:
                    return exchange.failures[failure.code]
                pause_s = attempts.pause_s(failure.code)
                if pause_s is None:
                    raise failure from error
                time.sleep(pause_s)
            else:
                return self._read(exchange, body, attempts)
