"""Named arrays -> JSON answers of TensorFlow Serving's REST API.

The format's own rules: a single output stands without its name; floats are the shortest decimal
that reads back as the same value *of their own width* (0.2 stays 0.2 in float32), always with a point or an
exponent; ``NaN``, ``Infinity`` and ``-Infinity`` are bare words; a string output is base64 where
its name ends in ``_bytes``, else its bytes stand as they are, UTF-8 or not.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson

from navi_core.errors import InvalidRequestError
from navi_core.tensors import DType, dtype_of, string_array
from navi_core.types import Array
from navi_core.wire.tf_dtypes import tf_type_name

__all__ = ["array_for_orjson", "encode_predictions", "plain_values", "shortest_decimals", "write_document"]

_BYTES_SUFFIX: Final = "_bytes"

_PLAIN: Final = frozenset(
    {
        DType.FLOAT32,
        DType.FLOAT64,
        DType.INT8,
        DType.INT16,
        DType.INT32,
        DType.INT64,
        DType.UINT8,
        DType.UINT32,
        DType.UINT64,
        DType.BOOL,
    }
)
"""What is written as JSON numbers and booleans; strings aside, TensorFlow Serving refuses all else."""

_QUICK: Final = "fdil"
"""Type codes of what orjson takes as it is: float32, float64, int32, int64."""

_BARE: Final = {"nan": b"NaN", "inf": b"Infinity", "-inf": b"-Infinity"}
"""What is not finite, as Python shows it -> as the format has it."""

_FEW: Final = 128
"""Up to so many values are faster through text."""

_TEXT: Final = np.dtype("S32")

_LARGEST_EXACT_POWER: Final = 22
"""10**22 is the largest power of ten that a double holds exactly."""


def encode_predictions(outputs: Mapping[str, Array], *, row_form: bool) -> bytes:
    """Encode the answer to a predict request.

    Parameters
    ----------
    outputs
        Name -> array.
    row_form
        Answer with ``predictions``, one entry a row, instead of ``outputs``.

    Returns
    -------
    body
        JSON text. It is not strict JSON where a float is not finite or a string is not UTF-8.

    Raises
    ------
    InvalidRequestError
        An element type has no JSON form; or, in row form, the outputs have no common number of rows.
    """
    if len(outputs) == 1:
        (array,) = outputs.values()
        if array.dtype.char in _QUICK and array.ndim and array.dtype.isnative and array.flags.c_contiguous:
            # as almost always: one output of finite numbers
            text = orjson.dumps(
                {"predictions" if row_form else "outputs": array}, option=orjson.OPT_SERIALIZE_NUMPY
            )
            if b"null" not in text:
                return text
    if not outputs:
        raise InvalidRequestError("Cannot convert empty tensor map to JSON")
    if row_form:
        _check_rows(outputs)
    document = partial(_document, outputs, row_form=row_form)
    arrays = list(outputs.values())
    if any(array.dtype.kind not in "fiub" for array in arrays):
        return write_document(document, arrays)
    text = orjson.dumps(document(_quick_values), option=orjson.OPT_SERIALIZE_NUMPY)
    if b"null" not in text:  # everything is finite: that is told sooner by the text than by the numbers
        return text
    return _with_bare_words(text, arrays, row_form=row_form) or write_document(document, arrays)


def _with_bare_words(text: bytes, arrays: Sequence[Array], *, row_form: bool) -> bytes | None:
    """Put what is not finite into a document of numbers; None: something in it is unusual.

    orjson has written ``null`` for it, and for nothing else here.
    """
    if row_form and len(arrays) > 1:
        num_rows = len(arrays[0])
        flat = [np.reshape(array, (num_rows, -1)) for array in arrays]
        found = [row[~np.isfinite(row)] for rows in zip(*flat, strict=True) for row in rows]
    else:
        found = [array[~np.isfinite(array)] for array in arrays]
    words = [_BARE[str(value)] for values in found for value in values.astype(float).ravel()]
    pieces = text.split(b"null")
    if len(pieces) != len(words) + 1:  # an output's name has the word
        return None
    return b"".join(chain.from_iterable(zip(pieces, [*words, b""], strict=True)))


def _document(
    outputs: Mapping[str, Array], values_of: Callable[[str, Array], Any], *, row_form: bool
) -> dict[str, Any]:
    """Return the answer as an object, with the arrays as ``values_of`` has them."""
    values = {name: values_of(name, array) for name, array in outputs.items()}
    answer: Any = values
    if len(values) == 1:
        (answer,) = values.values()
    elif row_form:
        names = tuple(values)
        answer = [dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return {"predictions" if row_form else "outputs": answer}


def write_document(
    document: Callable[[Callable[[str, Array], Any]], dict[str, Any]], arrays: Iterable[Array]
) -> bytes:
    """Write a document as JSON text.

    Parameters
    ----------
    document
        Makes it: lists, dicts and texts, and arrays as the given function of a name and an array has them. That
        may be asked for rows and single values of what it answers.
    arrays
        What its values are from: they tell whether it is strict JSON.

    Raises
    ------
    InvalidRequestError
        JSON has nothing for an element type.
    """
    if all(map(_is_strict, arrays)):
        return orjson.dumps(document(_quick_values), option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(document(plain_values), ensure_ascii=False).encode("utf-8", "surrogateescape")


def _quick_values(name: str, array: Array) -> Any:
    """Return an array as orjson takes it: as it is, if it holds numbers."""
    if dtype_of(array) not in _PLAIN:
        return plain_values(name, array)
    return array_for_orjson(array)


def array_for_orjson(array: Array) -> Any:
    """Return an array of numbers or booleans as orjson takes it: contiguous, in the machine's byte order."""
    dtype = array.dtype
    if array.ndim and array.flags.c_contiguous and dtype.isnative and dtype.char not in "qQ":
        return array
    native = np.ascontiguousarray(array, dtype=dtype.newbyteorder("="))
    if native.dtype.char in "qQ":  # C's long long: orjson knows the type that is called int64 alone
        native = native.view(np.dtype(f"={native.dtype.kind}8"))
    return native if array.ndim else native.reshape(())[()]


def _check_rows(outputs: Mapping[str, Array]) -> None:
    num_rows: int | None = None
    for name, array in outputs.items():
        if not array.ndim:
            raise InvalidRequestError(f"Tensor name: {name} has no shape information ", tensor=name)
        if num_rows is not None and array.shape[0] != num_rows:
            raise InvalidRequestError(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} expecting: {num_rows}",
                tensor=name,
            )
        num_rows = array.shape[0]


def _is_strict(array: Array) -> bool:
    """Tell whether the array's values make strict JSON."""
    if array.dtype.kind == "f":
        return bool(np.isfinite(array).all())
    if array.dtype.kind in "OSU":
        return all(_is_utf8(item) for item in string_array(array).flat)
    return True


def _is_utf8(item: bytes) -> bool:
    try:
        item.decode()
    except UnicodeDecodeError:
        return False
    return True


def plain_values(name: str, array: Array) -> Any:
    """Return an array as nested lists of what JSON has.

    Raises
    ------
    InvalidRequestError
        JSON has nothing for the element type.
    """
    dtype = dtype_of(array)
    if dtype is DType.STRING:
        texts = np.empty(array.shape, dtype=object)
        as_base64 = name.endswith(_BYTES_SUFFIX)
        flat = texts.reshape(-1)
        for index, item in enumerate(string_array(array).flat):
            flat[index] = (
                {"b64": base64.b64encode(item).decode()}
                if as_base64
                else item.decode("utf-8", "surrogateescape")
            )
        return texts.tolist()
    if dtype not in _PLAIN and array.size:
        raise InvalidRequestError(
            f"Failed to write JSON value for tensor type: {tf_type_name(dtype)}", tensor=name
        )
    return (shortest_decimals(array) if dtype is DType.FLOAT32 else array).tolist()


def shortest_decimals(array: Array) -> Array:
    """Return the doubles whose shortest decimal is that of the given float32 values.

    Parameters
    ----------
    array
        Any shape, float32.

    Returns
    -------
    doubles
        Same shape, float64: ``repr`` of each is the shortest text that reads back as the float32.

    Notes
    -----
    Rounds to 6, 7, 8 and 9 significant digits until the value reads back. A decimal ``n / 10**k`` whose parts are exact
    doubles (n below 2**53, k up to 22) is rounded once, by the division, so its ``repr`` is that
    decimal. The few values outside that range, and short arrays, go through text.
    """
    values = np.asarray(array, dtype=np.float32).reshape(-1)
    if values.size <= _FEW:
        return _through_text(values).reshape(np.shape(array))
    with np.errstate(all="ignore"):  # zeros, infinities and NaN: their digits are not looked at
        out = values.astype(np.float64)
        left = _shorten(values, out, np.flatnonzero(np.isfinite(values) & (values != 0)))
    out[left] = _through_text(values[left])
    return out.reshape(np.shape(array))


def _through_text(values: Array) -> Array:
    """Let NumPy write float32 values, each as short as reads back, and read the text as doubles."""
    doubles: Array = values.astype(_TEXT).astype(np.float64)
    return doubles


def _shorten(values: Array, out: Array, indices: Array) -> Array:
    """Write the shortest decimals of ``values[indices]`` to ``out``; return the indices that are left."""
    exponents = np.floor(np.log10(np.abs(out[indices])))
    near = (exponents <= _LARGEST_EXACT_POWER + 5) & (exponents >= 8 - _LARGEST_EXACT_POWER)
    far, pending, exponents = indices[~near], indices[near], exponents[near]
    for digits in (6, 7, 8, 9):
        places = digits - 1 - exponents
        scale = 10.0 ** np.abs(places)
        wanted = values[pending].astype(np.float64)
        rounded = np.where(places >= 0, np.rint(wanted * scale) / scale, np.rint(wanted / scale) * scale)
        done = rounded.astype(np.float32) == values[pending]
        out[pending[done]] = rounded[done]
        pending, exponents = pending[~done], exponents[~done]
    return np.concatenate([far, pending])
