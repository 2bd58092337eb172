"""The classification extension: the largest values of an output with their indices, as strings."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from navi_core.errors import InvalidRequestError
from navi_core.types import Array, Parameters

__all__ = ["class_count", "classify"]

_PARAMETER: Final = "classification"


def class_count(parameters: Parameters, output: str) -> int:
    """Return how many classes of an output are asked for; 0: the output itself.

    Raises
    ------
    InvalidRequestError
        The parameter is no positive integer.
    """
    count = parameters.get(_PARAMETER)
    if count is None:
        return 0
    if type(count) is not int or count <= 0:
        raise InvalidRequestError(f"output '{output}': classification: expected a number of classes above 0")
    return count


def classify(array: Array, count: int, *, is_batched: bool, output: str) -> Array:
    """Return the ``count`` largest values, largest first.

    Parameters
    ----------
    array
        Any shape; numbers.
    count
        Capped at the number of values.
    is_batched
        The leading dimension holds rows: each is classified on its own.
    output
        Its name, for the error.

    Returns
    -------
    classes
        (count,) or (rows, count) object array of ``VALUE:INDEX`` as bytes. Of equal values the first comes first.

    Raises
    ------
    InvalidRequestError
        The output holds no numbers.
    """
    if array.dtype.kind not in "iufb":
        raise InvalidRequestError(f"output '{output}': classification: expected numbers", tensor=output)
    has_rows = is_batched and array.ndim > 0
    num_rows = array.shape[0] if has_rows else 1
    rows = array.reshape(num_rows, math.prod(array.shape[1:]) if has_rows else array.size)
    size = rows.shape[1]
    count = min(count, size)
    # sorted from the back, a stable sort leaves equal values in order once it is turned around
    order = size - 1 - np.argsort(rows[:, ::-1], axis=1, kind="stable")[:, ::-1][:, :count]
    as_text = "%f" if array.dtype.kind == "f" else "%d"
    classes = np.empty((num_rows, count), dtype=object)
    for row, indices in enumerate(order.tolist()):
        for place, index in enumerate(indices):
            classes[row, place] = f"{as_text % rows[row, index]}:{index}".encode()
    return classes if has_rows else classes.reshape(count)
