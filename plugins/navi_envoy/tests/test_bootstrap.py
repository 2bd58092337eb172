"""Envoy's configuration, from a listener's settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from navi_envoy.bootstrap import bootstrap, certificates
from navi_envoy.options import EnvoyOptions

from navi_core import LaunchPlan, TlsFiles

TLS = TlsFiles(key=Path("key"), certificate=Path("certificate"))


def made(own=None, addresses=(("127.0.0.1", 8500),), **plan):
    config = bootstrap(
        LaunchPlan(app="a:b", **plan),
        own or EnvoyOptions(),
        {"name": "app"},
        addresses=addresses,
        admin=Path("/private/admin.sock"),
        secrets=Path("/private"),
    )
    json.dumps(config)
    return config


def listeners(config):
    return {each["name"]: each for each in config["static_resources"]["listeners"]}


def manager(listener):
    (filter_,) = listener["filter_chains"][0]["filters"]
    return filter_["typed_config"]


def test_nobody_else_reaches_the_admin_interface():
    assert made()["admin"]["address"] == {"pipe": {"path": "/private/admin.sock", "mode": 0o600}}


@pytest.mark.parametrize("shares", [False, True])
def test_a_port_is_shared_only_when_that_is_wanted(shares):
    assert listeners(made(reuse_port=shares))["navi"]["enable_reuse_port"] is shares


def test_all_addresses_of_a_host_share_one_listener():
    navi = listeners(made(addresses=[("127.0.0.1", 9), ("::1", 9)]))["navi"]
    where = [navi["address"], *(each["address"] for each in navi["additional_addresses"])]
    assert [each["socket_address"]["address"] for each in where] == ["127.0.0.1", "::1"]
    assert {each["socket_address"]["port_value"] for each in where} == {9}


def test_calls_may_last_and_no_header_says_who_the_client_is():
    found = manager(listeners(made())["navi"])
    assert found["stream_idle_timeout"] == "0s"
    assert found["use_remote_address"] is True
    assert found["http_filters"][-1] == {"name": "app"}


def test_http_3_is_announced_on_the_port_and_has_a_listener_of_its_own():
    config = made(EnvoyOptions(http3=True), tls=TLS, port=8500)
    found = listeners(config)
    headers = manager(found["navi"])["route_config"]["response_headers_to_add"]
    assert headers == [{"header": {"key": "alt-svc", "value": 'h3=":8500"; ma=86400'}}]
    assert found["navi_http3"]["address"]["socket_address"]["protocol"] == "UDP"
    assert manager(found["navi_http3"])["codec_type"] == "HTTP3"


@pytest.mark.parametrize("client_ca", [(), (Path("ca"),)])
def test_clients_must_show_certificates_where_they_are_asked_for(client_ca):
    tls = TlsFiles(key=TLS.key, certificate=TLS.certificate, client_ca=client_ca)
    chain = listeners(made(tls=tls))["navi"]["filter_chains"][0]
    context = chain["transport_socket"]["typed_config"]
    assert context["require_client_certificate"] is bool(client_ca)
    assert ("validation_context_sds_secret_config" in context["common_tls_context"]) is bool(client_ca)
    assert sorted(certificates(Path("k"), Path("c"), Path("a") if client_ca else None)) == (
        ["certificate.json", "client_ca.json"] if client_ca else ["certificate.json"]
    )


def test_what_navi_has_no_word_for_is_merged_table_by_table():
    own = EnvoyOptions(
        connection_manager={"http2_protocol_options": {"max_outbound_frames": 7}, "server_name": "x"},
        listener={"tcp_backlog_size": 9},
        max_concurrent_streams=5,
    )
    navi = listeners(made(own))["navi"]
    assert navi["tcp_backlog_size"] == 9
    found = manager(navi)
    assert found["http2_protocol_options"] == {"max_concurrent_streams": 5, "max_outbound_frames": 7}
    assert found["server_name"] == "x"


@pytest.mark.parametrize(("seconds", "text"), [(0.5, "0.5s"), (20.0, "20s"), (1e-3, "0.001s")])
def test_times_are_written_as_envoy_reads_them(seconds, text):
    own = EnvoyOptions(keepalive_time_s=1.0, keepalive_timeout_s=seconds, idle_timeout_s=seconds)
    found = manager(listeners(made(own))["navi"])
    assert found["http2_protocol_options"]["connection_keepalive"] == {"interval": "1s", "timeout": text}
    assert found["common_http_protocol_options"] == {"idle_timeout": text}
