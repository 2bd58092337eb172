"""A request with more rows than a batch takes: its parts, and the answer that theirs make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from navi_core.batching.prepared import Answer, Prepared

__all__ = ["joined", "parts_of"]


def parts_of(request: Prepared, parts: Sequence[tuple[int, int]]) -> Iterator[Prepared]:
    """Yield a request for each range of rows; the arrays are views."""
    share = request.size_bytes // len(parts)
    for start, stop in parts:
        yield Prepared(
            served=request.served,
            outputs=request.outputs,
            inputs={name: array[start:stop] for name, array in request.inputs.items()},
            plan=None,
            num_rows=stop - start,
            size_bytes=share,
            key=request.key,
            parameters=request.parameters,
            deadline=request.deadline,
            priority=request.priority,
        )


def joined(answers: Sequence[Answer], outputs: Sequence[str]) -> Answer:
    """Return one answer of the parts' rows, and give the parts' buffers back."""
    arrays = {name: np.concatenate([answer.outputs[name] for answer in answers]) for name in outputs}
    for answer in answers:
        answer.give_back()
    return Answer(
        outputs=arrays,
        batch_rows=max(answer.batch_rows for answer in answers),
        queue_seconds=max(answer.queue_seconds for answer in answers),
        run_seconds=sum(answer.run_seconds for answer in answers),
    )
