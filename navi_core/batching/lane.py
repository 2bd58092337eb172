"""What a batcher keeps for each signature of its version."""

from __future__ import annotations

from navi_core.batching.inlining import InlineGates
from navi_core.batching.preparing import Preparer
from navi_core.metrics.metrics import SignatureMetrics

__all__ = ["Lane"]


class Lane:
    """One signature's part of a batcher.

    Parameters
    ----------
    prepare
        Checks and plans its requests.
    metrics
        Where its figures go.
    gates
        Whether its batches run on the event loop; None: they never do.
    """

    __slots__ = ("gates", "metrics", "prepare")

    def __init__(self, prepare: Preparer, metrics: SignatureMetrics, gates: InlineGates | None) -> None:
        self.prepare = prepare
        self.metrics = metrics
        self.gates = gates
