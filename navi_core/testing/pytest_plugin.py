"""Fixtures for everyone who tests a plugin; loaded by pytest because navi-core is installed."""

from __future__ import annotations

import pytest

from navi_core.clock import ManualClock

__all__ = ["manual_clock"]

# A failing conformance case shows both sides of its comparison, like a test of the plugin's own.
pytest.register_assert_rewrite(
    "navi_core.testing.converter",
    "navi_core.testing.runtime",
    "navi_core.testing.transport",
    "navi_core.testing.transport_cases",
    "navi_core.testing.transport_http_cases",
    "navi_core.testing.transport_rpc_cases",
)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of the conformance suites, so that strict marker checks accept it."""
    config.addinivalue_line("markers", "conformance: one case of a shared conformance suite")


@pytest.fixture
def manual_clock() -> ManualClock:
    """Return a clock that moves only when the test says so."""
    return ManualClock()
