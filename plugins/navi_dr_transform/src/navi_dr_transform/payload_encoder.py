"""The converter's way back, as clients of the host use it: columns with names -> one BatchPredictionRequest.

Import-light: NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from navi_core import Array, InvalidRequestError, NamedArrays, PayloadEncoder, RequestError
from navi_dr_transform.encode import FAMILIES, encode_batch, encode_records

__all__ = ["PREDICTION_START", "STOP", "STRUCTS", "BprEncoder", "PayloadForm"]

PayloadForm: TypeAlias = Literal["batch", "prediction", "record"]
"""What a payload is: a BatchPredictionRequest, or one PredictionRequest or DataRecord for each row."""

STRUCTS: Final[Mapping[PayloadForm, str]] = {
    "batch": "BatchPredictionRequest",
    "prediction": "PredictionRequest",
    "record": "DataRecord",
}
"""Form -> the struct that a payload is."""

PREDICTION_START: Final = (
    b"\x0c\x00\x01"  # field 1, a struct: PredictionRequest.features, PredictionResponse.prediction
)
STOP: Final = b"\x00"


class BprEncoder(PayloadEncoder):
    """A column is the feature of its name, or of its id where the name is a decimal number.

    Its values say which family it belongs to: truths are binary features, integers discrete, floats continuous, arrays
    tensors, strings string features (blobs where they are no text). ``FAMILY:NAME`` says it instead, for the integers
    of a table that are continuous, say. Rows without a value, and NaN, are left out of their records.

    Parameters
    ----------
    input_name
        What clients call the string input.
    form
        What a payload is.
    compact
        Records are CompactDataRecords.
    """

    def __init__(self, input_name: str, *, form: PayloadForm = "batch", compact: bool = False) -> None:
        self.input_name = input_name
        self._form = form
        self._compact = compact

    def encode(self, columns: NamedArrays) -> Array:
        """Make one payload of all rows, or one for each row where the form has no lists."""
        families: dict[str, Any] = {}  # family -> feature -> column
        for name, column in columns.items():
            family, feature = _placed(name, column)
            taken = families.setdefault(family, {})
            if feature in taken:
                raise RequestError(f"column '{name}': its feature has another column too", tensor=name)
            taken[feature] = column
        num_records = len(next(iter(columns.values()), ()))
        try:
            if self._form == "batch":
                payloads = [encode_batch(num_records=num_records, compact=self._compact, **families)]
            else:
                payloads = encode_records(families, num_records=num_records, compact=self._compact)
        except InvalidRequestError as error:
            raise RequestError(error.message, tensor=_column_of(error.tensor, columns)) from None
        if self._form == "prediction":
            payloads = [b"".join((PREDICTION_START, record, STOP)) for record in payloads]
        array = np.empty(len(payloads), dtype=object)
        array[:] = payloads
        return array


def _placed(name: str, column: Array) -> tuple[str, str]:
    """Return the family and the feature that a column means."""
    family, colon, feature = name.partition(":")
    if colon and family in FAMILIES:
        return family, feature
    if column.dtype.kind != "O":
        return _family_of(column.dtype.kind, column.ndim), name
    kinds = set()
    for item in column.flat if column.ndim > 1 else column:
        if isinstance(item, bytes):
            kinds.add("strings" if column.ndim == 1 and _is_text(item) else "blobs")
        elif item is not None:
            array = np.asarray(item)
            kinds.add(_family_of(array.dtype.kind, array.ndim + 1))
    if column.ndim > 1:
        return "tensors", name  # of strings
    if kinds == {"strings", "blobs"}:
        return "blobs", name
    if len(kinds) > 1:
        raise RequestError(f"column '{name}': expected values of one kind, got {sorted(kinds)}", tensor=name)
    return (kinds.pop() if kinds else "continuous"), name


def _family_of(kind: str, rank: int) -> str:
    if rank > 1:
        return "tensors"
    return {"b": "binary", "i": "discrete", "u": "discrete"}.get(kind, "continuous")


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _column_of(feature: str, columns: NamedArrays) -> str:
    """Return the name of a feature's column, for the error that is about it."""
    return next((name for name in columns if name == feature or name.partition(":")[2] == feature), feature)
