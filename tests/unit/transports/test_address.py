"""How an address is written: as a URL that clients can be given."""

from __future__ import annotations

import pytest

from navi_core.contracts.transport import Address


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("grpc", "127.0.0.1", 8500), "grpc://127.0.0.1:8500"),
        (Address("https", "ranker.internal", 8501), "https://ranker.internal:8501"),
        (Address("http", "::1", 8501), "http://[::1]:8501"),
        (Address("grpc", "::", 8500), "grpc://[::]:8500"),
        (Address("unix", "/run/navi.sock", 0), "unix:/run/navi.sock"),
    ],
)
def test_address__is_written_as_a_url(address, text):
    assert str(address) == text
