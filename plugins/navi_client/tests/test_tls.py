"""TLS and mutual TLS, with an authority made on the spot."""

from __future__ import annotations

import shutil
import subprocess
from types import SimpleNamespace

import grpc
import pytest
from navi_client import AsyncClient, Client, ClientError, Code, Tls

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Return paths: an authority, and a server's and a client's pair signed by it; the server is called ranker."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program makes the certificates, and is not here")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.pem")  # fmt: skip
    for name in ("server", "client"):
        (folder / f"{name}.ext").write_text("subjectAltName=DNS:ranker\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-days", "2", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-extfile", f"{name}.ext", "-out", f"{name}.pem")  # fmt: skip
    return SimpleNamespace(**{path.name.replace(".", "_"): path for path in folder.iterdir()})


def server_credentials(certificates, *, mutual):
    return grpc.ssl_server_credentials(
        [(certificates.server_key.read_bytes(), certificates.server_pem.read_bytes())],
        certificates.ca_pem.read_bytes() if mutual else None,
        require_client_auth=mutual,
    )


async def test_a_server_that_the_authority_signed(fake_with, certificates):
    server = fake_with(server_credentials(certificates, mutual=False))
    server.answers = [b""]
    tls = Tls(ca=certificates.ca_pem, server_name="ranker")
    with Client(server.address, tls=tls) as client:
        assert client.live()
    async with AsyncClient(server.address, tls=tls) as client:
        assert await client.live()
    for wrong in (Tls(ca=certificates.other_pem, server_name="ranker"), Tls(ca=certificates.ca_pem), True):
        with Client(server.address, tls=wrong) as client, pytest.raises(ClientError) as caught:
            client.live(timeout_s=10)
        assert caught.value.code is Code.UNAVAILABLE


def test_a_server_that_asks_for_a_certificate(fake_with, certificates):
    server = fake_with(server_credentials(certificates, mutual=True))
    server.answers = [b""]
    known = Tls(
        ca=str(certificates.ca_pem),
        certificate=certificates.client_pem,
        key=certificates.client_key,
        server_name="ranker",
    )
    with Client(server.address, tls=known) as client:
        assert client.live()
    unknown = Tls(ca=certificates.ca_pem, server_name="ranker")
    with Client(server.address, tls=unknown) as client, pytest.raises(ClientError) as caught:
        client.live(timeout_s=10)
    assert caught.value.code is Code.UNAVAILABLE
