"""When a certificate ends, read from its file, beside what OpenSSL says of it."""

from __future__ import annotations

import shutil
import ssl
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.certificates import certificate_ends, not_after
from navi_core.config.records import TlsSettings, TransportSettings


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Return a function that makes a self-signed certificate for some days and returns its file."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program makes the certificates, and is not here")
    folder = tmp_path_factory.mktemp("certificates")

    def certificate(days):
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(days), "-subj",
                   "/CN=navi", "-keyout", "key.pem", "-out", f"{days}.pem"]  # fmt: skip
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return folder / f"{days}.pem"

    return certificate


@pytest.mark.parametrize("days", [2, 20_000])  # written in both forms: from 2050 on the year has four digits
def test_the_end_is_the_one_that_openssl_shows(make, days):
    file = make(days)
    command = ["openssl", "x509", "-in", str(file), "-noout", "-enddate"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert not_after(file.read_text()) == ssl.cert_time_to_seconds(shown.strip().removeprefix("notAfter="))


def test_what_surrounds_the_first_certificate_does_not_count(make):
    first, second = make(2).read_text(), make(20_000).read_text()
    assert not_after(f"a comment\n{first}\n{second}") == not_after(first)


def test_every_cut_and_every_flipped_byte_is_an_answer_or_a_value_error(make):
    der = ssl.PEM_cert_to_DER_cert(make(2).read_text())
    for damaged in (
        *(der[:length] for length in range(200)),
        *(bytes((*der[:at], der[at] ^ 0xFF, *der[at + 1 :])) for at in range(200)),
    ):
        try:
            not_after(ssl.DER_cert_to_PEM_cert(damaged))
        except ValueError:
            continue


@given(st.binary(max_size=60))
def test_noise_is_a_value_error(noise):
    with pytest.raises(ValueError):
        not_after(ssl.DER_cert_to_PEM_cert(noise))


def test_listeners_without_tls_and_files_that_cannot_be_read_are_left_out(make, tmp_path):
    good = make(2)
    (tmp_path / "rubbish.pem").write_bytes(b"\xff\xfe")

    def over(file):
        return TransportSettings(tls=TlsSettings(key="key.pem", certificate=str(file)))

    transports = {
        "plain": TransportSettings(),
        "good": over(good),
        "gone": over(tmp_path / "gone.pem"),
        "rubbish": over(tmp_path / "rubbish.pem"),
    }
    assert certificate_ends(transports) == {"good": not_after(good.read_text())}
