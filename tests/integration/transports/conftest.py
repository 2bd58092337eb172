"""Certificates made on the spot, and transports with the probe service behind them."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from navi_core.budget import MemoryBudget
from navi_core.contracts.transport import TransportOptions
from navi_core.routing import HostRouter
from navi_core.testing.transport_probe import ProbeService


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Return paths: an authority, a server's pair signed by it, a client's pair, and a stranger's pair."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program makes the certificates, and is not here")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    def authority(name):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.pem")  # fmt: skip

    def pair(name, signer):
        (folder / f"{name}.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-days", "2", "-in", f"{name}.csr", "-CA", f"{signer}.pem",
                "-CAkey", f"{signer}.key", "-CAcreateserial", "-extfile", f"{name}.ext",
                "-out", f"{name}.pem")  # fmt: skip

    authority("authority")
    authority("elsewhere")
    pair("server", "authority")
    pair("client", "authority")
    pair("stranger", "elsewhere")
    names = ("authority", "elsewhere", "server", "client", "stranger")
    return SimpleNamespace(
        folder=folder,
        **{name: folder / f"{name}.pem" for name in names},
        **{f"{name}_key": folder / f"{name}.key" for name in names},
    )


@pytest.fixture
def listening():
    """Return a context manager that runs a transport; gives what it listens on and how to drain it."""

    @asynccontextmanager
    async def run(transport, *services, host="127.0.0.1", port=0, **more):
        budget = MemoryBudget(1 << 30)
        router = HostRouter([ProbeService(time.monotonic, lambda: budget.in_use_bytes), *services])
        options = TransportOptions(host=host, port=port, budget=budget, now=time.monotonic, **more)
        addresses = await transport.start(router, options)

        async def drain(timeout_s=60):
            router.begin_drain()
            await transport.drain(timeout_s)

        try:
            yield SimpleNamespace(addresses=addresses, port=addresses[0].port, drain=drain)
        finally:
            await transport.stop()

    return run
