"""What the tests of the client share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# with --import-mode=importlib, test folders are not packages: this is how their tests share modules
sys.path.insert(0, str(Path(__file__).parent))

from fake_server import FakeServer


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.stop()


@pytest.fixture
def fake_with() -> Iterator[Callable[..., FakeServer]]:
    """Return a function that starts a server with credentials."""
    servers: list[FakeServer] = []

    def start(credentials) -> FakeServer:
        servers.append(FakeServer(credentials))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
