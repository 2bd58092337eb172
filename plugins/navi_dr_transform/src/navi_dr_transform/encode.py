"""BatchPredictionRequests from columns: what clients, tests and replays send.

The way back of the converter, and no more than a copy of the numbers: a column's values are written by NumPy into the
byte order of the wire, and a request is joined once. Neither Thrift, Numba nor pandas is imported.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from navi_core import InvalidRequestError
from navi_dr_transform import wire
from navi_dr_transform.encode_columns import count_rows, read_numbers, read_objects
from navi_dr_transform.encode_fields import (
    COMPACT,
    PLAIN,
    RecordForm,
    Rows,
    add_binary,
    add_continuous,
    add_discrete,
    add_sparse_binary,
    add_sparse_continuous,
    add_strings,
)
from navi_dr_transform.encode_tensors import TensorForm, add_tensors

__all__ = ["FAMILIES", "encode_batch", "encode_records", "encode_response"]

FAMILIES: Final = (
    "continuous",
    "binary",
    "discrete",
    "strings",
    "sparse_binary",
    "sparse_continuous",
    "blobs",
    "tensors",
)
"""The families of features, by the names of the arguments that take them."""

_RECORDS: Final = struct.Struct(">BhBi").pack
_COMMON: Final = struct.Struct(">Bh").pack(wire.STRUCT, wire.REQUEST_COMMON)
_STOP: Final = bytes(1)
_MOST_RECORDS: Final = 2**31 - 1


def encode_batch(
    *,
    continuous: Any = None,
    binary: Any = None,
    discrete: Any = None,
    strings: Any = None,
    sparse_binary: Any = None,
    sparse_continuous: Any = None,
    blobs: Any = None,
    tensors: Any = None,
    common: Mapping[str, Any] | None = None,
    num_records: int | None = None,
    compact: bool = False,
    tensor_form: TensorForm = "float",
) -> bytes:
    """Encode one BatchPredictionRequest, a bare struct in strict TBinaryProtocol.

    A family is a mapping of feature to column, a pair of features and a (records, features) matrix (the quickest),
    or a DataFrame whose columns are features. A feature is its full name or its 64-bit id; a column has one value for
    each record. What is missing (NaN, None, masked) is left out of the record.

    Parameters
    ----------
    continuous
        Columns of numbers, written as doubles.
    binary
        Columns of truths: the features of a record are those that are not zero.
    discrete
        Columns of whole numbers of 64 bits.
    strings, blobs
        Columns of texts, and of bytes.
    sparse_binary, sparse_continuous
        Columns of sets of texts, and of mappings from texts to numbers; an empty one counts as missing.
    tensors
        Columns of arrays: (records, width) numbers, or a sequence of arrays of any shape and None.
    common
        What all records share: the name of a family -> a mapping of feature to its one value.
    num_records
        How many records there are; None: as many as the columns have rows, without columns none.
    compact
        Write CompactDataRecords, whose continuous values have 32 bits.
    tensor_form
        What tensors of floats become: ``float`` FloatTensor, the only one that Navi reads; ``double``
        DoubleTensor; ``raw`` RawTypedTensor, as Twitter's own writers do, integers too.

    Returns
    -------
    payload
        The request's bytes.

    Raises
    ------
    InvalidRequestError
        Columns differ in length, or one holds what its family cannot; names it.

    Examples
    --------
    >>> payload = encode_batch(
    ...     continuous={"recap.tweetfeature.text_score": [0.5, None]},
    ...     common={"binary": {"user.is_verified": True}},
    ... )
    """
    form = COMPACT if compact else PLAIN
    families = (continuous, binary, discrete, strings, sparse_binary, sparse_continuous, blobs, tensors)
    rows = _rows(dict(zip(FAMILIES, families, strict=True)), num_records, form, tensor_form)
    pieces = _list_of(rows)
    if common is not None:
        (row,) = _rows(_one_row(common), 1, form, tensor_form)
        pieces += (_COMMON, *row, _STOP)
    return b"".join((*pieces, _STOP))


def encode_records(
    columns: Mapping[str, Any],
    *,
    num_records: int | None = None,
    compact: bool = False,
    tensor_form: TensorForm = "float",
) -> list[bytes]:
    """Encode DataRecords, each a bare struct: for a PredictionRequest, a file of examples, or a list of one's own.

    Parameters
    ----------
    columns
        Name of a family -> what :func:`encode_batch` takes for it.
    num_records, compact, tensor_form
        As for :func:`encode_batch`.

    Raises
    ------
    InvalidRequestError
        As for :func:`encode_batch`.
    """
    rows = _rows(_known(columns), num_records, COMPACT if compact else PLAIN, tensor_form)
    return [b"".join((*row, _STOP)) for row in rows]


def encode_response(
    columns: Mapping[str, Any], *, num_records: int | None = None, tensor_form: TensorForm = "raw"
) -> bytes:
    """Encode one BatchPredictionResponse, a bare struct: one DataRecord for each prediction.

    Parameters
    ----------
    columns
        Name of a family -> what :func:`encode_batch` takes for it.
    num_records, tensor_form
        As for :func:`encode_batch`.

    Raises
    ------
    InvalidRequestError
        As for :func:`encode_batch`.
    """
    return b"".join((*_list_of(_rows(_known(columns), num_records, PLAIN, tensor_form)), _STOP))


def _rows(
    families: Mapping[str, Any], num_records: int | None, form: RecordForm, tensor_form: TensorForm
) -> Rows:
    given = {name: family for name, family in families.items() if family is not None}
    size = _size(given, num_records)
    rows: Rows = [[] for _ in range(size)]
    for name, family in given.items():
        if name in ("continuous", "binary", "discrete"):
            numbers = read_numbers(name, family, size, integers=name == "discrete")
            if name == "continuous":
                add_continuous(rows, numbers, form)
            elif name == "binary":
                add_binary(rows, numbers)
            else:
                add_discrete(rows, numbers)
            continue
        features = read_objects(name, family)
        if name == "strings":
            add_strings(rows, features, name)
        elif name == "blobs":
            add_strings(rows, features, name, form.blobs)
        elif name == "sparse_binary":
            add_sparse_binary(rows, features, name)
        elif name == "sparse_continuous":
            add_sparse_continuous(rows, features, name, form)
        else:
            add_tensors(rows, features, name, form, tensor_form)
    return rows


def _size(given: Mapping[str, Any], num_records: int | None) -> int:
    """Return the number of records, on which all families agree."""
    counted = {name: count_rows(name, family) for name, family in given.items()}
    sizes = {name: rows for name, rows in counted.items() if rows is not None}
    if num_records is not None:
        sizes = {"num_records": num_records, **sizes}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{name}: {rows}" for name, rows in sizes.items())
        raise InvalidRequestError(f"columns: expected one value for each record everywhere, got {said}")
    size = next(iter(sizes.values()), 0)
    if not 0 <= size <= _MOST_RECORDS:
        raise InvalidRequestError(f"num_records: expected 0 to {_MOST_RECORDS}, got {size}")
    return size


def _list_of(rows: Rows) -> list[bytes | memoryview]:
    pieces: list[bytes | memoryview] = [_RECORDS(wire.LIST, wire.REQUEST_RECORDS, wire.STRUCT, len(rows))]
    for row in rows:
        pieces += row
        pieces.append(_STOP)
    return pieces


def _known(columns: Mapping[str, Any]) -> Mapping[str, Any]:
    unknown = [name for name in columns if name not in FAMILIES]
    if unknown:
        msg = f"families of features: expected some of {', '.join(FAMILIES)}, got '{unknown[0]}'"
        raise InvalidRequestError(msg)
    return columns


def _one_row(common: Mapping[str, Any]) -> dict[str, Any]:
    """Give the one value of each common feature a row."""
    families: dict[str, Any] = {}
    for name, family in _known(common).items():
        if not isinstance(family, Mapping):
            msg = f"common {name}: expected a mapping of feature to value, got {type(family).__name__}"
            raise InvalidRequestError(msg)
        families[name] = {key: _alone(value) for key, value in family.items()}
    return families


def _alone(value: Any) -> Any:
    return value[np.newaxis] if isinstance(value, np.ndarray) else [value]
