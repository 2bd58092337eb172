"""One request run by itself while its caller stands by: nothing to gather, nothing to split."""

from __future__ import annotations

from time import perf_counter

from navi_core.batching.buffers import BufferPool
from navi_core.batching.contexts import LoneContext
from navi_core.batching.failures import as_navi_error, check_computed
from navi_core.batching.inlining import InlineGate
from navi_core.batching.prepared import Answer, Prepared
from navi_core.batching.queue import CloseReason
from navi_core.contracts.runtime import Servable
from navi_core.errors import NaviError
from navi_core.metrics.metrics import SignatureMetrics
from navi_core.types import NamedArrays

__all__ = ["LoneRun", "answer_now"]


class LoneRun:
    """What came of it.

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

    Attributes
    ----------
    answer
        None: it failed.
    error
        Why.
    run_seconds
        How long the run took.
    """

    __slots__ = ("answer", "error", "run_seconds")

    def __init__(self, request: Prepared, servable: Servable, pool: BufferPool, model: str) -> None:
        self.answer: Answer | None = None
        self.error: NaviError | None = None
        served = request.served
        context = LoneContext(
            request.num_rows if served.model.batchable else None, request.parameters, request.deadline, pool
        )
        started = perf_counter()
        try:
            result = servable.run(served.name, request.inputs, request.outputs, context)
            self.run_seconds = perf_counter() - started
            outputs: NamedArrays = result  # type: ignore[assignment]  # the servable is not async
            if tuple(outputs) != request.outputs:
                check_computed(request.outputs, outputs, model)
                outputs = {name: outputs[name] for name in request.outputs}
        except (
            BaseException
        ) as error:  # as on a thread: whatever a framework raises, the caller gets an answer
            self.run_seconds = perf_counter() - started
            self.error = as_navi_error(error, model)
            if context.lease is not None:
                context.lease.release()
            return
        self.answer = Answer(
            outputs=outputs,
            lease=context.lease,
            batch_rows=request.num_rows,
            run_seconds=self.run_seconds,
        )


def answer_now(
    request: Prepared,
    metrics: SignatureMetrics,
    gate: InlineGate,
    servable: Servable,
    pool: BufferPool,
    model: str,
    *,
    now: float,
    reason: CloseReason,
) -> Answer | None:
    """Run one request on the event loop, and count it as the batch that it is.

    Parameters
    ----------
    request, servable, pool, model
        As for :class:`LoneRun`.
    metrics
        Where figures go.
    gate
        Is told how long the run took.
    now
        The current time, in seconds.
    reason
        What counts it as a batch of its own.

    Raises
    ------
    NaviError
        Whatever the run ended with.
    """
    run = LoneRun(request, servable, pool, model)
    gate.ran_inline(run.run_seconds, now)
    metrics.batch_finished((0.0,), 1, request.num_rows, 0, reason, 0.0, run.run_seconds, ok=run.error is None)
    if run.error is not None:
        raise run.error
    return run.answer
