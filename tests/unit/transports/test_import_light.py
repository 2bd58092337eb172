"""Naming a transport costs no framework: the libraries are imported when it starts."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("navi_core.transports.grpc.transport", ("grpc", "aiohttp")),
        ("navi_core.transports.http.transport", ("grpc", "aiohttp")),
        ("navi_core.transports.asgi.transport", ("grpc", "aiohttp")),
        ("navi_core.services.health", ("grpc", "aiohttp", "google.protobuf")),
        ("navi_core.services.operations", ("grpc", "aiohttp", "google.protobuf")),
    ],
)
def test_importing_it_imports_no_library(module, heavy):
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"
