"""What the cases of the transport suite have in common: how a transport is made, started and looked at."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar, Final

import msgspec

from navi_core.contracts.transport import Transport
from navi_core.testing.foreign_harness import ForeignHarness
from navi_core.testing.rpc_client import RpcClient
from navi_core.testing.transport_harness import HarnessSettings, SocketHarness, TransportHarness
from navi_core.testing.transport_probe import HTTP_PREFIX, RPC_PREFIX

__all__ = ["DEFAULTS", "KIB", "MIB", "TransportCases", "brief", "counters", "noise"]

KIB: Final = 1 << 10
MIB: Final = 1 << 20

DEFAULTS: Final = HarnessSettings()

_WAIT_S: Final = 60.0


def noise(size_bytes: int) -> bytes:
    """Return bytes that do not compress, the same ones each time."""
    return random.Random(size_bytes).randbytes(size_bytes)  # noqa: S311 - no secret is made of them


def brief(body: bytes | None) -> bytes | str | None:
    """Return a body to compare: itself, or size and digest where a difference would take minutes to show."""
    if body is None or len(body) <= 4 * KIB:
        return body
    return f"{len(body)} bytes with SHA-256 {hashlib.sha256(body).hexdigest()}"


async def counters(harness: TransportHarness) -> Mapping[str, int]:
    """Return the probe's counters, over a connection of its own."""
    try:
        client = harness.rpc_client()
    except LookupError:
        return await _counters_over_http(harness)
    try:
        reply = await client.unary(RPC_PREFIX + "Counters")
        assert reply.status == 0, reply
        shown: Mapping[str, int] = json.loads(reply.messages[0])
        return shown
    finally:
        await client.close()


async def _counters_over_http(harness: TransportHarness) -> Mapping[str, int]:
    client = harness.http_client()
    try:
        reply = await client.request("GET", HTTP_PREFIX + "counters")
        assert reply.status == 200, reply
        shown: Mapping[str, int] = json.loads(reply.body)
        return shown
    finally:
        await client.close()


class TransportCases:
    """Base of the case classes.

    Attributes
    ----------
    transport_type
        The transport to try; made without arguments.
    transport_options
        An instance of its ``options_type``; None: the defaults.
    compresses_answers
        It compresses, with these options, answers for clients that accept it.
    limits_headers
        It refuses headers of 64 KiB; False where that is a foreign server's business.
    """

    transport_type: ClassVar[type[Transport]]
    transport_options: ClassVar[msgspec.Struct | None] = None
    compresses_answers: ClassVar[bool] = False
    limits_headers: ClassVar[bool] = True

    def make_harness(self, settings: HarnessSettings) -> TransportHarness:
        """Return the transport, not started yet, with its clients.

        The default listens in this process, or has the transport launch its server, and speaks to addresses of the
        schemes ``grpc`` and ``http``.
        """
        if self.transport_type.hosting == "hosts_us":
            return ForeignHarness(self.transport_type, settings, own=self.transport_options)
        return SocketHarness(self.transport_type(), settings, own=self.transport_options)

    @asynccontextmanager
    async def running(
        self, settings: HarnessSettings = DEFAULTS, *, may_leave_bytes: bool = False
    ) -> AsyncIterator[TransportHarness]:
        """Run the transport for one case; at the end the memory budget must be whole again."""
        harness = self.make_harness(settings)
        await harness.start()
        try:
            yield harness
            if not may_leave_bytes:
                await self.eventually(harness, lambda seen: seen["in_use_bytes"] == 0)
        finally:
            await harness.stop()

    @asynccontextmanager
    async def rpc(
        self, settings: HarnessSettings = DEFAULTS
    ) -> AsyncIterator[tuple[TransportHarness, RpcClient]]:
        """Run the transport with one RPC client."""
        async with self.running(settings) as harness:
            client = harness.rpc_client()
            try:
                yield harness, client
            finally:
                await client.close()

    async def eventually(
        self, harness: TransportHarness, holds: Callable[[Mapping[str, int]], bool]
    ) -> Mapping[str, int]:
        """Wait until a claim about the counters holds: soon, but for a machine that does much else."""
        end_s = time.monotonic() + _WAIT_S
        while not holds(seen := await counters(harness)):
            assert time.monotonic() < end_s, f"still not so after {_WAIT_S} s: {seen}"
            await asyncio.sleep(0.01)
        return seen
