"""Fixtures for everyone who tests a plugin; loaded by pytest because navi-core is installed."""

from __future__ import annotations

import pytest

from navi_core.clock import ManualClock

__all__ = ["manual_clock"]


@pytest.fixture
def manual_clock() -> ManualClock:
    """Return a clock that moves only when the test says so."""
    return ManualClock()
