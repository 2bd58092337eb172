"""``--url`` and ``--protocol``: which client, where, with or without TLS."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.cli.endpoint import connect, read_endpoint
from navi_core.clients.oip_http import OipHttpClient
from navi_core.clients.proton_http import ProtonHttpClient
from navi_core.clients.tf_serving_http import TfServingHttpClient
from navi_core.contracts.client import Endpoint, RemoteClient
from navi_core.errors import ConfigError, PluginNotFoundError, UnsupportedError
from navi_core.testing.registries import registry_of


def client_of(name_of_client, port):
    class Client(RemoteClient):
        name = name_of_client
        default_port = port

        @classmethod
        def connect(cls, endpoint):
            return cls()

        def close(self):
            raise NotImplementedError

        models = signatures = predict = close

    return Client


GRPC, OIP, LINES = client_of("tf-serving+grpc", 8500), client_of("oip+grpc", 8001), client_of("line+lines", 7)
HTTP = TfServingHttpClient
PREDICT = ("grpc", "http")

VALUES = {
    "timeout_ms": 3000,
    **dict.fromkeys(("url", "protocol", "retries", "ca_file", "cert_file", "key_file", "token_file")),
}


@pytest.fixture(scope="module")
def registry():
    return registry_of(clients=[GRPC, OIP, LINES])


@pytest.fixture
def read(registry):
    def read(**values):
        return read_endpoint({**VALUES, **values}, registry, PREDICT)

    return read


URLS = {
    "127.0.0.1:8500": (GRPC, "127.0.0.1", 8500, False),
    "localhost": (GRPC, "localhost", 8500, False),
    "[::1]:9": (GRPC, "::1", 9, False),
    "grpc://a:1": (GRPC, "a", 1, False),
    "grpcs://a": (GRPC, "a", 8500, True),
    "http://a": (HTTP, "a", 8501, False),
    "http://a:80/": (HTTP, "a", 80, False),
    "https://[::1]:443": (HTTP, "::1", 443, True),
    "oip+http://a": (OipHttpClient, "a", 8501, False),
    "proton+https://a": (ProtonHttpClient, "a", 8501, True),
    "oip+grpc://a": (OIP, "a", 8001, False),
    "oip+grpcs://a:3": (OIP, "a", 3, True),
    "tf_serving+http://a": (HTTP, "a", 8501, False),
    "line+lines://a": (LINES, "a", 7, False),  # an "s" that belongs to the scheme
    "line+liness://a": (LINES, "a", 7, True),  # codespell:ignore liness
}


@pytest.mark.parametrize(("text", "expected"), URLS.items())
def test_a_url(read, text, expected):
    client, endpoint = read(url=text)
    assert (client, endpoint.host, endpoint.port, endpoint.tls) == expected


def test_the_protocol_beside_the_url(read):
    for protocol, url, expected in (
        ("oip", "a:1", OIP),
        ("oip", "oip+grpc://a", OIP),
        ("tf_serving", "http://a", HTTP),
        ("tf-serving", "tf_serving+http://a", HTTP),
    ):
        assert read(protocol=protocol, url=url)[0] is expected
    with pytest.raises(ConfigError, match="--protocol: expected the protocol of the URL, 'oip', got 'line'"):
        read(protocol="line", url="oip+grpc://a")


def test_without_a_url__the_first_scheme_that_has_a_client(registry):
    alone = registry_of()
    for protocol, schemes, known, expected in (
        (None, ("grpc", "http"), registry, (GRPC, 8500)),
        (None, ("http", "grpc"), registry, (HTTP, 8501)),
        (None, ("grpc", "http"), alone, (HTTP, 8501)),
        ("oip", ("http", "grpc"), registry, (OipHttpClient, 8501)),
        ("line", ("http", "lines"), registry, (LINES, 7)),
    ):
        client, endpoint = read_endpoint({**VALUES, "protocol": protocol}, known, schemes)
        assert (client, endpoint.port, endpoint.host) == (*expected, "127.0.0.1")


def test_settings(read):
    _, endpoint = read(retries=3, timeout_ms=250)
    assert (endpoint.timeout_s, endpoint.max_retries) == (0.25, 3)
    assert read()[1].max_retries is None


def test_address__brackets_where_they_are_needed():
    assert Endpoint(host="::1", port=9).address == "[::1]:9"
    assert Endpoint(host="a", port=9).address == "a:9"


FORM = "--url: expected HOST:PORT or SCHEME://HOST:PORT, got "
WRONG = {
    "http://a:b": f"{FORM}'http://a:b'",
    "http://a:70000": "--url: expected a port of at most 65535, got 70000",
    "http://a/v1/models": f"{FORM}'http://a/v1/models'",
    "http://u:p@a": f"{FORM}'http://u:p@a'",
    "http://": f"{FORM}'http://'",
    "http://[": f"{FORM}'http://['",
    "a/b": f"{FORM}'a/b'",
    "": f"{FORM}''",
    "a:9999999999999": f"{FORM}'a:9999999999999'",
}


@pytest.mark.parametrize(("text", "expected"), WRONG.items())
def test_a_wrong_url(read, text, expected):
    with pytest.raises(ConfigError) as caught:
        read(url=text)
    assert str(caught.value) == expected


@pytest.mark.parametrize("text", ["ftp://a", "line+http://a", "s3+grpc://a"])
def test_what_no_client_speaks__names_the_clients_and_what_brings_more(read, text):
    with pytest.raises(PluginNotFoundError) as caught:
        read(url=text)
    known = "'line+lines', 'oip+grpc', 'oip+http', 'proton+http', 'tf-serving+grpc', 'tf-serving+http'"
    assert f"(installed: {known})" in str(caught.value)
    assert "pip install 'navi-core[client]'" in str(caught.value)


@given(text=st.text(max_size=20) | st.text(max_size=10).map(lambda rest: f"http://{rest}"))
@settings(max_examples=200, deadline=None)
def test_any_text__is_an_endpoint_or_an_error(registry, text):
    try:
        _, endpoint = read_endpoint({**VALUES, "url": text}, registry, PREDICT)
    except (ConfigError, PluginNotFoundError):
        return
    assert endpoint.host
    assert 0 <= endpoint.port <= 65535


def test_tls_files_go_together(read, tmp_path):
    pem = tmp_path / "x.pem"
    files = {"ca_file": pem, "cert_file": pem, "key_file": pem}
    _, endpoint = read(url="grpcs://a", **files)
    assert (endpoint.ca_file, endpoint.cert_file, endpoint.key_file) == (pem, pem, pem)
    with pytest.raises(ConfigError, match="--cert-file and --key-file: expected both or neither"):
        read(url="grpcs://a", cert_file=pem)
    with pytest.raises(ConfigError, match="expected grpcs:// or https:// with TLS files"):
        read(url="a", **files)


@pytest.mark.parametrize("url", ["https://a", "grpcs://a"])
def test_tls_files_that_are_none(registry, tmp_path, url):
    pem = tmp_path / "x.pem"
    pem.write_text("no certificate")
    values = {**VALUES, "url": url}
    with pytest.raises(ConfigError, match=r"TLS files: \S+x\.pem: expected certificates, in PEM"):
        connect({**values, "ca_file": pem}, registry, PREDICT)
    with pytest.raises(
        ConfigError, match=r"x\.pem and \S+x\.pem: expected a certificate and its key, not encrypted"
    ):
        connect({**values, "cert_file": pem, "key_file": pem}, registry, PREDICT)


def test_a_token_is_read_from_its_file_and_shown_to_nobody(read, tmp_path):
    file = tmp_path / "token"
    file.write_text("  app-1\n")
    _, endpoint = read(token_file=file)
    assert endpoint.token == "app-1"
    assert "app-1" not in repr(endpoint)
    assert read()[1].token is None


@pytest.mark.parametrize("content", [b"", b"two words", b"one\ntwo", b"\xff", b"x" * 5000])
def test_no_token_in_the_file(read, tmp_path, content):
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"--token-file: .*token: expected one line") as caught:
        read(token_file=file)
    assert "two words" not in str(caught.value)


def test_retries_that_a_client_does_not_have(registry):
    with pytest.raises(UnsupportedError, match="retries are not supported over http"):
        connect({**VALUES, "url": "http://a", "retries": 1}, registry, PREDICT)
    connect({**VALUES, "url": "http://a", "retries": 0}, registry, PREDICT).close()
