"""A model's outputs as DataRecords: what callers of a thrift PredictionService expect.

A prediction is one DataRecord for each record of the request, in order, whose features are the model's outputs: Twitter's
home mixer reads ``recap.engagement.is_favorited`` and its neighbours as continuous features, and refuses an answer of
another number of records. Import-light: NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from navi_core import Array, InferenceError, InvalidRequestError, ModelLoadError, NamedArrays, TensorSpec
from navi_dr_transform.encode import encode_records, encode_response
from navi_dr_transform.encode_columns import FeatureKey, id_of

__all__ = ["ResponseEncoder", "ResponseFeatures"]

ResponseFeatures: TypeAlias = Mapping[str, Sequence[FeatureKey]]
"""A model's output -> the features that its columns become, by name or id."""

_KINDS: Final = {"b": "binary", "i": "discrete", "u": "discrete", "f": "continuous", "O": "strings"}


class ResponseEncoder:
    """Writes a model's outputs as DataRecords. Thread-safe: it never changes.

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
        self._outputs = tuple(outputs)
        self._ids: dict[str, list[int]] = {}
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
            self._ids[name] = ids
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
        try:
            return encode_response(self._families(outputs, num_records), num_records=num_records)
        except InvalidRequestError as error:
            raise InferenceError(
                f"the model's answer cannot be written as DataRecords: {error.message}"
            ) from None

    def record(self, outputs: NamedArrays) -> bytes:
        """Return the DataRecord of the only record that was asked about; raises as ``batch``."""
        try:
            (record,) = encode_records(self._families(outputs, 1), num_records=1, tensor_form="raw")
        except InvalidRequestError as error:
            raise InferenceError(
                f"the model's answer cannot be written as a DataRecord: {error.message}"
            ) from None
        return record

    def _families(self, outputs: NamedArrays, num_records: int) -> dict[str, Any]:
        scalars: dict[str, tuple[list[int], list[Array]]] = {}
        tensors: dict[int, Array] = {}
        for name in self._outputs:
            array = outputs[name]
            if array.ndim == 0 or len(array) != num_records:
                msg = f"output '{name}': expected a row for each of {num_records} records, got shape {array.shape}"
                raise InferenceError(msg)
            kind = array.dtype.kind
            if kind not in _KINDS:  # floats of 16 bits that NumPy does not know itself
                array, kind = array.astype(np.float32), "f"
            ids = self._ids[name]
            if name not in self._named and array.shape[1:] not in ((), (1,)):
                tensors[ids[0]] = array
                continue
            if array.size != num_records * len(ids):
                msg = f"output '{name}': expected {len(ids)} values for each record, got shape {array.shape}"
                raise InferenceError(msg)
            keys, columns = scalars.setdefault(_KINDS[kind], ([], []))
            keys.extend(ids)
            columns.append(array.reshape(num_records, len(ids)))
        families: dict[str, Any] = {
            family: (keys, columns[0] if len(columns) == 1 else np.hstack(columns))
            for family, (keys, columns) in scalars.items()
        }
        if tensors:
            families["tensors"] = tensors
        return families


def _check_width(spec: TensorSpec, count: int, where: str) -> None:
    """Compare a number of features with an output's columns, where the model says how many those are."""
    sizes = [size for size in spec.shape[1:] if isinstance(size, int)] if spec.shape is not None else []
    if spec.shape is None or len(sizes) < len(spec.shape) - 1 or math.prod(sizes) == count:
        return
    msg = f"response_features: expected {math.prod(sizes)} features for output '{spec.name}' of {where}, got {count}"
    raise ModelLoadError(msg)
