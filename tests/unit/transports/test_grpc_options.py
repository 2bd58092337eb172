from __future__ import annotations

import time

import msgspec
import pytest

from navi_core.budget import MemoryBudget
from navi_core.contracts.transport import TransportOptions
from navi_core.transports.grpc.options import GrpcOptions, channel_arguments

INT32_MAX = 2**31 - 1


def arguments(own=None, **more):
    options = TransportOptions(budget=MemoryBudget(1), now=time.monotonic, **more)
    return dict(channel_arguments(options, own or GrpcOptions()))


def test_the_defaults_are_tensorflow_servings_limits():
    seen = arguments()
    assert seen["grpc.max_receive_message_length"] == INT32_MAX
    assert seen["grpc.so_reuseport"] == 0


@pytest.mark.parametrize(
    ("message", "inflated", "receive"),
    [(100, 1000, 100), (1000, 100, 100), (INT32_MAX + 1, INT32_MAX + 1, -1), (2**40, 100, 100)],
)
def test_limits_do_not_overflow(message, inflated, receive):
    seen = arguments(max_message_bytes=message, max_inflated_bytes=inflated)
    assert seen["grpc.max_receive_message_length"] == receive
    assert all(-1 <= value <= INT32_MAX for value in seen.values())


def test_nothing_is_said_that_was_not_asked_for():
    assert set(arguments()) == {"grpc.max_receive_message_length", "grpc.so_reuseport"}


def test_own_options():
    seen = arguments(
        GrpcOptions(
            compression="gzip",
            max_connection_age_s=0.0001,
            keepalive_time_s=30,
            max_concurrent_streams=7,
            max_metadata_bytes=9000,
        ),
        reuse_port=True,
    )
    assert seen["grpc.default_compression_level"] == 1
    assert seen["grpc.max_connection_age_ms"] == 1
    assert seen["grpc.keepalive_time_ms"] == 30_000
    assert seen["grpc.max_concurrent_streams"] == 7
    assert seen["grpc.max_metadata_size"] == seen["grpc.absolute_max_metadata_size"] == 9000
    assert seen["grpc.so_reuseport"] == 1


@pytest.mark.parametrize(
    "table",
    [
        {"compression": "br"},
        {"max_connection_age_s": 0},
        {"unix_socket": ""},
        {"nonsense": 1},
        {"keepalive_time_s": 1e9},
    ],
)
def test_wrong_tables_are_refused(table):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table, GrpcOptions)


def test_channel_arguments_overrule_what_is_said_otherwise():
    own = GrpcOptions(keepalive_time_s=30, channel_arguments={"grpc.keepalive_time_ms": 5, "grpc.other": "x"})
    seen = arguments(own)
    assert (seen["grpc.keepalive_time_ms"], seen["grpc.other"]) == (5, "x")
    assert [name for name, _ in channel_arguments_of(own)].count("grpc.keepalive_time_ms") == 1


def channel_arguments_of(own):
    return channel_arguments(TransportOptions(budget=MemoryBudget(1), now=time.monotonic), own)
