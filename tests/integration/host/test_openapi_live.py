"""The OpenAPI document of a running host, over its socket."""

from __future__ import annotations

import json
import urllib.request
from urllib.error import HTTPError

import pytest
from openapi_spec_validator import validate

from navi_core import AuthSettings, Host, HostConfig, TransportSettings
from navi_core.testing import registry_of

pytestmark = pytest.mark.integration


def served(**settings):
    """Return the document, or the status that says that there is none."""
    config = HostConfig(transports={"http": TransportSettings(port=0)}, **settings)
    with Host(config, registry=registry_of()) as host:
        [address] = host.addresses["http"]
        try:
            with urllib.request.urlopen(f"{address}/openapi.json", timeout=60) as answer:
                assert answer.headers["content-type"] == "application/json"
                document = json.loads(answer.read())
        except HTTPError as error:
            return error.code
        # what is described is there
        for path in ("/v1/models", "/v2", "/healthz/live"):
            if path in document["paths"]:
                urllib.request.urlopen(f"{address}{path}", timeout=60).close()
        return document


def test_a_host_describes_what_it_offers():
    document = served()
    validate(document)
    assert {"/v1/models/{model}:predict", "/v2/models/{model}/infer", "/predict", "/metrics"} <= set(
        document["paths"]
    )
    assert "/v2/repository/models/{model}/load" not in document["paths"]
    assert "security" not in json.dumps(document)


def test_a_host_with_admin_and_tokens_says_so(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    auth = AuthSettings(admin_token_file=str(tokens), infer_token_file=str(tokens))
    document = served(admin=True, auth=auth, service_options={"oip": {"compat": "triton"}})
    validate(document)
    assert document["paths"]["/v2/repository/models/{model}/load"]["post"]["security"] == [{"bearer": []}]
    assert "content" not in document["paths"]["/v2/health/live"]["get"]["responses"]["200"]
    assert "secret" not in json.dumps(document)


def test_a_host_may_do_without_it():
    assert served(services=("tf_serving", "operations")) == 404
    assert set(served(services=("operations", "openapi"))["paths"]) == {
        "/healthz/live",
        "/healthz/ready",
        "/metrics",
        "/openapi.json",
    }
