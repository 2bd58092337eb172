"""Calls and responses: what transports hand to services, and get from them."""

from __future__ import annotations

import pytest

from navi_core.contracts.service import Call, Response


def test_calls_share_nothing_that_can_change():
    one, other = Call(path="/a"), Call(path="/a")
    assert one.match is not other.match
    assert one.metadata is not other.metadata
    told = []
    one.on_cancel(lambda: told.append("one"))
    other.cancelled()
    assert told == []
    one.cancelled()
    one.cancelled()
    assert told == ["one"]


async def test_a_call_without_messages_ends_at_once_and_again():
    call = Call(path="/a")
    for _ in range(2):
        assert [message async for message in call.messages] == []


def test_fields_have_names_and_nothing_else_is_taken():
    with pytest.raises(TypeError):
        Call("/a")
    with pytest.raises(TypeError):
        Response(status=0, bodies=b"")
    call = Call(path="/a", body=b"x")
    with pytest.raises(AttributeError):
        call.bodies = b""
