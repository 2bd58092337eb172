"""The rows of several requests brought together in one buffer each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from navi_core.batching.buffers import Lease
from navi_core.batching.failures import as_navi_error
from navi_core.batching.tasks import Task
from navi_core.errors import NaviError
from navi_core.models.served import ServedSignature
from navi_core.signature import default_value
from navi_core.tensors import numpy_dtype
from navi_core.types import Array, NamedArrays

__all__ = ["gather"]


def gather(
    served: ServedSignature, tasks: Sequence[Task], rows: int, lease: Lease, model: str
) -> tuple[NamedArrays, dict[int, NaviError]]:
    """Bring the tasks' rows together, and add what nobody sent and the model does not know itself.

    Each task's rows are written once; a single task's arrays are given as they are.

    Parameters
    ----------
    served
        The tasks' signature.
    tasks
        Of one batch key, at least one.
    rows
        Rows of the batch: the tasks' and, behind them, padding, which repeats the first row.
    lease
        Where buffers come from.
    model
        For error texts.

    Returns
    -------
    inputs, errors
        The model's inputs; and index -> error of tasks whose converter could not fill their rows, which are zeros.
    """
    inputs, errors = _joined(served, tasks, rows, lease, model)
    signature = served.model
    if len(inputs) == len(signature.inputs):
        return inputs, errors
    defaults = {
        spec.name: np.asarray(
            default_value(spec, rows if signature.batchable and not spec.is_per_request else None), order="C"
        )
        for spec in signature.inputs.values()
        if spec.default is not None and spec.name not in inputs
    }
    return ({**inputs, **defaults} if defaults else inputs), errors


def _joined(
    served: ServedSignature, tasks: Sequence[Task], rows: int, lease: Lease, model: str
) -> tuple[NamedArrays, dict[int, NaviError]]:
    first = tasks[0]
    if first.plan is not None:
        return _filled(served, tasks, rows, lease, model)
    if len(tasks) == 1 and rows == first.num_rows:
        return first.inputs, {}
    buffers = {}
    total = sum(task.num_rows for task in tasks)
    for name, array in first.inputs.items():
        # fixed-width strings of one request need not be as wide as another's
        dtype = np.dtype(object) if array.dtype.kind in "SU" else array.dtype
        buffer = lease.allocate((rows, *array.shape[1:]), dtype)
        np.concatenate([task.inputs[name] for task in tasks], out=buffer[:total])
        if rows > total:
            buffer[total:] = buffer[:1]
        buffers[name] = buffer
    return buffers, {}


def _filled(
    served: ServedSignature, tasks: Sequence[Task], rows: int, lease: Lease, model: str
) -> tuple[NamedArrays, dict[int, NaviError]]:
    """Have the converter write each task's rows into their place."""
    plan = tasks[0].plan
    assert plan is not None  # noqa: S101 - the caller has looked
    assert served.converter is not None  # noqa: S101 - it made the plan
    buffers: dict[str, Array] = {
        name: lease.allocate((rows, *row.shape), numpy_dtype(row.dtype)) for name, row in plan.rows.items()
    }
    errors: dict[int, NaviError] = {}
    start = 0
    for index, task in enumerate(tasks):
        stop = start + task.num_rows
        own = {name: buffer[start:stop] for name, buffer in buffers.items()}
        try:
            assert task.plan is not None  # noqa: S101 - tasks of one key are of one kind
            served.converter.fill(task.plan, own)
        except Exception as error:
            errors[index] = as_navi_error(error, model)
            for view in own.values():
                view[...] = b"" if view.dtype.hasobject else 0
        start = stop
    for buffer in buffers.values():
        buffer[start:] = buffer[:1]
    return buffers, errors
