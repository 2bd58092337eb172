"""``--url``: which protocol, where, with or without TLS."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.cli.endpoint import Endpoint, parse_url, read_endpoint
from navi_core.errors import ConfigError

URLS = {
    "127.0.0.1:8500": Endpoint(protocol="grpc", host="127.0.0.1", port=8500),
    "localhost": Endpoint(protocol="grpc", host="localhost", port=8500),
    "[::1]:9": Endpoint(protocol="grpc", host="::1", port=9),
    "grpc://a:1": Endpoint(protocol="grpc", host="a", port=1),
    "grpcs://a": Endpoint(protocol="grpc", host="a", port=8500, tls=True),
    "http://a": Endpoint(protocol="http", host="a", port=8501),
    "http://a:80/": Endpoint(protocol="http", host="a", port=80),
    "https://[::1]:443": Endpoint(protocol="http", host="::1", port=443, tls=True),
}


@pytest.mark.parametrize(("text", "endpoint"), URLS.items())
def test_parse_url(text, endpoint):
    assert parse_url(text) == endpoint


def test_address__brackets_where_they_are_needed():
    assert parse_url("http://[::1]:9").address == "[::1]:9"
    assert parse_url("a:9").address == "a:9"


FORM = "--url: expected HOST:PORT or SCHEME://HOST:PORT, got "
WRONG = {
    "ftp://a": "--url: expected one of grpc://, grpcs://, http://, https://, got 'ftp://'",
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
def test_parse_url__wrong(text, expected):
    with pytest.raises(ConfigError) as caught:
        parse_url(text)
    assert str(caught.value) == expected


@given(text=st.text(max_size=20) | st.text(max_size=10).map(lambda rest: f"http://{rest}"))
@settings(max_examples=200, deadline=None)
def test_any_text__is_an_endpoint_or_a_config_error(text):
    try:
        endpoint = parse_url(text)
    except ConfigError:
        return
    assert endpoint.host
    assert 0 <= endpoint.port <= 65535


VALUES = {
    "url": "a",
    "timeout_s": 3.0,
    **dict.fromkeys(("tls_ca", "tls_cert", "tls_key", "token_file")),
}


def test_read_endpoint__tls_files_go_together(tmp_path):
    pem = tmp_path / "x.pem"
    values = {**VALUES, "url": "grpcs://a", "tls_ca": pem, "tls_cert": pem, "tls_key": pem}
    endpoint = read_endpoint(values)
    assert (endpoint.ca, endpoint.certificate, endpoint.key, endpoint.timeout_s) == (pem, pem, pem, 3.0)
    with pytest.raises(ConfigError, match="expected both or neither"):
        read_endpoint({**values, "tls_key": None})
    with pytest.raises(ConfigError, match="expected grpcs:// or https:// with TLS files"):
        read_endpoint({**values, "url": "a"})


def test_read_endpoint__a_token_is_read_from_its_file_and_shown_to_nobody(tmp_path):
    file = tmp_path / "token"
    file.write_text("  app-1\n")
    endpoint = read_endpoint({**VALUES, "token_file": file})
    assert endpoint.metadata == {"authorization": "Bearer app-1"}
    assert "app-1" not in repr(endpoint)
    assert read_endpoint(VALUES).metadata == {}


@pytest.mark.parametrize("content", [b"", b"two words", b"one\ntwo", b"\xff", b"x" * 5000])
def test_read_endpoint__no_token_in_the_file(tmp_path, content):
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"--token-file: .*token: expected one line") as caught:
        read_endpoint({**VALUES, "token_file": file})
    assert "two" not in str(caught.value)
