from __future__ import annotations

import json

import pytest

from navi_core.errors import (
    DeadlineExceededError,
    DrainingError,
    ErrorCode,
    InvalidRequestError,
    MemoryBudgetError,
    NaviError,
    RequestTooLargeError,
    UnsupportedError,
)
from navi_core.transports.early_errors import (
    grpc_status,
    http_error_body,
    http_status,
)


@pytest.mark.parametrize(
    ("error", "grpc_number", "http_number"),
    [
        (DrainingError(), 14, 503),
        (MemoryBudgetError("x"), 8, 429),
        (RequestTooLargeError("x"), 8, 413),
        (InvalidRequestError("x"), 3, 400),
        (UnsupportedError("x"), 12, 501),
        (DeadlineExceededError("x"), 4, 504),
        (NaviError("x", code=ErrorCode.PERMISSION_DENIED), 7, 403),
        (NaviError("x"), 13, 500),
    ],
)
def test_early_errors_of_each_kind(error, grpc_number, http_number):
    assert grpc_status(error) == grpc_number
    assert http_status(error) == http_number


def test_the_body_is_json_whatever_the_text():
    for text in ("plain", 'quo"te\n', "é\N{SNOWMAN}"):
        assert json.loads(http_error_body(text)) == {"error": text}
    assert json.loads(http_error_body("a\udcffb")) == {"error": "a?b"}
