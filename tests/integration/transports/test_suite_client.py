"""The HTTP client of the transport suite, against a server that behaves badly."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
from contextlib import suppress

import pytest

from navi_core.testing.http_client import AiohttpClient

pytestmark = pytest.mark.integration


async def _give_up_a_request(origin: str) -> None:
    client = AiohttpClient(origin)
    request = asyncio.create_task(client.request("POST", "/", body=bytes(64 << 20)))
    await asyncio.sleep(0.1)  # the buffers of both sides fill up
    request.cancel()
    with suppress(asyncio.CancelledError):
        await request
    await client.close()


def test_a_closed_client_leaves_no_socket_with_bytes_that_nobody_took() -> None:
    """A connection given up with unsent bytes outlived its loop; a later test's garbage collection warned."""
    gc.collect()  # what other tests left is theirs
    with socket.create_server(("127.0.0.1", 0)) as takes_nothing:
        host, port = takes_nothing.getsockname()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            asyncio.run(_give_up_a_request(f"http://{host}:{port}"))
            gc.collect()
    assert [str(warning.message) for warning in seen] == []


async def _close_with_bytes_that_nobody_takes(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(bytes(64 << 20))
    writer.close()


def test_a_closed_connection_does_not_outlive_its_loop() -> None:
    """What ``conftest.py`` does for every loop of the tests."""
    gc.collect()  # what other tests left is theirs
    with (
        socket.create_server(("127.0.0.1", 0)) as takes_nothing,
        warnings.catch_warnings(record=True) as seen,
    ):
        warnings.simplefilter("always")
        asyncio.run(_close_with_bytes_that_nobody_takes(takes_nothing.getsockname()[1]))
        gc.collect()
    assert [str(warning.message) for warning in seen] == []
