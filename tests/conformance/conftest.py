"""Runs what is marked ``uvloop`` on that event loop."""

from __future__ import annotations

import asyncio

import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "uvloop: runs on uvloop's event loop")


def pytest_itemcollected(item):
    if item.get_closest_marker("uvloop"):
        try:
            import uvloop  # noqa: F401 - only whether it is here
        except ImportError:
            item.add_marker(pytest.mark.skip(reason="uvloop is not installed here"))


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(config, item):
    """Name the event loop of an async test."""
    if item.get_closest_marker("uvloop"):
        try:
            import uvloop
        except ImportError:
            return {"absent": asyncio.new_event_loop}
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
