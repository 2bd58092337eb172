"""A model's outputs as DataRecords: what callers of a thrift PredictionService expect.

A prediction is one DataRecord for each record of the request, in order, whose features are the model's outputs: Twitter's
home mixer reads ``recap.engagement.is_favorited`` and its neighbours as continuous features, and refuses an answer of
another number of records. Import-light: NumPy only.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from navi_core import (
    Array,
    DType,
    InferenceError,
    InvalidRequestError,
    ModelLoadError,
    NamedArrays,
    TensorSpec,
)
from navi_dr_transform.encode import encode_records
from navi_dr_transform.encode_columns import FeatureKey, id_of
from navi_dr_transform.payload_encoder import PREDICTION_START, STOP, PayloadForm
from navi_dr_transform.response_records import Column, Records, RecordTemplate, joined

__all__ = ["ResponseEncoder", "ResponseFeatures", "ResponseWriter"]

ResponseFeatures: TypeAlias = Mapping[str, Sequence[FeatureKey]]
"""A model's output -> the features that its columns become, by name or id."""

_LIST_START: Final = b"\x0f\x00\x01\x0c"  # field 1, a list of structs
_COUNT: Final = struct.Struct(">i").pack

_KINDS: Final = {"b": "binary", "i": "discrete", "u": "discrete", "f": "continuous", "O": "strings"}


class ResponseEncoder:
    """Writes a model's outputs as DataRecords. Thread-safe: it only keeps the last template.

    The columns of an output that ``features`` names become scalar features: floats continuous, integers discrete, truths
    binary, strings string features. An output that it does not name is one feature of its own name: such a scalar where
    it has one value for each record, else a tensor (RawTypedTensor, as Twitter's own writers make them). NaN is left
    out: a record without the feature is how thrift callers are told that there is no value.

    Parameters
    ----------
    outputs
        The model's outputs.
    features
        What their columns are called.
    where
        Which version of which model, for error texts.

    Raises
    ------
    ModelLoadError
        ``features`` does not fit the outputs.
    """

    def __init__(self, outputs: Mapping[str, TensorSpec], features: ResponseFeatures, where: str) -> None:
        self._ids: dict[str, tuple[int, ...]] = {}
        self._kept: tuple[tuple[Column, ...], RecordTemplate] | None = None
        unknown = [name for name in features if name not in outputs]
        if unknown:
            known = ", ".join(f"'{name}'" for name in outputs)
            raise ModelLoadError(
                f"response_features: expected outputs of {where} ({known}), got '{unknown[0]}'"
            )
        taken: dict[int, str] = {}
        for name, spec in outputs.items():
            keys = features.get(name, (name,))
            try:
                ids = [id_of(key, "response") for key in keys]
            except InvalidRequestError as error:
                raise ModelLoadError(
                    f"response_features of output '{name}' of {where}: {error.message}"
                ) from None
            if name in features:
                _check_width(spec, len(ids), where)
            for key, feature in zip(keys, ids, strict=True):
                if feature in taken:
                    msg = f"expected every feature once, got '{key}' of '{taken[feature]}' and of '{name}' of {where}"
                    raise ModelLoadError(f"response_features: {msg}")
                taken[feature] = name
            self._ids[name] = tuple(ids)
        self._named = frozenset(features)

    def batch(self, outputs: NamedArrays, num_records: int) -> bytes:
        """Return a BatchPredictionResponse: one prediction for each record.

        Parameters
        ----------
        outputs
            The model's outputs, (records, ...) each.
        num_records
            How many records were asked about.

        Raises
        ------
        InferenceError
            An output does not have one row for each record, or cannot be written.
        """
        written = self.records(outputs, num_records).data.data
        return b"".join((_LIST_START, _COUNT(num_records), written, STOP))

    def record(self, outputs: NamedArrays) -> bytes:
        """Return the DataRecord of the only record that was asked about; raises as ``batch``."""
        return self.records(outputs, 1).data.tobytes()

    def records(self, outputs: NamedArrays, num_records: int) -> Records:
        """Return the DataRecords of all records that were asked about; raises as ``batch``."""
        columns, arrays = self._columns(outputs, num_records)
        try:
            if any(column.dtype.kind == "O" or column.dtype == np.uint64 for column in columns):
                return joined(
                    encode_records(_families(columns, arrays), num_records=num_records, tensor_form="raw")
                )
            return self._template(columns).write(arrays, num_records)
        except InvalidRequestError as error:
            raise InferenceError(
                f"the model's answer cannot be written as DataRecords: {error.message}"
            ) from None

    def _columns(self, outputs: NamedArrays, num_records: int) -> tuple[tuple[Column, ...], dict[str, Array]]:
        """Return what each output is, and its values as (records, features), tensors as they are."""
        columns = []
        arrays = {}
        for name, ids in self._ids.items():
            array = outputs[name]
            if array.ndim == 0 or len(array) != num_records:
                msg = f"output '{name}': expected a row for each of {num_records} records, got shape {array.shape}"
                raise InferenceError(msg)
            if array.dtype.kind not in _KINDS:  # floats of 16 bits that NumPy does not know itself
                array = array.astype(np.float32)
            family = _KINDS[array.dtype.kind]
            if name not in self._named and array.shape[1:] not in ((), (1,)):
                columns.append(Column(name, "tensors", ids, array.dtype, array.shape[1:]))
                arrays[name] = array
                continue
            if array.size != num_records * len(ids):
                msg = f"output '{name}': expected {len(ids)} values for each record, got shape {array.shape}"
                raise InferenceError(msg)
            columns.append(Column(name, family, ids, array.dtype, (len(ids),)))
            arrays[name] = array.reshape(num_records, len(ids))
        return tuple(columns), arrays

    def _template(self, columns: tuple[Column, ...]) -> RecordTemplate:
        """Return the template for these outputs, which nearly always are those of the call before."""
        kept = self._kept
        if kept is not None and kept[0] == columns:
            return kept[1]
        template = RecordTemplate(columns)
        self._kept = columns, template
        return template


def _families(columns: Sequence[Column], arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Return outputs as the encoder of any records takes them."""
    families: dict[str, Any] = {}
    for column in columns:
        array = arrays[column.name]
        by_feature = families.setdefault(column.family, {})
        if column.family == "tensors":
            by_feature[column.ids[0]] = array
        else:
            by_feature.update(zip(column.ids, array.T, strict=True))
    return families


class ResponseWriter:
    """A converter's way out: the outputs of a request's rows -> one response for each of its strings. Thread-safe.

    Parameters
    ----------
    encoder
        Writes records.
    name
        What clients call the output.
    form
        What a request's string was, and so what its response is: a BatchPredictionResponse, a PredictionResponse or
        a DataRecord.
    """

    def __init__(self, encoder: ResponseEncoder, name: str, form: PayloadForm) -> None:
        self._encoder = encoder
        self._name = name
        self._form = form

    @property
    def outputs(self) -> dict[str, TensorSpec]:
        """What clients get: a string for each of theirs."""
        return {self._name: TensorSpec(name=self._name, dtype=DType.STRING, shape=(None,))}

    def write(self, outputs: NamedArrays, row_ends: npt.NDArray[np.int64]) -> NamedArrays:
        """Return the responses.

        Parameters
        ----------
        outputs
            The model's, (rows, ...) each.
        row_ends
            (strings,) int64. The row after each string's last.

        Raises
        ------
        InferenceError
            An output does not have one row for each record, or cannot be written.
        """
        num_rows = int(row_ends[-1]) if len(row_ends) else 0
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) != num_rows:
                msg = (
                    f"output '{name}': expected a row for each of {num_rows} records, got shape {array.shape}"
                )
                raise InferenceError(msg)
        records = self._encoder.records(outputs, num_rows)
        ends = [0, *records.ends.tolist()]
        data = records.data.data
        responses = np.empty(len(row_ends), dtype=object)
        start = 0
        for index, stop in enumerate(row_ends.tolist()):
            written = data[ends[start] : ends[stop]]
            if self._form == "batch":
                responses[index] = b"".join((_LIST_START, _COUNT(stop - start), written, STOP))
            elif self._form == "prediction":
                responses[index] = b"".join((PREDICTION_START, written, STOP))
            else:
                responses[index] = bytes(written)
            start = stop
        return {self._name: responses}


def _check_width(spec: TensorSpec, count: int, where: str) -> None:
    """Compare a number of features with an output's columns, where the model says how many those are."""
    sizes = [size for size in spec.shape[1:] if isinstance(size, int)] if spec.shape is not None else []
    if spec.shape is None or len(sizes) < len(spec.shape) - 1 or math.prod(sizes) == count:
        return
    msg = f"response_features: expected {math.prod(sizes)} features for output '{spec.name}' of {where}, got {count}"
    raise ModelLoadError(msg)
