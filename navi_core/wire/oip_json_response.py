"""Named arrays -> HTTP bodies of inference answers: JSON, and the binary tensor data extension."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from navi_core.errors import InvalidRequestError
from navi_core.tensors import DType, string_array
from navi_core.types import Array, Bytes, NamedArrays
from navi_core.wire.json_predictions import array_for_orjson, shortest_decimals
from navi_core.wire.oip_dtypes import OipType
from navi_core.wire.oip_infer_response import output_type
from navi_core.wire.oip_json_request import BINARY_SIZE
from navi_core.wire.oip_tensors import raw_bytes

__all__ = ["EncodedAnswer", "encode_json_infer_response"]


@dataclass(slots=True)
class EncodedAnswer:
    """An HTTP body.

    Parameters
    ----------
    pieces
        To be written one after the other.
    json_bytes
        Length of the document where binary tensors follow it; None: there is nothing else.
    has_views
        Some pieces are views of the outputs, which must not change until they are written.
    """

    pieces: list[Bytes]
    json_bytes: int | None
    has_views: bool


def encode_json_infer_response(
    outputs: NamedArrays,
    *,
    model: str,
    version: int,
    request_id: str = "",
    binary: Collection[str] = (),
    nan_tokens: bool = False,
) -> EncodedAnswer:
    """Encode the answer to an inference request.

    Parameters
    ----------
    outputs
        Name -> array.
    model, version
        What answered.
    request_id
        The request's id.
    binary
        Names of the outputs whose data follows the document.
    nan_tokens
        Write ``NaN`` and ``Infinity``, which are no JSON, instead of null.

    Raises
    ------
    InvalidRequestError
        An output's data has no JSON form: FP16, BF16, strings that are not UTF-8.
    UnsupportedError
        The protocol cannot carry an output's elements.
    """
    tensors: list[dict[str, Any]] = []
    tails: list[Bytes] = []
    has_tokens = nan_tokens and any(
        array.dtype.kind == "f" and not np.isfinite(array).all()
        for name, array in outputs.items()
        if name not in binary
    )
    for name, array in outputs.items():
        kind = output_type(name, array)
        tensor: dict[str, Any] = {"name": name, "datatype": kind.name, "shape": array.shape}
        if name in binary:
            data = raw_bytes(array)
            tensor["parameters"] = {BINARY_SIZE: len(data)}
            if len(data):
                tails.append(data)
        else:
            tensor["data"] = _values(name, array, kind, as_list=has_tokens)
        tensors.append(tensor)
    document: dict[str, Any] = {"model_name": model, "model_version": str(version)}
    if request_id:
        document["id"] = request_id
    document["outputs"] = tensors
    if has_tokens:
        text = json.dumps(document).encode()
    else:  # orjson writes what is not finite as null
        text = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return EncodedAnswer(
        [text, *tails],
        len(text) if tails else None,
        any(isinstance(piece, memoryview) for piece in tails),
    )


def _values(name: str, array: Array, kind: OipType, *, as_list: bool) -> Any:
    """Return an array's values in a row, as a list or as orjson takes them."""
    if not kind.field:
        raise InvalidRequestError(
            f"sending {kind.name} data via JSON is not supported. "
            f"Please use the binary data format for output '{name}'",
            tensor=name,
        )
    flat = array.reshape(-1)
    if kind.dtype is DType.STRING:
        try:
            return [item.decode() for item in string_array(flat).tolist()]
        except UnicodeDecodeError:
            raise InvalidRequestError(
                f"output '{name}' holds BYTES that are not UTF-8. "
                f"Please use the binary data format for output '{name}'",
                tensor=name,
            ) from None
    if not as_list:
        return array_for_orjson(flat)
    return (shortest_decimals(flat) if kind.dtype is DType.FLOAT32 else flat).tolist()
