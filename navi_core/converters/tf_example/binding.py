"""Which feature fills which input of the model, found out when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from navi_core.converters.tf_example.columns import INT_BOUNDS, BytesColumn, Column, FloatColumn, Int64Column
from navi_core.converters.tf_example.options import DefaultValue, FeatureOptions
from navi_core.signature import Signature, TensorSpec, format_shape
from navi_core.tensors import DType, numpy_dtype
from navi_core.types import Array, Shape

__all__ = ["BindingError", "columns_of"]

_FLOATS: Final = (DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64)
_NOTHING_SAID: Final = FeatureOptions()


class BindingError(ValueError):
    """The model's inputs, and what is said about them, do not go with examples; the text says why."""


def columns_of(signature: Signature, said: Mapping[str, FeatureOptions]) -> list[Column]:
    """Return a column for every input that examples fill, in the model's order.

    An input that may be left out, and that the model has a value for, is filled only if something is said about
    it, or if it has a default of a row's shape.

    Raises
    ------
    BindingError
        An input cannot be filled from a feature, or what is said does not fit it.
    """
    for name in said:
        if name not in signature.inputs:
            known = ", ".join(signature.inputs)
            raise BindingError(f"expected names of the model's inputs ({known}), got features.{name}")
    columns = [
        _column(spec, said.get(name, _NOTHING_SAID))
        for name, spec in signature.inputs.items()
        if name in said or not _is_left_to_the_model(spec)
    ]
    if not columns:
        raise BindingError("the model has no input that examples could fill")
    return columns


def _is_left_to_the_model(spec: TensorSpec) -> bool:
    return spec.is_per_request or (spec.optional and spec.default is None)


def _column(spec: TensorSpec, said: FeatureOptions) -> Column:
    make = _kind_of(spec, said)
    row_shape = _row_shape(spec, said)
    default = _default(spec, said, row_shape)
    return make(spec.name, said.feature or spec.name, spec.dtype, row_shape, default)


def _kind_of(spec: TensorSpec, said: FeatureOptions) -> type[Column]:
    natural: type[Column] | None = None
    if spec.dtype is DType.STRING:
        natural = BytesColumn
    elif spec.dtype in _FLOATS:
        natural = Int64Column if said.dtype == "int64" else FloatColumn
    elif spec.dtype in INT_BOUNDS:
        natural = Int64Column
    if natural is None:
        raise BindingError(f"input '{spec.name}': examples cannot hold values of dtype {spec.dtype}")
    word = {BytesColumn: "string", FloatColumn: "float32", Int64Column: "int64"}[natural]
    if said.dtype not in (None, word):
        raise BindingError(
            f"features.{spec.name}.dtype: expected {word} for an input of dtype {spec.dtype}, got {said.dtype}"
        )
    return natural


def _row_shape(spec: TensorSpec, said: FeatureOptions) -> tuple[int | None, ...]:
    if spec.shape is not None and not spec.shape:
        raise BindingError(f"input '{spec.name}' is a scalar: it has no rows that examples could fill")
    if said.shape is not None:
        row: Shape = said.shape
        if spec.shape is not None and not spec.accepts_shape((_any_row(spec.shape), *said.shape)):
            raise BindingError(
                f"features.{spec.name}.shape: expected one that fits {format_shape(spec.row_shape)}, got {list(said.shape)}"
            )
    elif spec.row_shape is None:
        raise BindingError(
            f"input '{spec.name}': its rank is unknown: say the shape of a row with features.{spec.name}.shape"
        )
    else:
        row = spec.row_shape
    sizes = tuple(size if isinstance(size, int) else None for size in row)
    if sizes.count(None) > 1 or (None in sizes and 0 in sizes):
        raise BindingError(
            f"input '{spec.name}': expected a row with one open size at most, got {format_shape(row)}: "
            f"say the shape of a row with features.{spec.name}.shape"
        )
    return sizes


def _any_row(shape: Shape) -> int:
    return shape[0] if isinstance(shape[0], int) else 1


def _default(spec: TensorSpec, said: FeatureOptions, row_shape: tuple[int | None, ...]) -> Array | None:
    if said.default is not None:
        value = _said_default(spec, said.default)
    elif spec.default is not None and not spec.is_per_request:
        value = spec.default
    else:
        return None
    wanted = None if None in row_shape else int(np.prod([size or 0 for size in row_shape], dtype=object))
    if value.ndim == 0 and wanted is not None:
        return np.broadcast_to(value, wanted)  # however large a row is, this is one value
    known = int(np.prod([size for size in row_shape if size is not None], dtype=object))
    if value.size != wanted and (wanted is not None or value.size % known):
        raise BindingError(
            f"default of input '{spec.name}': expected values for a row of shape {format_shape(row_shape)}, "
            f"got {value.size}"
        )
    return value.reshape(-1)


def _said_default(spec: TensorSpec, said: DefaultValue) -> Array:
    values = said if isinstance(said, tuple) else (said,)
    for value in values:
        if not _fits(value, spec.dtype):
            raise BindingError(
                f"features.{spec.name}.default: expected values of dtype {spec.dtype}, got {value!r}"
            )
    out = np.empty(len(values), dtype=numpy_dtype(spec.dtype))
    with np.errstate(over="ignore"):
        out[:] = [value.encode() if isinstance(value, str) else value for value in values]
    if spec.dtype in _FLOATS and not np.array_equal(np.isfinite(out), np.isfinite(values)):
        raise BindingError(
            f"features.{spec.name}.default: expected values that {spec.dtype} holds, got {said}"
        )
    return out if isinstance(said, tuple) else out[0, ...]


def _fits(value: bool | float | str, dtype: DType) -> bool:
    if dtype is DType.STRING:
        return isinstance(value, str)
    if isinstance(value, str):
        return False
    if dtype in _FLOATS:
        return not isinstance(value, bool)
    smallest, largest = INT_BOUNDS[dtype]
    is_right_kind = isinstance(value, bool) if dtype is DType.BOOL else type(value) is int
    return is_right_kind and smallest <= value <= largest
