from __future__ import annotations

from navi_core.errors import ErrorCode
from navi_core.wire.statuses import GRPC_STATUS, HTTP_STATUS


def test_the_tables_are_total():
    assert set(GRPC_STATUS) == set(HTTP_STATUS) == set(ErrorCode)


def test_the_grpc_numbers_are_grpcs():
    import grpc

    assert {code.value: GRPC_STATUS[code] for code in ErrorCode} == {
        code.name: code.value[0] for code in grpc.StatusCode
    }


def test_only_ok_is_a_success_over_http():
    assert HTTP_STATUS[ErrorCode.OK] == 200
    assert all(400 <= status < 600 for code, status in HTTP_STATUS.items() if code is not ErrorCode.OK)
