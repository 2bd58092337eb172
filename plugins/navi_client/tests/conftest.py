"""What the tests of the client share."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

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


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Return paths: an authority, and pairs signed by it.

    They are a server's that is called ranker, a server's at 127.0.0.1, and a client's.
    """
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program makes the certificates, and is not here")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.pem")  # fmt: skip
    for name, host in (("server", "DNS:ranker"), ("local", "IP:127.0.0.1"), ("client", "DNS:client")):
        (folder / f"{name}.ext").write_text(f"subjectAltName={host}\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-days", "2", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-extfile", f"{name}.ext", "-out", f"{name}.pem")  # fmt: skip
    return SimpleNamespace(**{path.name.replace(".", "_"): path for path in folder.iterdir()})
