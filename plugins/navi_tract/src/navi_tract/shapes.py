"""The sizes of inputs: which are fixed, which dynamic, and which of these a plan is made for.

Dynamic dimensions get symbols of our own: the names in a file may be anything, and tract reads some as
formulas ("batch-size" is a difference). An unnamed dimension gets a symbol to itself, but unnamed *leading*
ones share one, since they are rows in all likelihood; what tract infers with that says whether they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from navi_core import Array, DType, TensorMismatchError, format_shape, numpy_dtype

__all__ = ["Dims", "InputShapes", "Key", "PlannedInput", "name_dims", "replace_symbols"]

_MAX_KEYS: Final = 1024

ROWS: Final = "rows"
"""What the shared symbol of unnamed leading dimensions is called where people read of it."""

Dims = tuple[int | str, ...]

Key = tuple[int | tuple[int, ...], ...]
"""What one plan is for: the size of each planned symbol, then the shape of each unranked input."""

_FACT_TYPES: Final = {
    DType.BOOL: "bool",
    DType.INT8: "i8",
    DType.INT16: "i16",
    DType.INT32: "i32",
    DType.INT64: "i64",
    DType.UINT8: "u8",
    DType.UINT16: "u16",
    DType.UINT32: "u32",
    DType.UINT64: "u64",
    DType.FLOAT16: "f16",
    DType.FLOAT32: "f32",
    DType.FLOAT64: "f64",
}


@dataclass(frozen=True, slots=True)
class PlannedInput:
    """One input.

    Parameters
    ----------
    name
        As clients say.
    dtype
        Element type.
    dims
        Sizes and symbols; None: unknown rank.
    """

    name: str
    dtype: DType
    dims: Dims | None


def name_dims(
    declared: Sequence[tuple[int | str | None, ...] | None], *, shared_rows: bool
) -> tuple[list[Dims | None], dict[str, str | None]]:
    """Give every dynamic dimension a symbol.

    Parameters
    ----------
    declared
        Dims of each input as the file has them; None: unknown rank.
    shared_rows
        Unnamed leading dimensions share one symbol.

    Returns
    -------
    dims
        The same with symbols.
    names
        Symbol -> the file's name; None: it has none.
    """
    names: dict[str, str | None] = {}
    symbols: dict[str, str] = {}

    def symbol_of(dim: str | None, *, leads: bool) -> str:
        if dim is None and leads and shared_rows:
            dim = ""  # no file's name
        found = None if dim is None else symbols.get(dim)
        if found is None:
            found = f"navi{len(names)}x"  # no symbol is the beginning of another
            names[found] = dim or None
            if dim is not None:
                symbols[dim] = found
        return found

    dims: list[Dims | None] = [
        None
        if each is None
        else tuple(
            dim if isinstance(dim, int) else symbol_of(dim, leads=axis == 0) for axis, dim in enumerate(each)
        )
        for each in declared
    ]
    return dims, names


class InputShapes:
    """The inputs of a model and the sizes that a plan of it is made for.

    Parameters
    ----------
    inputs
        In the model's order.
    kept
        Symbols that a plan keeps, so that one serves any size; all others are planned for.
    """

    def __init__(self, inputs: Sequence[PlannedInput], kept: Iterable[str] = ()) -> None:
        self.inputs = tuple(inputs)
        self.kept = frozenset(kept)
        self.symbols = tuple(
            dict.fromkeys(dim for each in inputs for dim in each.dims or () if isinstance(dim, str))
        )
        self.planned = tuple(symbol for symbol in self.symbols if symbol not in self.kept)
        self._typed = tuple((each.name, numpy_dtype(each.dtype)) for each in inputs)
        self._keys: dict[tuple[tuple[int, ...], ...], Key] = {}
        self._unranked = tuple(index for index, each in enumerate(inputs) if each.dims is None)

    def arrays(self, inputs: Mapping[str, Array], model: str, signature: str) -> list[Array]:
        """Return the inputs in the plan's order, of the right dtype, in memory that tract may read.

        tract's binding takes bytes of the other byte order for native ones, so they are converted here.

        Raises
        ------
        KeyError
            One is missing.
        TensorMismatchError
            A dtype differs.
        """
        found = []
        for name, dtype in self._typed:
            array = inputs[name]
            if array.dtype != dtype or not array.flags.aligned:
                if array.dtype.newbyteorder("=") != dtype:
                    raise TensorMismatchError(
                        tensor=name,
                        what="dtype",
                        expected=str(dtype),
                        got=str(array.dtype),
                        model=model,
                        signature=signature,
                    )
                array = np.array(array, dtype=dtype, order="C")
            found.append(array)
        return found

    def key(self, shapes: tuple[tuple[int, ...], ...], model: str = "", signature: str = "") -> Key:
        """Return what to plan for. Shapes that were seen to fit are remembered, a thousand of them.

        Raises
        ------
        TensorMismatchError
            A shape does not fit, or one symbol stands for two sizes.
        """
        key = self._keys.get(shapes)
        if key is None:
            key = self._checked_key(shapes, model, signature)
            if len(self._keys) >= _MAX_KEYS:
                self._keys.clear()
            self._keys[shapes] = key
        return key

    def _checked_key(self, shapes: tuple[tuple[int, ...], ...], model: str, signature: str) -> Key:
        sizes: dict[str, int] = {}
        for spec, shape in zip(self.inputs, shapes, strict=True):
            dims = spec.dims
            if dims is None:
                continue
            if len(dims) != len(shape):
                raise self._mismatch(spec, shape, sizes, model, signature)
            for dim, size in zip(dims, shape, strict=True):
                expected = sizes.setdefault(dim, size) if isinstance(dim, str) else dim
                if expected != size:
                    raise self._mismatch(spec, shape, sizes, model, signature)
        return (*(sizes[symbol] for symbol in self.planned), *(shapes[index] for index in self._unranked))

    def facts(self, key: Key, kept_size: int | None = None) -> dict[str, str]:
        """Return each input's fact, as tract writes it; symbols that are kept may be given one size."""
        return {
            each.name: ",".join([*map(str, dims), _FACT_TYPES[each.dtype]])
            for each, dims in zip(self.inputs, self._dims(key, kept_size), strict=True)
        }

    def sizes(self, key: Key) -> dict[str, int]:
        """Return the size of each planned symbol."""
        return {
            symbol: size for symbol, size in zip(self.planned, key, strict=False) if isinstance(size, int)
        }

    def run_shapes(self, key: Key, kept_size: int) -> list[tuple[str, Dims]]:
        """Return dtype and shape of each input of a run, with one size for every symbol that is kept."""
        return [
            (str(dtype), dims)
            for (_, dtype), dims in zip(self._typed, self._dims(key, kept_size), strict=True)
        ]

    def _dims(self, key: Key, kept_size: int | None) -> list[Dims]:
        sizes: dict[str, int] = {} if kept_size is None else dict.fromkeys(self.kept, kept_size)
        sizes.update(self.sizes(key))
        unranked = iter([each for each in key if isinstance(each, tuple)])
        return [
            next(unranked)
            if each.dims is None
            else tuple(sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in each.dims)
            for each in self.inputs
        ]

    def _mismatch(
        self, spec: PlannedInput, shape: tuple[int, ...], sizes: Mapping[str, int], model: str, signature: str
    ) -> TensorMismatchError:
        expected = [sizes.get(dim) if isinstance(dim, str) else dim for dim in spec.dims or ()]
        return TensorMismatchError(
            tensor=spec.name,
            what="shape",
            expected=format_shape(expected),
            got=format_shape(shape),
            model=model,
            signature=signature,
        )


def replace_symbols(text: str, names: Mapping[str, str | None]) -> str:
    """Return tract's text of a dimension with the file's names in it; unnamed rows are called so."""
    return re.sub(r"navi\d+x", lambda match: names.get(match[0]) or ROWS, text)
