"""The OpenAPI document against a running host: requests made from it, right and wrong, and what comes back.

For every operation schemathesis sees that statuses, content types, headers and bodies are described, that what the
document forbids is refused, and that tokens are asked for. The same requests are made in every run.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

import requests  # noqa: E402 - comes with schemathesis
import yaml  # noqa: E402 - see above
from hypothesis import HealthCheck, Phase, settings  # noqa: E402 - see above
from schemathesis.checks import CHECKS, load_all_checks  # noqa: E402 - see above

from navi_core import ServiceContext, ServiceOptions  # noqa: E402 - see above
from navi_core.authorization import Authorization  # noqa: E402 - see above
from navi_core.openapi import compose  # noqa: E402 - see above
from navi_core.services.oip.service import OipService  # noqa: E402 - see above

pytestmark = pytest.mark.integration

DOCUMENT = Path(__file__).parents[2] / "specs" / "openapi.yaml"
MODEL, SPARE = "mul_1", "spare"
"""What is asked, and what may be loaded and unloaded."""

load_all_checks()
CHECKED = CHECKS.get_by_names(
    [
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "ignored_auth",
        "unsupported_method",
        "allow_header_conformance",
    ]
)
"""Not ``positive_data_acceptance``: a request must fit its model, of which the document knows nothing. For the same
reason a status of 501 or 503 is no fault where it is described; one of 500 always is."""

BOUNDED = settings(
    max_examples=12,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def triton_document():
    """Return what a host with Triton's dialect says of the protocol."""
    options = ServiceOptions(tables={"oip": {"compat": "triton"}})
    context = ServiceContext(plane=None, admin=None, now=float, new_signal=None, options=options)
    return compose([OipService.create(context)], Authorization(allow_admin=True))


schema = schemathesis.openapi.from_path(DOCUMENT)
triton_schema = schemathesis.openapi.from_dict(triton_document())


@pytest.fixture(scope="module")
def session():
    with requests.Session() as session:
        yield session


TRITONS_INTERNAL = ("does not match its shape", "failed to poll from model repository")
"""What Triton calls INTERNAL, of requests that are wrong."""


def ask(case, server, session, headers=None, *, internal=()):
    """Send a case and check the answer; the model that others need is neither loaded nor unloaded."""
    names = case.path_parameters or {}
    is_admin = case.path.endswith("load")
    if is_admin and names.get("model") == MODEL:
        names["model"] = SPARE
    elif case.meta is not None and case.meta.generation.mode.is_positive and len(names.get("model", "")) % 2:
        names["model"] = SPARE if is_admin else MODEL  # the other half of the names is unknown, most often
    checked = CHECKED
    if case.path.startswith("/v1/"):  # TensorFlow Serving calls another verb malformed, with 400
        checked = [check for check in checked if check.__name__ != "unsupported_method"]
    response = case.call_and_validate(
        base_url=f"http://{server.http}",
        session=session,
        headers={**server.headers, **(headers or {})},
        checks=checked,
    )
    assert response.status_code != 500 or any(text in response.text for text in internal), response.text
    return response


@schema.parametrize()
@BOUNDED
def test_every_operation_does_as_the_document_says(case, guarded, session):
    ask(case, guarded, session)


@triton_schema.parametrize()
@settings(BOUNDED, max_examples=6)  # most of it is as in the other one
def test_every_operation_of_the_other_dialect_does_as_its_document_says(case, guarded_triton, session):
    ask(case, guarded_triton, session, internal=TRITONS_INTERNAL)


# --- requests that are answered -----------------------------------------------------------------------------

VALUES = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
SQUARES = [[1.0, 4.0], [9.0, 16.0], [25.0, 36.0]]
FLAT = [value for row in VALUES for value in row]
FLAT_SQUARES = [value for row in SQUARES for value in row]
BYTES = struct.pack("<6f", *FLAT)
TENSOR = {"name": "X", "shape": [3, 2], "datatype": "FP32"}
OUTPUT = {"name": "Y", "shape": [3, 2], "datatype": "FP32", "data": FLAT_SQUARES}
BY_NAME = {"inputs": [{**TENSOR, "data": VALUES}], "id": "one"}
BEFORE_BYTES = json.dumps({"inputs": [{**TENSOR, "parameters": {"binary_data_size": len(BYTES)}}]}).encode()
ARRAY = {"v": 1, "dim": [3, 2], "data": FLAT}
ANSWER = {"v": 1, "dim": [3, 2], "data": FLAT_SQUARES}

JSON, OCTETS, TEXT = "application/json", "application/octet-stream", "text/plain"
OPENMETRICS = "application/openmetrics-text"
LENGTH = "Inference-Header-Content-Length"

READS = [
    "/v1/models",
    "/v1/models/{model}",
    "/v1/models/{model}/versions/{version}",
    "/v1/models/{model}/metadata",
    "/v1/models/{model}/versions/{version}/metadata",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models",
    "/v2/models/{model}",
    "/v2/models/{model}/versions/{version}",
    "/v2/models/{model}/ready",
    "/v2/models/{model}/versions/{version}/ready",
    "/v2/models/{model}/config",
    "/v2/models/{model}/versions/{version}/config",
    "/v2/models/{model}/stats",
    "/v2/models/{model}/versions/{version}/stats",
    "/v2/models/stats",
    "/models",
    "/ready",
    "/healthz/live",
    "/healthz/ready",
    "/openapi.json",
]
POSTS = [
    ("/v1/models/{model}:predict", {"instances": VALUES}, {}, {"predictions": SQUARES}),
    ("/v1/models/{model}:predict", {"inputs": {"X": VALUES}}, {}, {"outputs": SQUARES}),
    ("/v1/models/{model}/versions/{version}:predict", {"inputs": VALUES}, {}, {"outputs": SQUARES}),
    ("/v2/models/{model}/infer", BY_NAME, {}, {"outputs": [OUTPUT], "id": "one"}),
    (
        "/v2/models/{model}/versions/{version}/infer",
        BEFORE_BYTES + BYTES,
        {LENGTH: str(len(BEFORE_BYTES))},
        {"outputs": [OUTPUT]},
    ),
    ("/v2/repository/index", {"ready": True}, {}, None),
    ("/v2/repository/models/{model}/load", {}, {}, {"name": SPARE, "load": True}),
    ("/v2/repository/models/{model}/unload", {}, {}, {"name": SPARE, "unload": True}),
    ("/v2/repository/models/{model}/load", {"parameters": {}}, {}, {"name": SPARE, "load": True}),
    ("/predict", {"model_name": MODEL, "data": ARRAY}, {}, {"data": ANSWER}),
    ("/predict", {"model_name": MODEL, "data": list(ARRAY.values())}, {}, {"data": ANSWER}),
]


def made(verb, path, **content):
    values = {"model": SPARE if path.endswith("load") else MODEL, "version": 3}
    named = {name: value for name, value in values.items() if f"{{{name}}}" in path}
    return schema[path][verb].Case(path_parameters=named, **content)


def content_type(response):
    return response.headers["content-type"][0].partition(";")[0]


@pytest.mark.parametrize("path", READS)
def test_what_is_there_is_shown_as_the_document_says(guarded, session, path):
    response = ask(made("GET", path), guarded, session)
    assert (response.status_code, content_type(response)) == (200, JSON)


@pytest.mark.parametrize("kind", [TEXT, OPENMETRICS])
def test_the_metrics_page_has_both_of_its_forms(guarded, session, kind):
    response = ask(made("GET", "/metrics"), guarded, session, {"Accept": kind})
    assert (response.status_code, content_type(response)) == (200, kind)


@pytest.mark.parametrize(("path", "body", "headers", "expected"), POSTS)
def test_good_requests_are_answered_as_the_document_says(guarded, session, path, body, headers, expected):
    kind = OCTETS if isinstance(body, bytes) else JSON
    response = ask(made("POST", path, body=body, media_type=kind), guarded, session, headers)
    assert (response.status_code, content_type(response)) == (200, JSON), response.text
    if expected is not None:
        shown = response.json()
        assert {key: shown[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("body", "headers"),
    [(BYTES, {LENGTH: "0"}), ({**BY_NAME, "parameters": {"binary_data_output": True}}, {})],
)
def test_binary_answers_are_described(guarded, session, body, headers):
    kind = OCTETS if isinstance(body, bytes) else JSON
    case = made("POST", "/v2/models/{model}/infer", body=body, media_type=kind)
    response = ask(case, guarded, session, headers)
    assert (response.status_code, content_type(response)) == (200, OCTETS)
    [length] = response.headers[LENGTH.lower()]
    assert response.content[int(length) :] == struct.pack("<6f", *FLAT_SQUARES)


# --- the host afterwards, and the document --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["guarded", "guarded_triton"])
def test_the_host_serves_on(request, name, session):
    """Runs late: whatever was asked, the model that is served still is."""
    server = request.getfixturevalue(name)
    url = f"http://{server.http}/v1/models/{MODEL}"
    answer = session.post(f"{url}:predict", json={"inputs": VALUES}, headers=server.headers, timeout=60)
    assert answer.json() == {"outputs": SQUARES}
    states = {each["state"] for each in session.get(url, timeout=60).json()["model_version_status"]}
    assert states == {"AVAILABLE"}


def test_what_is_served_is_what_is_committed(guarded, session):
    served = session.get(f"http://{guarded.http}/openapi.json", timeout=60).json()
    assert (served == yaml.safe_load(DOCUMENT.read_text())) is True


def test_what_triton_serves_is_what_was_tried(guarded_triton, session):
    served = session.get(f"http://{guarded_triton.http}/openapi.json", timeout=60).json()
    tried = triton_document()
    assert {path for path in served["paths"] if path.startswith("/v2")} == set(tried["paths"])
    for path in ("/v2/health/live", "/v2/models/{model}/ready", "/v2/models/{model}/stats"):
        assert served["paths"][path] == tried["paths"][path]
