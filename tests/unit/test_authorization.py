from __future__ import annotations

import os

import pytest

from navi_core.authorization import MAX_FILE_BYTES, Authorization, TokenFile
from navi_core.clock import ManualClock
from navi_core.config.records import AuthSettings
from navi_core.contracts.service import Call, Operation
from navi_core.errors import ConfigError, ErrorCode, NaviError


def call(token=None, scheme="Bearer"):
    return Call(path="/x", metadata={} if token is None else {"authorization": f"{scheme} {token}"})


def write(path, text, *, age_s=0):
    path.write_text(text)
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - age_s * 10**9))


@pytest.fixture
def files(tmp_path):
    admin, infer = tmp_path / "admin", tmp_path / "infer"
    write(admin, "# of the operators\nroot-1\n\n  root-2  \n")
    write(infer, "app-1\n")
    return AuthSettings(admin_token_file=str(admin), infer_token_file=str(infer))


def outcome(authorization, operation, asked):
    check = authorization.check_of(operation)
    if check is None:
        return "open"
    try:
        check(asked)
    except NaviError as error:
        return error.code
    return "allowed"


@pytest.mark.parametrize(
    ("operation", "token", "expected"),
    [
        (Operation.READ, None, "open"),
        (Operation.INFER, None, ErrorCode.UNAUTHENTICATED),
        (Operation.INFER, "nobody", ErrorCode.UNAUTHENTICATED),
        (Operation.INFER, "app-1", "allowed"),
        (Operation.INFER, "root-1", "allowed"),
        (Operation.INFER, "# of the operators", ErrorCode.UNAUTHENTICATED),
        (Operation.ADMIN, None, ErrorCode.UNAUTHENTICATED),
        (Operation.ADMIN, "nobody", ErrorCode.UNAUTHENTICATED),
        (Operation.ADMIN, "app-1", ErrorCode.PERMISSION_DENIED),
        (Operation.ADMIN, "root-2", "allowed"),
    ],
)
def test_a_token_allows_what_its_file_is_for(files, operation, token, expected):
    assert outcome(Authorization(allow_admin=True, settings=files), operation, call(token)) == expected


def test_a_good_token_does_not_replace_the_permission_of_the_host(files):
    assert (
        outcome(Authorization(settings=files), Operation.ADMIN, call("root-1")) is ErrorCode.PERMISSION_DENIED
    )


def test_without_files_inference_is_open_and_admin_is_a_matter_of_the_flag():
    assert Authorization().check_of(Operation.INFER) is None
    assert outcome(Authorization(), Operation.ADMIN, call()) is ErrorCode.PERMISSION_DENIED
    assert outcome(Authorization(allow_admin=True), Operation.ADMIN, call()) == "allowed"


@pytest.mark.parametrize("header", ["app-1", "Basic app-1", "Bearer", "Bearer ", "", b"Bearer app-1"])
def test_what_is_no_bearer_token_is_told_what_to_send(files, header):
    check = Authorization(settings=files).check_of(Operation.INFER)
    with pytest.raises(NaviError, match="authorization: Bearer TOKEN") as refused:
        check(Call(path="/x", metadata={"authorization": header}))
    assert refused.value.code is ErrorCode.UNAUTHENTICATED


def test_the_scheme_s_case_does_not_matter(files):
    check = Authorization(settings=files).check_of(Operation.INFER)
    check(call("app-1", scheme="bearer"))
    check(call("  app-1 ", scheme="BEARER"))


def test_a_changed_file_counts_within_a_second(tmp_path):
    path, clock = tmp_path / "tokens", ManualClock()
    write(path, "old\n", age_s=60)
    tokens = TokenFile(path, clock)
    write(path, "new\n")
    assert tokens.holds("old")  # not looked at again yet
    clock.advance(1.0)
    assert not tokens.holds("old")
    assert tokens.holds("new")


@pytest.mark.parametrize("ruin", ["remove", "empty", "binary", "large"])
def test_a_file_that_cannot_be_read_any_more_changes_nothing(tmp_path, ruin):
    path, clock = tmp_path / "tokens", ManualClock()
    write(path, "good\n", age_s=60)
    tokens = TokenFile(path, clock)
    path.unlink()
    if ruin != "remove":
        path.write_bytes(
            {"empty": b"\n# none\n", "binary": b"\xff\xfe", "large": bytes(MAX_FILE_BYTES + 1)}[ruin]
        )
    clock.advance(1.0)
    assert tokens.holds("good")
    assert not tokens.holds("")
    with pytest.raises(ConfigError, match="token"):
        TokenFile(path, clock)
