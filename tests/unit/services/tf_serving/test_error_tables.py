"""The error tables of specs/errors, row by row, through the service."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from calls import INFERENCE, MESSAGES, body_of, call_http, call_rpc
from fake_plane import context_of
from google.protobuf import text_format

from navi_core.errors import ErrorCode
from navi_core.services.tf_serving.errors import GRPC_STATUS, HTTP_STATUS
from navi_core.services.tf_serving.service import TfServingService
from navi_core.wire import tf_serving

SPECS = Path(__file__).resolve().parents[4] / "specs" / "errors"
GRPC_ROWS = tomllib.loads((SPECS / "tf_serving_grpc.toml").read_text(encoding="utf-8"))["error"]
REST_ROWS = tomllib.loads((SPECS / "tf_serving_rest.toml").read_text(encoding="utf-8"))["error"]

RPC_EXAMPLES = [
    pytest.param(row, example, rpc, id=f"{row['id']}-{index}-{rpc}")
    for row in GRPC_ROWS
    for index, example in enumerate(row.get("example", ()))
    for rpc in example.get("rpcs", row["rpcs"])
]
REST_EXAMPLES = [
    pytest.param(row, example, id=f"{row['id']}-{index}")
    for row in REST_ROWS
    for index, example in enumerate(row.get("example", ()))
]


def service_for(plane, example):
    return TfServingService.create(context_of(plane, table=example.get("options")))


def expected_text(row, example):
    return row["text"].format(**example["values"]) if example.get("values") else row["text"]


def encoded(rpc, example):
    if "body_hex" in example:
        return bytes.fromhex(example["body_hex"])
    message = tf_serving.DESCRIPTORS.message_class(MESSAGES.get(rpc, f"{rpc}Request"))()
    pool = tf_serving.DESCRIPTORS.pool
    return text_format.Parse(example["request"], message, descriptor_pool=pool).SerializeToString()


@pytest.mark.parametrize(("row", "example", "rpc"), RPC_EXAMPLES)
async def test_rpc_errors__are_those_of_the_table(plane, row, example, rpc):
    service = service_for(plane, example)
    response = await call_rpc(service, rpc, encoded(rpc, example))
    assert response.message == expected_text(row, example)
    assert response.status == GRPC_STATUS[ErrorCode(row["code"])]
    reason = dict(response.trailers).get("navi-reason", "")
    assert reason == row.get("reason", "")
    assert plane.open_handles == 0
    assert plane.num_counted == (rpc in INFERENCE)


@pytest.mark.parametrize(("row", "example"), REST_EXAMPLES)
async def test_rest_errors__are_those_of_the_table(plane, row, example):
    service = service_for(plane, example)
    response = await call_http(
        service, example["verb"], example["path"], example.get("body", "").encode(), example.get("query", "")
    )
    assert json.loads(body_of(response)) == {"error": expected_text(row, example)}
    assert (response.status, HTTP_STATUS[ErrorCode(row["code"])]) == (row["status"], row["status"])
    headers = dict(response.headers)
    assert headers["content-type"] == "application/json"
    if "reason" in row:
        assert headers["navi-reason"] == row["reason"]
    assert plane.open_handles == 0
    assert plane.num_counted == (example["verb"] == "POST" and row["id"] != "malformed")


@pytest.mark.parametrize("rows", [GRPC_ROWS, REST_ROWS], ids=["grpc", "rest"])
def test_tables__have_one_row_a_situation(rows):
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids))
    known = {"id", "rpcs", "code", "status", "text", "note", "reason", "example", "unreachable"}
    for row in rows:
        # either it is brought about, or it says why it cannot be
        assert bool(row.get("example")) != bool(row.get("unreachable")), row["id"]
        assert set(row) <= known, row["id"]


def test_tensorflows_codes_have_grpcs_numbers():
    codes = tf_serving.DESCRIPTORS.pool.FindEnumTypeByName("tensorflow.error.Code").values_by_name
    assert all(codes[code.value].number == number for code, number in GRPC_STATUS.items())
