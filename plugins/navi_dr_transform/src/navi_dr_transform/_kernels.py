"""The kernels: one walk over the bytes of a BatchPredictionRequest, straight into dense tensors.

Only ``measure`` and ``fill`` are called from outside; ``_reference`` has a plain twin of each. The rules
are those of ``_protocol``.

Theory: ``measure`` sees everything that can be refused and remembers where the records and the common
features lie, because the latter follow the former on the wire though records override them. ``fill``
then reads the common features into a template row, copies it to each row and lays the record over it.
It checks as ``measure`` does: it must not trust its caller with the bounds of memory.

A field that a struct repeats counts the last time it stands there, so what its earlier occurrence wrote
is put back first.

Sources: TBinaryProtocol as Apache Thrift writes it; ``specs/thrift``; Navi's dr_transform 0.1.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from navi_dr_transform import wire
from navi_dr_transform._accelerate import (
    INT,
    INTS,
    PAYLOAD,
    TENSORS,
    answers,
    inner,
    kernel,
    read_f64,
    read_i64,
)
from navi_dr_transform._protocol import open_field, open_list, open_map, skip
from navi_dr_transform._tensors import check_length, copy_values, open_tensor

__all__ = ["fill", "measure"]


@inner
def value_type(field: int) -> int:
    """Return the wire type of the values of a DataRecord's map."""
    if field == wire.RECORD_CONTINUOUS:
        return wire.DOUBLE
    if field == wire.RECORD_DISCRETE:
        return wire.I64
    if field in (wire.RECORD_STRINGS, wire.RECORD_BLOBS):
        return wire.STRING
    if field == wire.RECORD_SPARSE_BINARY:
        return wire.SET
    if field == wire.RECORD_SPARSE_CONTINUOUS:
        return wire.MAP
    return wire.STRUCT


@inner
def next_field(payload: bytes, offset: int) -> tuple[int, int, int, int]:
    """Go to the next known field of a DataRecord, past unknown ones.

    Returns
    -------
    status, offset, field, count
        ``field`` is ``wire.RECORD_END`` at the record's end, else the field's id, ``count`` its number of
        elements or pairs and ``offset`` the first of them (the byte after the record at its end). Fields
        that land in no tensor are passed over: only their types and structure are looked at.
    """
    while True:
        start = offset
        status, offset, wire_type, field = open_field(payload, offset)
        if status != wire.OK:
            return status, offset, wire.RECORD_END, 0
        if wire_type == wire.STOP:
            return wire.OK, offset, wire.RECORD_END, 0
        if wire.RECORD_BINARY <= field <= wire.RECORD_SPARSE_TENSORS:
            if wire_type != (wire.SET if field == wire.RECORD_BINARY else wire.MAP):
                return wire.WRONG_TYPE, start, wire.RECORD_END, 0
            if field == wire.RECORD_BINARY:
                status, values, count = open_list(payload, offset, wire.I64)
            else:
                status, values, count = open_map(payload, offset, wire.I64, value_type(field))
            if status != wire.OK or field <= wire.RECORD_DISCRETE or field == wire.RECORD_TENSORS:
                return status, values, field, count
        status, offset = skip(payload, offset, wire_type)
        if status != wire.OK:
            return status, offset, wire.RECORD_END, 0


# --- measure ------------------------------------------------------------------------------------------


@inner
def measure_tensors(
    payload: bytes, offset: int, count: int, embedding_ids: Any, embedding_widths: Any, exact: int
) -> tuple[int, int]:
    """Pass over the tensors of a record and compare those that are embeddings with their widths."""
    for _ in range(count):
        if len(payload) - offset < 8:
            return wire.TRUNCATED, offset
        feature_id = read_i64(payload, offset)
        status, offset, form, values, length = open_tensor(payload, offset + 8)
        if status != wire.OK:
            return status, offset
        for index in range(len(embedding_ids)):
            if embedding_ids[index] == feature_id and embedding_widths[index] > 0:
                status = check_length(form, length, embedding_widths[index], exact)
                if status != wire.OK:
                    return status, values
    return wire.OK, offset


@inner
def measure_record(
    payload: bytes, offset: int, embedding_ids: Any, embedding_widths: Any, exact: int
) -> tuple[int, int]:
    """Pass over one DataRecord and refuse what is wrong with it."""
    while True:
        status, offset, field, count = next_field(payload, offset)
        if status != wire.OK or field == wire.RECORD_END:
            return status, offset
        if field == wire.RECORD_BINARY:
            offset += 8 * count
        elif field in (wire.RECORD_CONTINUOUS, wire.RECORD_DISCRETE):
            offset += 16 * count
        else:
            status, offset = measure_tensors(payload, offset, count, embedding_ids, embedding_widths, exact)
        if status != wire.OK:
            return status, offset


@kernel(answers(5)(PAYLOAD, INTS, INTS, INT))
def measure(
    payload: bytes, embedding_ids: Any, embedding_widths: Any, exact: int
) -> tuple[int, int, int, int, int]:
    """Read every length of a BatchPredictionRequest, fill nothing.

    Parameters
    ----------
    payload
        The request; bytes after the struct are ignored.
    embedding_ids
        (3,) int64. Feature id of the user, user engagement and author embedding.
    embedding_widths
        (3,) int64. Their tensors' columns; 0: not wanted.
    exact
        Other than 0: an embedding longer than its width is refused too.

    Returns
    -------
    status, offset, num_records, records, common
        ``records`` is the offset of the first record, ``common`` that of the common features, -1 when
        there are none. Unless status is ``wire.OK`` only the offset means anything: where it stopped.

    Notes
    -----
    Source: ``specs/thrift/prediction_service.thrift``. Never raises. Releases the GIL.
    """
    offset = wire.BEGIN
    num_records = records = common = wire.ABSENT
    while True:
        start = offset
        status, offset, wire_type, field = open_field(payload, offset)
        if status != wire.OK:
            return status, offset, 0, 0, 0
        if wire_type == wire.STOP:
            if records < 0:
                return wire.MISSING_FIELD, start, 0, 0, 0
            return wire.OK, offset, num_records, records, common
        if field == wire.REQUEST_RECORDS:
            if wire_type != wire.LIST:
                return wire.WRONG_TYPE, start, 0, 0, 0
            status, offset, num_records = open_list(payload, offset, wire.STRUCT)
            records = offset
            for _ in range(num_records):
                status, offset = measure_record(payload, offset, embedding_ids, embedding_widths, exact)
                if status != wire.OK:
                    break
        elif field == wire.REQUEST_COMMON:
            if wire_type != wire.STRUCT:
                return wire.WRONG_TYPE, start, 0, 0, 0
            common = offset
            status, offset = measure_record(payload, offset, embedding_ids, embedding_widths, exact)
        else:
            status, offset = skip(payload, offset, wire_type)
        if status != wire.OK:
            return status, offset, 0, 0, 0


# --- fill ---------------------------------------------------------------------------------------------


@inner
def find(table: Any, feature_id: int) -> int:
    """Return a feature's kind and column as ``feature_map.freeze`` wrote them; -1 when it has none."""
    mask = len(table) // 2 - 1
    slot = ((feature_id * wire.GOLDEN) >> 32) & mask
    while True:
        value: int = table[2 * slot + 1]
        if value < 0 or table[2 * slot] == feature_id:
            return value
        slot = (slot + 1) & mask


@inner
def fill_continuous(payload: bytes, offset: int, count: int, table: Any, out: Any, row: int) -> None:
    """Write ``count`` pairs (i64 id, double), all inside the payload, into a row of float32."""
    width = out.shape[1]
    for pair in range(offset, offset + 16 * count, 16):
        column = find(table, read_i64(payload, pair))  # kind 0: nothing to take off
        if 0 <= column < width:
            out[row, column] = np.float32(read_f64(payload, pair + 8))


@inner
def fill_discrete(payload: bytes, offset: int, count: int, table: Any, out: Any, row: int) -> None:
    """Write ``count`` pairs (i64 id, i64), all inside the payload, into a row of int64."""
    width = out.shape[1]
    for pair in range(offset, offset + 16 * count, 16):
        column = find(table, read_i64(payload, pair)) - (wire.DISCRETE_KIND << wire.KIND_SHIFT)
        if 0 <= column < width:
            out[row, column] = read_i64(payload, pair + 8)


@inner
def fill_binary(payload: bytes, offset: int, count: int, table: Any, out: Any, row: int) -> None:
    """Write 1 for ``count`` ids (i64), all inside the payload, into a row of int64."""
    width = out.shape[1]
    for element in range(offset, offset + 8 * count, 8):
        column = find(table, read_i64(payload, element)) - (wire.BINARY_KIND << wire.KIND_SHIFT)
        if 0 <= column < width:
            out[row, column] = 1


@inner
def copy_floats(source: Any, source_row: int, out: Any, row: int) -> None:
    """Copy one row."""
    for column in range(out.shape[1]):
        out[row, column] = source[source_row, column]


@inner
def copy_ints(source: Any, source_row: int, out: Any, row: int) -> None:
    """Copy one row."""
    for column in range(out.shape[1]):
        out[row, column] = source[source_row, column]


@inner
def copy_embeddings(source: Any, source_row: int, out: Any, row: int) -> None:
    """Copy one row of every embedding of a layout's tensors."""
    copy_floats(source[3], source_row, out[3], row)
    copy_floats(source[4], source_row, out[4], row)
    copy_floats(source[5], source_row, out[5], row)


@inner
def fill_tensors(
    payload: bytes,
    offset: int,
    count: int,
    embedding_ids: Any,
    exact: int,
    user: Any,
    user_eng: Any,
    author: Any,
    row: int,
) -> tuple[int, int]:
    """Write those of a record's tensors that are embeddings into their rows."""
    for _ in range(count):
        if len(payload) - offset < 8:
            return wire.TRUNCATED, offset
        feature_id = read_i64(payload, offset)
        status, offset, form, values, length = open_tensor(payload, offset + 8)
        if status != wire.OK:
            return status, offset
        # several embeddings may share an id: Navi gives -1 to all whose names are unknown
        for out, embedding_id in (
            (user, embedding_ids[0]),
            (user_eng, embedding_ids[1]),
            (author, embedding_ids[2]),
        ):
            if embedding_id == feature_id and out.shape[1] > 0:
                status = check_length(form, length, out.shape[1], exact)
                if status != wire.OK:
                    return status, values
                copy_values(payload, form, values, out, row)
    return wire.OK, offset


@inner
def fill_record(
    payload: bytes,
    offset: int,
    table: Any,
    embedding_ids: Any,
    exact: int,
    out: Any,
    row: int,
    template: Any,
    template_row: int,
) -> tuple[int, int]:
    """Lay one DataRecord over a row that holds a copy of the template's row."""
    seen = 0
    while True:
        status, offset, field, count = next_field(payload, offset)
        if status != wire.OK or field == wire.RECORD_END:
            return status, offset
        again = (seen >> field) & 1
        seen |= 1 << field
        if field == wire.RECORD_CONTINUOUS:
            if again:
                copy_floats(template[0], template_row, out[0], row)
            fill_continuous(payload, offset, count, table, out[0], row)
            offset += 16 * count
        elif field == wire.RECORD_BINARY:
            if again:
                copy_ints(template[1], template_row, out[1], row)
            fill_binary(payload, offset, count, table, out[1], row)
            offset += 8 * count
        elif field == wire.RECORD_DISCRETE:
            if again:
                copy_ints(template[2], template_row, out[2], row)
            fill_discrete(payload, offset, count, table, out[2], row)
            offset += 16 * count
        else:
            if again:
                copy_embeddings(template, template_row, out, row)
            status, offset = fill_tensors(
                payload, offset, count, embedding_ids, exact, out[3], out[4], out[5], row
            )
        if status != wire.OK:
            return status, offset


@kernel(answers(2)(PAYLOAD, INT, INT, INT, INTS, INTS, INT, TENSORS, INT))
def fill(
    payload: bytes,
    num_records: int,
    records: int,
    common: int,
    table: Any,
    embedding_ids: Any,
    exact: int,
    out: Any,
    first_row: int,
) -> tuple[int, int]:
    """Write every record of a BatchPredictionRequest into its row, defaults and common features included.

    Dims: R rows; C, B, D columns; E columns, perhaps another number for each embedding. Any may be 0.

    Parameters
    ----------
    payload
        The request.
    num_records, records, common
        As ``measure`` answered for it.
    table
        (2 * slots,) int64. ``feature_map.freeze`` of the feature map; no column lies outside its tensor.
    embedding_ids
        (3,) int64. As for ``measure``.
    exact
        As for ``measure``.
    out
        Six arrays, C-contiguous, **written**: (R, C) float32 continuous, (R, B) int64 binary, (R, D)
        int64 discrete, 3 x (R, E) float32 embeddings. A tensor that is not wanted has no columns.
    first_row
        The first record's row; first_row + num_records <= R.

    Returns
    -------
    status, offset
        ``wire.OK`` and the byte after the last record; else what is wrong and where it stopped.

    Notes
    -----
    Defaults: NaN for continuous, 0 elsewhere. Source: Navi's dr_transform 0.1.0, converter.rs; the
    exceptions are those of the README. Never raises. Releases the GIL.
    """
    # wire.DEFAULTS_ROW: the defaults; wire.COMMON_ROW: the common features over them
    template = (
        np.empty((2, out[0].shape[1]), dtype=np.float32),
        np.empty((2, out[1].shape[1]), dtype=np.int64),
        np.empty((2, out[2].shape[1]), dtype=np.int64),
        np.empty((2, out[3].shape[1]), dtype=np.float32),
        np.empty((2, out[4].shape[1]), dtype=np.float32),
        np.empty((2, out[5].shape[1]), dtype=np.float32),
    )
    for row in range(2):
        template[0][row] = np.nan
        template[1][row] = 0
        template[2][row] = 0
        template[3][row] = 0.0
        template[4][row] = 0.0
        template[5][row] = 0.0
    if common >= 0:
        status, offset = fill_record(
            payload,
            common,
            table,
            embedding_ids,
            exact,
            template,
            wire.COMMON_ROW,
            template,
            wire.DEFAULTS_ROW,
        )
        if status != wire.OK:
            return status, offset
    offset = records
    for row in range(first_row, first_row + num_records):
        copy_floats(template[0], wire.COMMON_ROW, out[0], row)
        copy_ints(template[1], wire.COMMON_ROW, out[1], row)
        copy_ints(template[2], wire.COMMON_ROW, out[2], row)
        copy_embeddings(template, wire.COMMON_ROW, out, row)
        status, offset = fill_record(
            payload, offset, table, embedding_ids, exact, out, row, template, wire.COMMON_ROW
        )
        if status != wire.OK:
            return status, offset
    return wire.OK, offset
