"""The kernels that are called: ``measure`` sees everything that can be refused, ``fill`` writes the rows.

Theory: the host must know a request's rows before there is memory for them, and whether it is well formed
before it shares a batch with others; ``measure`` answers both without looking at the elements of fields of
fixed size. ``fill`` goes through each record once more to see where its fields lie, which costs little for the
same reason, and checks as ``measure`` does: it must not trust its caller with the bounds of memory. What is
common to the records follows them on the wire though they override it; so it is laid over the defaults in a
template row first, and every row begins as a copy of that.

A field that a struct repeats counts the last time it stands there.

Sources: TBinaryProtocol as Apache Thrift writes it; ``specs/thrift``; Navi's dr_transform 0.1.0.
"""

from __future__ import annotations

from typing import Any

from navi_dr_transform import _plan, wire
from navi_dr_transform._accelerate import INT, INTS, PAYLOAD, SCRATCH, SMALL_INTS, answers, inner, kernel
from navi_dr_transform._count import count_record
from navi_dr_transform._embed import write_sparse, write_values
from navi_dr_transform._memory import (
    copy_row,
    get,
    num_rows_of,
    put,
    read_i64,
    row_bytes_of,
    row_of,
)
from navi_dr_transform._protocol import open_field, open_list, skip
from navi_dr_transform._scatter import forget, scatter_field
from navi_dr_transform._sparse import scatter_sparse, scatter_strings
from navi_dr_transform._tensors import open_sparse, open_tensor
from navi_dr_transform._walk import walk_record

__all__ = ["fill", "measure"]


# --- measure ------------------------------------------------------------------------------------------------


@kernel(answers(5)(PAYLOAD, INT, INTS, SCRATCH))
def measure(payload: bytes, form: int, plan: Any, scratch: Any) -> tuple[int, int, int, int, int]:
    """Read every length of a request, fill nothing.

    Parameters
    ----------
    payload
        The request; bytes after the struct are ignored.
    form
        Which struct it is: ``wire.BATCH``, ``wire.PREDICTION`` or ``wire.RECORD``.
    plan
        (N,) int64. The frozen layout (``tables.freeze``).
    scratch
        (``Frozen.scratch_size``,) int64. **Written**; one thread at a time.

    Returns
    -------
    status, offset, num_records, records, common
        ``records`` is the offset of the first record, ``common`` that of the common features, -1 when
        there are none. Unless status is ``wire.OK`` only the offset means anything: where it stopped.

    Notes
    -----
    Source: ``specs/thrift``. Never raises. Releases the GIL.
    """
    offset = wire.BEGIN
    num_records = records = common = wire.ABSENT
    while True:
        start = offset
        count = wire.ONE
        if form == wire.RECORD:
            num_records = count
            records = offset
        else:
            status, offset, wire_type, field = open_field(payload, offset)
            if status != wire.OK:
                return status, offset, 0, 0, 0
            if wire_type == wire.STOP:
                if records < 0:
                    return wire.MISSING_FIELD, start, 0, 0, 0
                return wire.OK, offset, num_records, records, common
            if field == wire.REQUEST_RECORDS:
                if wire_type != (wire.LIST if form == wire.BATCH else wire.STRUCT):
                    return wire.WRONG_TYPE, start, 0, 0, 0
                if form == wire.BATCH:
                    status, offset, count = open_list(payload, offset, wire.STRUCT)
                num_records = count
                records = offset
            elif field == wire.REQUEST_COMMON and form == wire.BATCH:
                if wire_type != wire.STRUCT:
                    return wire.WRONG_TYPE, start, 0, 0, 0
                common = offset
            else:
                count = wire.BEGIN
                status, offset = skip(payload, offset, wire_type, scratch)
            if status != wire.OK:
                return status, offset, 0, 0, 0
        for _ in range(count):  # called at one place: what is called is compiled into every place
            status, offset = walk_record(payload, offset, plan, scratch)
            if status != wire.OK:
                return status, offset, 0, 0, 0
        if form == wire.RECORD:
            return wire.OK, offset, num_records, records, common


# --- fill ---------------------------------------------------------------------------------------------------------


@inner
def fill_tensors(
    payload: bytes, kind: int, offset: int, count: int, plan: Any, out: Any, row: int, scratch: Any
) -> None:
    """Write those of a record's tensors that a layout asks for into their rows.

    Of an id that a field repeats the last one counts, and only that one is written: what a payload costs is bounded
    by its bytes and the rows, not by their product.
    """
    embeddings = get(plan, _plan.EMBEDDINGS_AT)
    end = embeddings + get(plan, _plan.NUM_EMBEDDINGS) * _plan.EMBEDDING_FIELDS
    for at in range(embeddings, end, _plan.EMBEDDING_FIELDS):
        put(scratch, get(plan, at + _plan.EMBEDDING_STATE) + _plan.LAST_VALUES, wire.ABSENT)
    for _ in range(count):
        feature_id = read_i64(payload, offset)
        values = offset + 8
        form = wire.NOT_NUMBERS
        if kind == wire.ID_TENSORS:
            _, offset, form, values, _ = open_tensor(payload, values, scratch)
        else:
            offset = open_sparse(payload, values, scratch)[1]
        # several tensors may share an id: Navi gives -1 to all whose names are unknown
        for at in range(embeddings, end, _plan.EMBEDDING_FIELDS):
            if get(plan, at + _plan.FEATURE_ID) == feature_id:
                state = get(plan, at + _plan.EMBEDDING_STATE)
                put(scratch, state + _plan.LAST_VALUES, values)
                put(scratch, state + _plan.LAST_FORM, form)
    for at in range(embeddings, end, _plan.EMBEDDING_FIELDS):
        state = get(plan, at + _plan.EMBEDDING_STATE)
        values = get(scratch, state + _plan.LAST_VALUES)
        if values >= 0:
            target = row_of(out, get(plan, at + _plan.EMBEDDING_TENSOR), row)
            width = get(plan, at + _plan.EMBEDDING_WIDTH)
            dtype = get(plan, at + _plan.EMBEDDING_DTYPE)
            if kind == wire.ID_TENSORS:
                write_values(payload, get(scratch, state + _plan.LAST_FORM), values, target, width, dtype)
            else:
                coo = open_sparse(payload, values, scratch)[2]
                write_sparse(payload, coo, target, width, dtype)


@inner
def source_of(field: int, kind: int) -> int:
    """Return which passes a field's elements are for: DataRecord's field for the same."""
    if kind == wire.ID_SETS:
        return wire.RECORD_SPARSE_BINARY
    if kind == wire.ID_MAPS:
        return wire.RECORD_SPARSE_CONTINUOUS
    return wire.RECORD_BLOBS if field == wire.COMPACT_BLOBS else field


@inner
def fill_record(
    payload: bytes,
    offset: int,
    plan: Any,
    displacements: Any,
    out: Any,
    row: int,
    has_next: int,
    scratch: Any,
) -> tuple[int, int]:
    """Lay one record over a row that holds a copy of the template's row; ``has_next`` is 1 if the next row follows."""
    status, offset = walk_record(payload, offset, plan, scratch)
    if status != wire.OK:
        return status, offset
    for field in range(wire.RECORD_BINARY, _plan.NUM_FIELDS):
        span = _plan.FIELDS_AT + _plan.FIELD_SPAN * field
        count = get(scratch, span + 1)
        if count == 0:
            continue
        kind = get(scratch, span)
        elements = get(scratch, span + 2)
        if kind in (wire.ID_TENSORS, wire.ID_SPARSE_TENSORS):
            fill_tensors(payload, kind, elements, count, plan, out, row, scratch)
            continue
        source = source_of(field, kind)
        first = get(plan, _plan.SOURCES_AT + source)
        for index in range(first, get(plan, _plan.SOURCES_AT + source + 1)):
            tensor = get(plan, _plan.PASSES_AT + _plan.PASS_FIELDS * index + _plan.TENSOR)
            target = row_of(out, tensor, row)
            if kind == wire.ID_STRINGS:
                scatter_strings(payload, elements, count, plan, displacements, index, target)
            elif kind in (wire.ID_SETS, wire.ID_MAPS):
                scatter_sparse(
                    payload, kind, field, elements, count, plan, displacements, index, target, scratch
                )
            else:
                ahead = has_next * row_bytes_of(out, tensor)
                scatter_field(
                    payload, kind, elements, count, plan, displacements, index, target, ahead, scratch
                )
    return status, offset


@inner
def copy_template(plan: Any, source: Any, out: Any, row: int) -> None:
    """Copy the template's row of every tensor."""
    for tensor in range(get(plan, _plan.NUM_TENSORS)):
        copy_row(
            row_of(out, tensor, row), row_of(source, tensor, wire.ONLY_ROW), row_bytes_of(source, tensor)
        )


@kernel(answers(2)(PAYLOAD, INT, INT, INT, INTS, SMALL_INTS, INTS, INTS, INTS, INT, SCRATCH, SCRATCH))
def fill(
    payload: bytes,
    num_records: int,
    records: int,
    common: int,
    plan: Any,
    displacements: Any,
    defaults: Any,
    template: Any,
    out: Any,
    first_row: int,
    scratch: Any,
    counters: Any,
) -> tuple[int, int]:
    """Write every record of a request into its row, defaults and common features included.

    Parameters
    ----------
    payload
        The request.
    num_records, records, common
        As ``measure`` answered for it.
    plan, displacements
        (N,) int64, (M,) int32. The frozen layout.
    defaults, template
        Rows (``_memory.rows_of``) of one row for each tensor: what stands where nothing came, and memory for the
        template, **written**.
    out
        Rows of the tensors, **written**.
    first_row
        The first record's row.
    scratch
        (``Frozen.scratch_size``,) int64. **Written**; one thread at a time.
    counters
        (0,) int64, or (``tables.NUM_COUNTERS``,): what came is **added**.

    Returns
    -------
    status, offset
        ``wire.OK`` and the byte after the last record; else what is wrong and where it stopped.

    Notes
    -----
    Source: Navi's dr_transform 0.1.0, converter.rs; the exceptions are those of the README. Never raises.
    Releases the GIL.
    """
    for tensor in range(get(plan, _plan.NUM_TENSORS)):
        row_bytes = row_bytes_of(defaults, tensor)
        if (
            first_row < 0
            or num_records > num_rows_of(out, tensor) - first_row
            or row_bytes_of(out, tensor) != row_bytes
            or row_bytes_of(template, tensor) != row_bytes
        ):
            return wire.NO_SUCH_ROW, records
    if records < 0:
        return wire.TRUNCATED, records
    forget(plan, scratch)
    source = defaults
    offset = records
    is_alone = num_records == 1
    # the common features come first, as a record of the template; one call, as in ``measure``
    for step in range(wire.ABSENT if common >= 0 else wire.BEGIN, num_records):
        is_common = step < 0
        target = template if is_common and not is_alone else out
        row = first_row + (wire.BEGIN if is_alone else step)
        if is_common and not is_alone:
            row = wire.ONLY_ROW
        if is_common or common < 0 or not is_alone:  # the only record is laid over them in its own row
            copy_template(plan, source, target, row)
        at = common if is_common else offset
        has_next = int(0 <= step < num_records - 1)
        status, end = fill_record(payload, at, plan, displacements, target, row, has_next, scratch)
        if status != wire.OK:
            return status, end
        if len(counters) > 0:
            count_record(payload, plan, displacements, scratch, counters)
            put(counters, _plan.RECORDS, get(counters, _plan.RECORDS) + int(not is_common))
        if is_common:
            source = template
        else:
            offset = end
    return wire.OK, offset
