"""The error table of specs/errors, row by row, through the service, in both dialects."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from google.protobuf import text_format
from oip_calls import body_of, call_http, call_rpc, stream

from navi_core.errors import ErrorCode
from navi_core.services.oip.errors import GRPC_STATUS, HTTP_STATUS, TRITON_CODE, TRITON_HTTP_STATUS
from navi_core.wire import oip

SPECS = Path(__file__).resolve().parents[4] / "specs" / "errors"
ROWS = tomllib.loads((SPECS / "oip.toml").read_text(encoding="utf-8"))["error"]

EXAMPLES = [
    pytest.param(row, example, id=f"{row['id']}-{index}")
    for row in ROWS
    for index, example in enumerate(row.get("example", ()))
]


def expected(row, example, *, is_triton):
    """Return the code and text that a row promises."""
    code, text = row["code"], row["text"]
    if is_triton:
        code, text = row.get("triton_code", code), row.get("triton_text", text)
    text = text.format(**example.get("values", {}))
    is_inference = example.get("rpc") == "ModelInfer" or example.get("path", "").endswith("/infer")
    prefix = "[request id: <id_unknown>] " if is_triton and is_inference else ""
    return ErrorCode(code), prefix + text


def encoded(example):
    if "request_hex" in example:
        return bytes.fromhex(example["request_hex"])
    message = oip.DESCRIPTORS.message_class(f"{example['rpc']}Request")()
    pool = oip.DESCRIPTORS.pool
    return text_format.Parse(example["request"], message, descriptor_pool=pool).SerializeToString()


async def failed(service, example):
    """Send an example; return the status's name, the text and the reason."""
    if "rpc" in example:
        response = await call_rpc(service, example["rpc"], encoded(example))
        codes = {number: code for code, number in GRPC_STATUS.items()}
        return codes[response.status], response.message, dict(response.trailers).get("navi-reason", "")
    body, headers = example.get("body", "").encode(), example.get("headers")
    if "tail_hex" in example:
        headers = {"inference-header-content-length": str(len(body))}
        body += bytes.fromhex(example["tail_hex"])
    response = await call_http(service, example["verb"], example["path"], body, headers)
    document = json.loads(body_of(response))
    assert set(document) == {"error"}
    headers = dict(response.headers)
    assert headers["content-type"] == "application/json"
    return response.status, document["error"], headers.get("navi-reason", "")


@pytest.mark.parametrize("dialect", ["kserve", "triton"])
@pytest.mark.parametrize(("row", "example"), EXAMPLES)
async def test_errors__are_those_of_the_table(request, plane, row, example, dialect):
    is_triton = dialect == "triton"
    service = request.getfixturevalue("triton" if is_triton else "service")
    statuses = TRITON_HTTP_STATUS if is_triton else HTTP_STATUS
    code, text = expected(row, example, is_triton=is_triton)
    status, got, reason = await failed(service, example)
    assert got == text
    assert status == (code if "rpc" in example else statuses[code])
    reasons = {row.get("reason", "")} | (
        {row["triton_reason"]} if is_triton and "triton_reason" in row else set()
    )
    assert reason in reasons
    is_inference = example.get("rpc") == "ModelInfer" or example.get("path", "").endswith("/infer")
    assert plane.num_counted == is_inference


@pytest.mark.parametrize(
    ("row", "example"), [each for each in EXAMPLES if each.values[1].get("rpc") == "ModelInfer"]
)
async def test_errors_of_streams__are_answers_with_the_same_text(service, row, example):
    answers = await stream(service, encoded(example))
    _, text = expected(row, example, is_triton=False)
    assert [answer.error_message for answer in answers] == [text]


def test_the_table__has_one_row_a_situation():
    ids = [row["id"] for row in ROWS]
    assert len(ids) == len(set(ids))
    for row in ROWS:
        # either it is brought about, or it says why it cannot be
        assert bool(row.get("example")) != bool(row.get("unreachable")), row["id"]
        assert set(row) <= {
            "id", "code", "text", "triton_code", "triton_text", "triton_reason", "note", "reason", "example",
            "unreachable",
        }  # fmt: skip


def test_tritons_tables_are_total():
    assert set(TRITON_CODE) == set(TRITON_HTTP_STATUS) == set(ErrorCode)
    assert TRITON_HTTP_STATUS[ErrorCode.OK] == 200
    assert all(status >= 400 for code, status in TRITON_HTTP_STATUS.items() if code is not ErrorCode.OK)


def test_triton_knows__only_the_codes_that_it_has():
    own = {"OK", "INTERNAL", "NOT_FOUND", "UNAVAILABLE", "UNIMPLEMENTED", "INVALID_ARGUMENT", "ALREADY_EXISTS",
           "CANCELLED", "UNKNOWN"}  # fmt: skip
    access = {"PERMISSION_DENIED", "UNAUTHENTICATED"}
    assert {code.value for code in TRITON_CODE.values()} == own | access
    for code, status in TRITON_HTTP_STATUS.items():
        assert status == TRITON_HTTP_STATUS[TRITON_CODE[code]]
