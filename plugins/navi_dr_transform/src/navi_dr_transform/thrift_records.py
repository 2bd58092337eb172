"""Requests as Apache Thrift objects: for the demo and for tests, never on the request path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thrift.TSerialization import deserialize, serialize

from navi_dr_transform._generated.data import ttypes as data
from navi_dr_transform._generated.prediction_service import ttypes as prediction_service
from navi_dr_transform._generated.tensor import ttypes as tensor

__all__ = ["data_record", "decode_request", "encode_request", "float_tensor"]

# generated code has no types
_BatchPredictionRequest: Any = prediction_service.BatchPredictionRequest
_DataRecord: Any = data.DataRecord
_FloatTensor: Any = tensor.FloatTensor
_GeneralTensor: Any = tensor.GeneralTensor


def float_tensor(values: Iterable[float]) -> Any:
    """Return a GeneralTensor that holds a FloatTensor."""
    return _GeneralTensor(floatTensor=_FloatTensor(floats=[float(value) for value in values]))


def data_record(
    *,
    binary: Iterable[int] | None = None,
    continuous: Mapping[int, float] | None = None,
    discrete: Mapping[int, int] | None = None,
    tensors: Mapping[int, Any] | None = None,
) -> Any:
    """Return a DataRecord; what is None is left out."""
    return _DataRecord(
        binaryFeatures=None if binary is None else set(binary),
        continuousFeatures=None if continuous is None else dict(continuous),
        discreteFeatures=None if discrete is None else dict(discrete),
        tensors=None if tensors is None else dict(tensors),
    )


def encode_request(records: Sequence[Any], common: Any = None) -> bytes:
    """Encode a BatchPredictionRequest as a bare struct in TBinaryProtocol."""
    encoded: bytes = serialize(
        _BatchPredictionRequest(individualFeaturesList=list(records), commonFeatures=common)
    )
    return encoded


def decode_request(payload: bytes) -> Any:
    """Decode a BatchPredictionRequest with Apache Thrift.

    Raises
    ------
    Exception
        Whatever Apache Thrift raises for what it cannot read.
    """
    return deserialize(_BatchPredictionRequest(), payload)
