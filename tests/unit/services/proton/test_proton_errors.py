"""The error tables of specs/errors, row by row, through the service."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from google.protobuf import text_format

from navi_core.errors import ErrorCode
from navi_core.services.proton.errors import GRPC_STATUS, HTTP_STATUS
from navi_core.wire import proton

SPECS = Path(__file__).resolve().parents[4] / "specs" / "errors"
GRPC_ROWS = tomllib.loads((SPECS / "proton_grpc.toml").read_text(encoding="utf-8"))["error"]
REST_ROWS = tomllib.loads((SPECS / "proton_rest.toml").read_text(encoding="utf-8"))["error"]


def examples(rows):
    return [
        pytest.param(row, example, id=f"{row['id']}-{index}")
        for row in rows
        for index, example in enumerate(row.get("example", ()))
    ]


def expected_text(row, example):
    return row["text"].format(**example.get("values", {}))


@pytest.mark.parametrize(("row", "example"), examples(GRPC_ROWS))
async def test_rpc_errors__are_those_of_the_table(ask, plane, row, example):
    if "body_hex" in example:
        body = bytes.fromhex(example["body_hex"])
    else:
        body = text_format.Parse(
            example["request"], proton.InferenceRequest(), descriptor_pool=proton.DESCRIPTORS.pool
        ).SerializeToString()
    answer = await ask.rpc(body)
    assert answer.message == expected_text(row, example)
    assert answer.status == GRPC_STATUS[ErrorCode(row["code"])]
    assert answer.trailers.get("navi-reason", "") == row.get("reason", "")
    assert (plane.num_open, plane.num_counted) == (0, 1)


@pytest.mark.parametrize(("row", "example"), examples(REST_ROWS))
async def test_rest_errors__are_those_of_the_table(ask, plane, row, example):
    content_type = example.get("content_type", "application/json")
    answer = await ask.http("POST", "/predict", example["body"].encode(), content_type)
    assert answer.body.decode() == expected_text(row, example)
    assert answer.status == row["status"]
    if row["id"] not in ("content_type", "no_json"):  # the HTTP framework's own
        assert answer.status == HTTP_STATUS[ErrorCode(row["code"])]
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers.get("navi-reason", "") == row.get("reason", "")
    assert (plane.num_open, plane.num_counted) == (0, 1)


@pytest.mark.parametrize("rows", [GRPC_ROWS, REST_ROWS], ids=["grpc", "rest"])
def test_tables__have_one_row_a_situation(rows):
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids))
    for row in rows:
        # either it is brought about, or it says why it cannot be
        assert bool(row.get("example")) != bool(row.get("unreachable")), row["id"]
        assert set(row) <= {"id", "code", "status", "text", "note", "reason", "example", "unreachable"}


def test_statuses__are_total():
    assert set(HTTP_STATUS) == set(ErrorCode)
    assert HTTP_STATUS[ErrorCode.OK] == 200
    assert all(status >= 400 for code, status in HTTP_STATUS.items() if code is not ErrorCode.OK)
