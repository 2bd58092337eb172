"""A worker's seat: what it says where something of its own fails."""

from __future__ import annotations

from navi_core.config.records import ModelConfig
from navi_core.contracts.artifact import Artifact
from navi_core.errors import ErrorCode
from navi_core.workers.protocol import ArtifactRecord, Prepare, PrepareFailed
from navi_core.workers.seat import Seat, SeatOrders


class Failing:
    """A replica with a fault that nobody has thought of."""

    async def prepare(self, ticket, config, artifact):
        raise RuntimeError("a fault of the worker's own")


class Heard:
    def __init__(self):
        self.said = []

    def send(self, message):
        self.said.append(message)


async def test_a_load_that_fails_in_any_way_is_answered(tmp_path):
    """The swap of all workers waits for each one's answer."""
    seat = Seat(SeatOrders(socket="", index=1, config=""))
    seat._channel = heard = Heard()
    artifact = ArtifactRecord.of(Artifact(name="m", version=1, path=tmp_path))
    await seat._prepare(Failing(), Prepare(3, ModelConfig(path=str(tmp_path)), artifact))
    (failed,) = heard.said
    assert isinstance(failed, PrepareFailed)
    error = failed.fault.error()
    assert (failed.ticket, error.message, error.code) == (3, "internal error", ErrorCode.INTERNAL)
