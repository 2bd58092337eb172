"""From a loaded version to one that answers: its queue, and where its figures go."""

from __future__ import annotations

import asyncio

from navi_core.batching.batcher import Batcher
from navi_core.batching.buffers import BufferPool
from navi_core.batching.threads import RunThreads
from navi_core.batching.turns import TurnTime
from navi_core.metrics.metrics import Metrics
from navi_core.models.records import VersionRecord
from navi_core.models.served import LoadedVersion

__all__ = ["Opener"]


class Opener:
    """Opens versions on one event loop.

    Parameters
    ----------
    pool
        Buffers for batches.
    threads
        Where batches run.
    metrics
        Told of gauges, converters and everything that runs.
    """

    def __init__(self, *, pool: BufferPool, threads: RunThreads, metrics: Metrics) -> None:
        self._pool = pool
        self._threads = threads
        self._metrics = metrics
        self._turn: TurnTime | None = None

    def open(self, record: VersionRecord, loaded: LoadedVersion) -> None:
        """Have a record's requests run on what was loaded."""
        name, version = record.artifact.name, record.version
        record.loaded = loaded
        self._metrics.set_gauges(name, version, loaded.gauges)
        for signature in loaded.signatures.values():
            if signature.converter is not None:
                self._metrics.set_converter(
                    name, version, signature.name, loaded.converter, signature.converter.metrics
                )
        if self._turn is None:  # the loop runs by now
            self._turn = TurnTime(asyncio.get_running_loop().call_soon)
        record.batcher = Batcher(
            loaded, pool=self._pool, threads=self._threads, metrics=self._metrics, turn=self._turn
        )
