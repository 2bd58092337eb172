"""What all tests of this repository share: patient property tests that are the same everywhere, loops that end whole, a TensorFlow that logs little."""
# ruff: noqa: SLF001 - asyncio shows no connections of a loop, nor what TLS is about to do; Hypothesis has no such setting

from __future__ import annotations

import asyncio
import os
from asyncio.selector_events import BaseSelectorEventLoop
from asyncio.sslproto import SSLProtocol
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

# Hypothesis puts numbers and texts from the local modules that a process has imported among its examples: which these
# are depends on the tests that ran before, and a failure would come once and not again.
providers._get_local_constants = lambda: providers._local_constants

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# As navi-tf sets it: TensorFlow reads it once, and whichever test comes first in a process may be the one to import it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session", autouse=True)
def loops_end_with_their_connections() -> Iterator[None]:
    """Have an event loop that closes cut the connections that were closed and are not gone yet.

    asyncio keeps one until its last byte is taken, or its TLS peer has said goodbye, and closes no loop's connections:
    one whose peer is slow would outlive its loop, and a later test's garbage collection would warn of it. One that
    nobody closed is left alone, for that warning.
    """
    close = BaseSelectorEventLoop.close

    def cut_and_close(loop: Any) -> None:
        if not loop.is_closed() and not loop.is_running():
            ending = [
                transport for transport in loop._transports.values() if _is_closed_by_its_owner(transport)
            ]
            for transport in ending:
                transport.abort()
            if ending:
                loop.run_until_complete(asyncio.sleep(0))  # in which they are told
        close(loop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseSelectorEventLoop, "close", cut_and_close)
        yield


def _is_closed_by_its_owner(transport: Any) -> bool:
    protocol: Any = transport.get_protocol()
    if isinstance(protocol, SSLProtocol):
        transport = protocol._app_transport
    return transport is not None and bool(transport.is_closing())


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show why a test needed its second try: nothing else does where the second one passes."""
    retried = terminalreporter.getreports("rerun")
    if retried:
        terminalreporter.section("tried again")
        for report in retried:
            terminalreporter.write_line(f"{report.nodeid} ({report.when})")
            terminalreporter.write_line(report.longreprtext)
