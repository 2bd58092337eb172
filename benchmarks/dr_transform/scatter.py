"""Requests that a thrift library of Python decoded, as dense rows: with NumPy, nothing per feature in Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

DEFAULTS = (np.nan, 0, 0, 0, 0, 0)


class Scatter:
    """Writes what a decoded BatchPredictionRequest says into rows.

    Parameters
    ----------
    columns
        Feature id -> tensor's number and column.
    embedding_ids
        Of the three embeddings.
    compact
        Continuous values are the bits of floats.
    """

    def __init__(
        self, columns: Mapping[int, tuple[int, int]], embedding_ids: Sequence[int], *, compact: bool = False
    ) -> None:
        self._places = []
        for number in range(3):
            own = sorted((key, column) for key, (kind, column) in columns.items() if kind == number)
            keys = np.array([key for key, _ in own], np.int64)
            self._places.append((keys, np.array([column for _, column in own], np.int64)))
        self._embedding_ids = embedding_ids
        self._compact = compact

    def write(self, request: Any, out: Sequence[np.ndarray]) -> None:
        """Write every record of a request, and the defaults."""
        for tensor, default in zip(out, DEFAULTS, strict=True):
            tensor[:] = default
        if request.commonFeatures is not None:
            self._lay(request.commonFeatures, out)
        for row, record in enumerate(request.individualFeaturesList):
            self._lay(record, [tensor[row : row + 1] for tensor in out])

    def _lay(self, record: Any, rows: Sequence[np.ndarray]) -> None:
        if record.continuousFeatures:
            columns, known = self._find(0, record.continuousFeatures)
            values = list(record.continuousFeatures.values())
            floats = (
                np.array(values, np.int32).view(np.float32) if self._compact else np.array(values, np.float64)
            )
            with np.errstate(over="ignore"):
                rows[0][:, columns] = floats[known]
        if record.binaryFeatures:
            rows[1][:, self._find(1, record.binaryFeatures)[0]] = 1
        if record.discreteFeatures:
            columns, known = self._find(2, record.discreteFeatures)
            rows[2][:, columns] = np.array(list(record.discreteFeatures.values()), np.int64)[known]
        for held in (record.tensors, record.sparseTensors):
            for feature_id, tensor in (held or {}).items():
                for number, embedding_id in enumerate(self._embedding_ids):
                    if feature_id == embedding_id:
                        out = rows[3 + number]
                        out[:] = (_dense(tensor) if held is record.sparseTensors else _numbers(tensor))[
                            : out.shape[1]
                        ]

    def _find(self, number: int, ids: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns of the ids that a tensor has, and which ones they are."""
        keys, columns = self._places[number]
        wanted = np.fromiter(ids, np.int64)
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        known = keys[at] == wanted
        return columns[at[known]], known


_RAW = ("<f4", "<f8", "<i4", "<i8", "u1")


def _numbers(tensor: Any) -> np.ndarray:
    if tensor.rawTypedTensor is not None:
        return np.frombuffer(tensor.rawTypedTensor.content, _RAW[tensor.rawTypedTensor.dataType])
    if tensor.floatTensor is not None:
        return np.array(tensor.floatTensor.floats, np.float64)
    if tensor.doubleTensor is not None:
        return np.array(tensor.doubleTensor.doubles, np.float64)
    if tensor.int32Tensor is not None:
        return np.array(tensor.int32Tensor.ints, np.int64)
    return np.array(tensor.int64Tensor.longs, np.int64)


def _dense(tensor: Any) -> np.ndarray:
    """Return a sparse tensor's elements, in the order of C; of a place that comes twice the last value."""
    coo = tensor.cooSparseTensor
    values = _numbers(coo.values)
    dense = np.zeros(coo.denseShape)
    places = np.array(coo.indices.longs, np.int64).reshape(len(values), len(coo.denseShape))
    for place, value in zip(map(tuple, places), values, strict=True):
        dense[place] = value
    return dense.ravel()
