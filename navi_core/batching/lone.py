"""One request run by itself while its caller stands by: nothing to gather, nothing to split."""

from __future__ import annotations

from time import perf_counter

import msgspec

from navi_core.batching.buffers import BufferPool
from navi_core.batching.contexts import LoneContext
from navi_core.batching.failures import as_navi_error, check_computed
from navi_core.batching.prepared import Answer, Prepared
from navi_core.contracts.runtime import Servable
from navi_core.errors import NaviError
from navi_core.types import NamedArrays

__all__ = ["LoneRun", "run_alone"]


class LoneRun(msgspec.Struct):
    """What came of it.

    Parameters
    ----------
    answer
        None: it failed.
    error
        Why.
    run_seconds
        How long the run took.
    """

    answer: Answer | None
    error: NaviError | None
    run_seconds: float


def run_alone(request: Prepared, servable: Servable, pool: BufferPool, model: str) -> LoneRun:
    """Run one request on this thread.

    Parameters
    ----------
    request
        A request with arrays, not a plan.
    servable
        Not async.
    pool
        Buffers for what the run allocates.
    model
        For error texts.
    """
    served = request.served
    context = LoneContext(
        request.num_rows if served.model.batchable else None, request.parameters, request.deadline, pool
    )
    started = perf_counter()
    try:
        result = servable.run(served.name, request.inputs, request.outputs, context)
        run_seconds = perf_counter() - started
        outputs: NamedArrays = result  # type: ignore[assignment]  # the servable is not async
        if tuple(outputs) != request.outputs:
            check_computed(request.outputs, outputs, model)
            outputs = {name: outputs[name] for name in request.outputs}
    except BaseException as error:  # as on a thread: whatever a framework raises, the caller gets an answer
        run_seconds = perf_counter() - started
        if context.lease is not None:
            context.lease.release()
        return LoneRun(None, as_navi_error(error, model), run_seconds)
    return LoneRun(Answer(outputs, context.lease, request.num_rows, 0.0, run_seconds), None, run_seconds)
