"""Messages between processes: every one survives the way, however it is cut, and nothing else is taken."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.config.records import BatchingSettings, ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.transport import Address
from navi_core.contracts.versions import ServableState, VersionStatus
from navi_core.errors import (
    ConfigError,
    ErrorCode,
    ModelLoadError,
    ModelNotFoundError,
    NaviError,
    QueueFullError,
    VersionNotFoundError,
)
from navi_core.workers.frames import Frames, ProtocolError, frame, parse_from_parent, parse_from_worker
from navi_core.workers.protocol import (
    AdminWanted,
    ArtifactRecord,
    Fault,
    Hello,
    ModelPicture,
    Opened,
    Picture,
    Prepare,
    Prepared,
    Switch,
)

CONFIG = ModelConfig(
    path="/models/m",
    labels={"stable": 1},
    batching=BatchingSettings(max_batch_rows=4),
    runtime_options={"a": [1, "b", {"c": 1.5}], "none": None},
)
RECORD = ArtifactRecord(name="m", version=7, path="/models/m/7", revision="r")

FROM_PARENT = [
    Prepare(3, CONFIG, RECORD),
    Prepare(3, CONFIG, ArtifactRecord(name="m", version=1, files={"a": b"\0\xff"})),
    Switch(4, add=(3,), remove=(1, 2), current={"m": 7, "n": None}),
    Picture(
        ("m",),
        (
            ModelPicture(
                "m",
                CONFIG,
                was_looked_at=True,
                statuses=(
                    VersionStatus(
                        version=7, state=ServableState.END, error_code=ErrorCode.UNKNOWN, error_message="no"
                    ),
                ),
            ),
        ),
        is_complete=True,
    ),
]
FROM_WORKER = [
    Hello(1, 2, 3),
    Opened({"grpc": (Address("grpc", "127.0.0.1", 8500),)}),
    Prepared(3, "onnx", "onnx", notes=("a note",), gauges={"g": 1.5}),
    AdminWanted(1, "apply_config", models=(CONFIG,)),
]


@pytest.mark.parametrize("message", FROM_PARENT, ids=lambda each: type(each).__name__)
def test_what_the_parent_says_arrives(message):
    (body,) = Frames().feed(frame(message))
    assert parse_from_parent(body) == message


@pytest.mark.parametrize("message", FROM_WORKER, ids=lambda each: type(each).__name__)
def test_what_a_worker_says_arrives(message):
    (body,) = Frames().feed(frame(message))
    assert parse_from_worker(body) == message


@pytest.mark.parametrize(
    "artifact",
    [
        Artifact(name="m", version=1, path=Path("/models/m/1"), revision="x"),
        Artifact(name="m", version=2, files={"a.json": b"{}"}),
    ],
)
def test_an_artifact_comes_out_as_it_went_in(artifact):
    assert ArtifactRecord.of(artifact).artifact() == artifact


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 40), min_size=1))
def test_bodies_are_the_same_however_they_are_cut(bodies, sizes):
    data = b"".join(struct.pack(">I", len(body)) + body for body in bodies)
    frames, found, start, turn = Frames(), [], 0, 0
    while start < len(data):
        size = sizes[turn % len(sizes)]
        found += frames.feed(data[start : start + size])
        start, turn = start + size, turn + 1
    assert found == bodies


def test_a_length_beyond_the_limit_is_refused_before_anything_is_kept():
    with pytest.raises(ProtocolError, match="expected at most 10 bytes, got 4294967295"):
        list(Frames(max_bytes=10).feed(b"\xff\xff\xff\xff"))


@pytest.mark.parametrize("parse", [parse_from_parent, parse_from_worker])
@given(
    message=st.sampled_from([*FROM_PARENT, *FROM_WORKER]), cut=st.integers(0, 60), byte=st.binary(max_size=1)
)
def test_what_is_damaged_is_refused_and_nothing_else_is_raised(parse, message, cut, byte):
    whole = frame(message)[4:]
    damaged = whole[:cut] + byte + whole[cut + 1 :]
    with contextlib.suppress(ProtocolError):
        parse(damaged)
    with pytest.raises(ProtocolError, match="a message between processes: "):
        parse(whole[: min(cut, len(whole) - 1)])


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("expected 1, got 2", path="models[0].path"),
        ModelNotFoundError("m", version=3),
        VersionNotFoundError("m", 3),
        ModelLoadError("broken", model="m", version=3, code=ErrorCode.RESOURCE_EXHAUSTED, reason="max"),
        QueueFullError(limit="rows", maximum=3, model="m"),
        NaviError("other"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_raised_at_the_other_end_as_what_it_was(error):
    again = Fault.of(error).error()
    assert type(again) is type(error)
    assert (again.message, vars(again)) == (error.message, vars(error))


def test_an_error_of_a_plugins_own_class_becomes_the_nearest_that_is_known():
    class Special(ModelLoadError):
        pass

    assert type(Fault.of(Special("broken", model="m")).error()) is ModelLoadError
