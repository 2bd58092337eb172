"""Columns -> serialized ``tensorflow.Example`` messages, one for each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from navi_core.contracts.converter import PayloadEncoder
from navi_core.errors import RequestError
from navi_core.tensors import DType, dtype_of, string_array
from navi_core.types import Array, NamedArrays
from navi_core.wire.example_values import encode_example

__all__ = ["TfExampleEncoder"]

_FLOATS: Final = (DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64)
_INT64_MAX: Final = 2**63 - 1


class TfExampleEncoder(PayloadEncoder):
    """A column is the feature of its name; integers and bools become an int64_list, floats a float_list.

    Parameters
    ----------
    input_name
        What clients call the string input.
    dtypes
        Feature -> ``float32``, ``int64`` or ``string``: what it holds whatever the column does.
    """

    def __init__(self, input_name: str, dtypes: Mapping[str, str]) -> None:
        self.input_name = input_name
        self._dtypes = dict(dtypes)

    def encode(self, columns: NamedArrays) -> Array:
        """Make one example for each row; a feature that a row lacks is left out of it."""
        features = {name: self._rows(name, column) for name, column in columns.items()}
        examples = [
            encode_example(
                {name: values for name, values in zip(features, row, strict=True) if values is not None}
            )
            for row in zip(*features.values(), strict=True)
        ]
        payloads = np.empty(len(examples), dtype=object)
        payloads[:] = examples
        return payloads

    def _rows(self, name: str, column: Array) -> list[Any]:
        """Return each row's values as a flat list of Python's; None: the row has none."""
        if column.dtype != object or all(isinstance(item, bytes) for item in column.flat):
            return self._flat(name, column)
        if any(isinstance(item, Mapping) for item in column.flat):
            raise _wrong(name, self._dtypes.get(name) or "numbers or strings", "mappings")
        return [None if item is None else self._flat(name, _one_row(item))[0] for item in column]

    def _flat(self, name: str, values: Array) -> list[Any]:
        numbers = self._checked(name, values)
        rows: list[Any] = numbers.reshape(len(values), -1).tolist() if len(values) else []
        return rows

    def _checked(self, name: str, values: Array) -> Array:
        """Return values of the kind that the feature holds: strings, int64, or floats that float32 holds."""
        wanted = self._dtypes.get(name)
        try:
            dtype = dtype_of(values)
            strings = string_array(values) if dtype is DType.STRING else None
        except TypeError as error:
            raise RequestError(f"column '{name}': {error}", tensor=name) from None
        if strings is not None:
            if wanted not in (None, "string"):
                raise _wrong(name, wanted, "strings")
            return strings
        if values.dtype.kind in "biu" and wanted in (None, "int64"):
            if values.size and int(values.max()) > _INT64_MAX:
                raise _wrong(name, "int64", str(values.max()))
            return values
        if dtype in _FLOATS and wanted == "int64":
            with np.errstate(invalid="ignore"):
                whole = values.astype(np.int64)
            if not np.array_equal(whole, values):
                raise _wrong(name, "int64", "fractions")
            return whole
        if wanted == "string" or not (dtype in _FLOATS or values.dtype.kind in "biu"):
            raise _wrong(name, wanted or "numbers or strings", f"values of dtype {dtype}")
        with np.errstate(over="ignore", invalid="ignore"):
            floats = values.astype(np.float32)
        if not np.array_equal(np.isfinite(floats), np.isfinite(values.astype(np.float64))):
            raise _wrong(name, "float32", "values beyond it")
        return floats


def _one_row(item: Any) -> Array:
    # as an object: NumPy's own strings drop zero bytes at the end
    return np.array([item], dtype=object) if isinstance(item, bytes) else np.asarray(item)[np.newaxis]


def _wrong(name: str, expected: str, got: str) -> RequestError:
    return RequestError(f"column '{name}': expected {expected}, got {got}", tensor=name)
