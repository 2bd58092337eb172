"""What callers give as tensors -> arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from navi_client.types import Array, Inputs

__all__ = ["named_arrays"]


def named_arrays(inputs: Inputs) -> dict[str, Array]:
    """Return a request's inputs as arrays.

    Parameters
    ----------
    inputs
        Arrays stay as they are. Strings and lists of them become object arrays, which keep what NumPy's own
        string types drop: zero bytes at the end.

    Raises
    ------
    ValueError
        A list is ragged.
    """
    return {name: _array(value) for name, value in inputs.items()}


def _array(value: Any) -> Array:
    if isinstance(value, np.ndarray):
        return value
    array: Array = np.asarray(value)
    if array.dtype.kind in "SU" and not isinstance(value, np.generic):
        array = np.array(value, dtype=object)
    return array
