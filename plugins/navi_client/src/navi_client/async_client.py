"""The client for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray

from navi_client.asking import Asking
from navi_client.errors import ClientError
from navi_client.messages import Class, ListedModel, ModelMetadata, Outputs, Request, Target, VersionStatus
from navi_client.protocols.base import Exchange
from navi_client.types import Features, Inputs, Parameters

__all__ = ["AsyncClient"]

T = TypeVar("T")


class AsyncClient(Asking):
    """A client for an event loop: `navi_client.Client` with coroutines. An async context manager.

    One client belongs to the loop on which it was first used. The parameters are those of `navi_client.Client`.
    """

    async def __aenter__(self) -> Self:
        self._open(grpc.aio)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; requests in flight are cancelled. Idempotent."""
        self._is_closed = True
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def predict(
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
        """Ask for a prediction; see `navi_client.Client.predict`."""
        exchange = self._prediction(model, inputs, version, label, signature, outputs, parameters, request_id)
        return await self._ask(exchange, timeout_s)

    async def classify(
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
        """Ask for classes of examples; see `navi_client.Client.classify`."""
        target = Target(model, version, label, signature)
        return await self._ask(self._protocol.classify(target, examples, context), timeout_s)

    async def regress(
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
        """Ask for values of examples; see `navi_client.Client.regress`."""
        target = Target(model, version, label, signature)
        return await self._ask(self._protocol.regress(target, examples, context), timeout_s)

    async def metadata(
        self,
        model: str,
        *,
        version: int | str | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
    ) -> ModelMetadata:
        """Ask what a model takes and gives; see `navi_client.Client.metadata`."""
        return await self._ask(self._protocol.metadata(Target(model, version, label)), timeout_s)

    async def status(
        self, model: str, *, version: int | None = None, timeout_s: float | None = None
    ) -> list[VersionStatus]:
        """Ask for the states of a model's versions; see `navi_client.Client.status`."""
        return await self._ask(self._protocol.status(Target(model, version)), timeout_s)

    async def models(self, *, timeout_s: float | None = None) -> list[ListedModel]:
        """Ask which models there are; see `navi_client.Client.models`."""
        return await self._ask(self._protocol.models(), timeout_s)

    async def live(self, *, timeout_s: float | None = None) -> bool:
        """Ask whether the server is there; see `navi_client.Client.live`."""
        return await self._ask(self._protocol.live(), timeout_s)

    async def ready(
        self, model: str | None = None, *, version: int | str | None = None, timeout_s: float | None = None
    ) -> bool:
        """Ask whether the server, or one model, takes requests; see `navi_client.Client.ready`."""
        return await self._ask(self._protocol.ready(self._optional_target(model, version)), timeout_s)

    async def stream(
        self, requests: Iterable[Request] | AsyncIterable[Request], *, timeout_s: float | None = None
    ) -> AsyncIterator[Outputs | ClientError]:
        """Send requests over one stream, and yield the answers as they come; see `navi_client.Client.stream`."""
        method = self._stream_method(timeout_s)
        faults: list[Exception] = []

        async def bodies() -> AsyncIterator[bytes]:
            try:
                async for request in _each(requests):
                    yield self._protocol.stream_request(request)
            except Exception as error:  # raised for the caller below, not in gRPC's task
                faults.append(error)
                call.cancel()

        channel = self._open(grpc.aio)
        call = channel.stream_stream(method)(bodies(), timeout=timeout_s, metadata=self._metadata)
        try:
            async for body in call:
                yield self._protocol.read_stream_answer(body)
        except asyncio.CancelledError:
            if faults:  # it was the call that was cancelled, not the caller
                raise faults[0] from None
            raise
        except grpc.aio.AioRpcError as error:
            raise self._failed(error) from error
        finally:
            call.cancel()

    async def _ask(self, exchange: Exchange[T], timeout_s: float | None) -> T:
        attempts = self._begin(exchange, timeout_s)
        call = self._call(grpc.aio, exchange.method)
        while True:
            try:
                body = await call(exchange.body, timeout=attempts.remaining_s(), metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                failure = self._failed(error, attempts.retries_done)
                if failure.code in exchange.failures:
                    return exchange.failures[failure.code]
                pause_s = attempts.pause_s(failure.code)
                if pause_s is None:
                    raise failure from error
                await asyncio.sleep(pause_s)
            else:
                return self._read(exchange, body, attempts)


async def _each(requests: Iterable[Request] | AsyncIterable[Request]) -> AsyncIterator[Request]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request
