"""JSON answers of servers: parsed, and their values as arrays without knowing the model's types."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import numpy as np

from navi_core.errors import DecodeError
from navi_core.types import Array

__all__ = ["json_array", "parse_answer"]


def parse_answer(body: bytes) -> dict[str, Any]:
    """Return the object that an answer is.

    Raises
    ------
    DecodeError
        It is no JSON object.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"answer: expected JSON, got {body[:40]!r}") from error
    if not isinstance(answer, dict):
        raise DecodeError(f"answer: expected an object, got {type(answer).__name__}")
    return answer


def json_array(value: Any) -> Array:
    """Return nested lists as an array: of numbers where there are only numbers, else of objects; ``b64`` becomes bytes.

    Raises
    ------
    DecodeError
        The lists are uneven.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DecodeError("answer: expected evenly nested lists") from error
    if array.dtype.kind in "bif":
        return array
    found = np.asarray(value, dtype=object)
    items = np.empty(found.size, dtype=object)
    items[:] = [_item(each) for each in found.reshape(-1).tolist()]
    return items.reshape(found.shape)


def _item(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (TypeError, ValueError, binascii.Error) as error:
            raise DecodeError("answer: expected base64 behind b64") from error
    return value
