"""The kernel that counts which of a record's features a layout knows.

Made only when counters are asked for: one lookup for each feature more.

The rules are those of ``_protocol``.
"""

from __future__ import annotations

from typing import Any

from navi_dr_transform import _plan, wire
from navi_dr_transform._accelerate import inner
from navi_dr_transform._memory import get, put, read_i64
from navi_dr_transform._scatter import find, id_stride
from navi_dr_transform._tensors import open_sparse, open_tensor

__all__ = ["count_record"]


@inner
def is_known(plan: Any, displacements: Any, source: int, feature_id: int) -> int:
    """Answer 1 for a feature that has a column of a tensor, else 0."""
    for index in range(get(plan, _plan.SOURCES_AT + source), get(plan, _plan.SOURCES_AT + source + 1)):
        slot = find(plan, displacements, _plan.PASSES_AT + _plan.PASS_FIELDS * index, feature_id)
        if get(plan, slot) == feature_id:
            return 1
    return 0


@inner
def is_wanted(plan: Any, feature_id: int) -> int:
    """Answer 1 for the id of a tensor of the layout, else 0."""
    for index in range(get(plan, _plan.NUM_EMBEDDINGS)):
        at = get(plan, _plan.EMBEDDINGS_AT) + index * _plan.EMBEDDING_FIELDS
        if get(plan, at + _plan.FEATURE_ID) == feature_id:
            return 1
    return 0


@inner
def count_record(payload: bytes, plan: Any, displacements: Any, scratch: Any, counters: Any) -> None:
    """Count the features of the record that ``walk_record`` has gone through."""
    for field in range(wire.RECORD_BINARY, _plan.NUM_FIELDS):
        span = _plan.FIELDS_AT + _plan.FIELD_SPAN * field
        kind = get(scratch, span)
        count = get(scratch, span + 1)
        offset = get(scratch, span + 2)
        matched = wire.BEGIN
        if count == 0:
            continue
        if kind in (wire.ID_TENSORS, wire.ID_SPARSE_TENSORS):
            for _ in range(count):
                matched += is_wanted(plan, read_i64(payload, offset))
                if kind == wire.ID_TENSORS:
                    offset = open_tensor(payload, offset + 8, scratch)[1]
                else:
                    offset = open_sparse(payload, offset + 8, scratch)[1]
            put(counters, _plan.TENSORS, get(counters, _plan.TENSORS) + count)
            put(counters, _plan.MATCHED_TENSORS, get(counters, _plan.MATCHED_TENSORS) + matched)
        elif kind in (wire.IDS, wire.ID_DOUBLES, wire.ID_FLOATS, wire.ID_LONGS):
            stride = id_stride(kind)
            for element in range(offset, offset + stride * count, stride):
                matched += is_known(plan, displacements, field, read_i64(payload, element))
            put(counters, _plan.FEATURES, get(counters, _plan.FEATURES) + count)
            put(counters, _plan.MATCHED, get(counters, _plan.MATCHED) + matched)
