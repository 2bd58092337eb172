"""TensorFlow Serving's ``BatchingParameters`` -> a table of navi's batching settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from navi_core.errors import InvalidRequestError
from navi_core.wire import tf_serving
from navi_core.wire.text_config import parse_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from navi_core.wire.tf_serving import BatchingParameters, Int64Value

__all__ = ["BATCHING_FILE", "BatchingTable", "default_batching", "parse_batching"]

BATCHING_FILE: Final = "batching_params.pbtxt"
"""The file in a version's directory, where each model has parameters of its own."""

_MAX_BATCH_SIZE: Final = 1000
_MAX_ENQUEUED_BATCHES: Final = 10
"""What parameters that are not given are."""


@dataclass(frozen=True, slots=True)
class BatchingTable:
    """Parameters as navi has them.

    Parameters
    ----------
    table
        As ``[models.batching]`` takes it.
    notes
        Parameter -> why it has no effect.
    """

    table: Mapping[str, Any]
    notes: Mapping[str, str]


def default_batching() -> BatchingTable:
    """Return the parameters that hold where no file gives any."""
    return _table(tf_serving.BatchingParameters())


def parse_batching(text: str) -> BatchingTable:
    """Read parameters in protobuf's text format.

    Raises
    ------
    InvalidRequestError
        They are none, or do not fit each other.
    """
    return _table(parse_text(tf_serving.BatchingParameters, text))


def _table(said: BatchingParameters) -> BatchingTable:
    rows = most = _positive("max_batch_size", said.max_batch_size, _MAX_BATCH_SIZE)
    splits = said.enable_large_batch_splitting.value
    bound = "max_batch_size"
    if splits and said.HasField("max_execution_batch_size"):
        bound = "max_execution_batch_size"
        rows = _positive(bound, said.max_execution_batch_size, rows)
        if rows > most:
            raise InvalidRequestError(
                f"max_execution_batch_size: expected at most max_batch_size ({most}), got {rows}"
            )
    allowed = list(said.allowed_batch_sizes)
    _check_allowed(allowed, rows, bound)
    timeout_micros = said.batch_timeout_micros.value
    if timeout_micros < 0:
        raise InvalidRequestError(f"batch_timeout_micros: expected at least 0, got {timeout_micros}")
    waiting = _positive("max_enqueued_batches", said.max_enqueued_batches, _MAX_ENQUEUED_BATCHES)
    table: dict[str, Any] = {
        "enabled": True,
        "max_batch_rows": rows,
        "max_batch_requests": rows,
        "batch_timeout_ms": timeout_micros / 1000,
        "max_queue_rows": waiting * most,
        "split_large_requests": splits,
    }
    if allowed:
        table["allowed_batch_rows"] = allowed
    if said.HasField("num_batch_threads"):
        table["max_concurrent_batches"] = _positive("num_batch_threads", said.num_batch_threads, 1)
    notes = {}
    if said.pad_variable_length_inputs:
        notes["pad_variable_length_inputs"] = "requests of different shapes run in batches of their own"
    if said.HasField("thread_pool_name"):
        notes["thread_pool_name"] = "no metric shows it"
    return BatchingTable(table, notes)


def _positive(name: str, said: Int64Value, default: int) -> int:
    """Return a parameter's value; a wrapper that is absent is empty, like one that says 0."""
    value = said.value or default
    if value < 1:
        raise InvalidRequestError(f"{name}: expected at least 1, got {value}")
    return value


def _check_allowed(allowed: Sequence[int], rows: int, bound: str) -> None:
    for before, size in zip([0, *allowed], allowed, strict=False):
        if size <= before:
            raise InvalidRequestError(
                f"allowed_batch_sizes: expected sizes that increase, got {size} after {before}"
            )
    if allowed and allowed[-1] != rows:
        raise InvalidRequestError(
            f"allowed_batch_sizes: expected the last to be {bound} ({rows}), got {allowed[-1]}"
        )
