"""What goes into a batcher and what comes out: a checked request, and its answer."""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from navi_core.batching.buffers import Lease
from navi_core.contracts.converter import Plan
from navi_core.models.served import ServedSignature
from navi_core.types import NamedArrays, Parameters

__all__ = ["Answer", "Prepared"]


class Prepared(msgspec.Struct, kw_only=True):
    """A checked request, ready to be queued.

    Parameters
    ----------
    served
        Its signature.
    outputs
        Names to compute.
    inputs
        The model's inputs; empty when ``plan`` fills them.
    plan
        The converter's plan, if there is one.
    num_rows
        Rows it adds to a batch; 0 where the signature does not batch.
    size_bytes
        What it holds while it waits: body, and tensors that will be filled.
    key
        Requests with equal keys may run together; None: alone.
    parameters
        Those that the servable reads.
    deadline
        In seconds on the monotonic clock; None: none.
    priority
        As the request has it.
    """

    served: ServedSignature
    outputs: tuple[str, ...]
    inputs: NamedArrays
    plan: Plan | None
    num_rows: int
    size_bytes: int
    key: Hashable
    parameters: Parameters
    deadline: float | None
    priority: int = 0


class Answer(msgspec.Struct):
    """What a request got, and where its time went.

    Parameters
    ----------
    outputs
        Name -> array.
    lease
        A share of the outputs' buffers, to be released once they are written; None: nothing pooled.
    batch_rows
        Rows of the batch that it ran in.
    queue_seconds, run_seconds
        Waiting, and running.
    """

    outputs: NamedArrays
    lease: Lease | None = None
    batch_rows: int = 0
    queue_seconds: float = 0.0
    run_seconds: float = 0.0

    def give_back(self) -> None:
        """Give the outputs' buffers back: nobody reads them any more."""
        if self.lease is not None:
            self.lease.release()
