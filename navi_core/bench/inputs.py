"""Random inputs that fit a signature: seeded, so that two runs ask the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from navi_core.errors import ConfigError
from navi_core.signature import Signature, TensorSpec, format_shape
from navi_core.tensors import DType, numpy_dtype
from navi_core.types import Array

__all__ = ["parse_shapes", "random_inputs"]

_MAX_ELEMENTS: Final = 2**28
_STRING_LETTERS: Final = 16


def parse_shapes(words: tuple[str, ...], signature: Signature) -> dict[str, tuple[int, ...]]:
    """Return the shapes that ``NAME=2,3`` words give; the name may be left out where there is one input.

    Raises
    ------
    ConfigError
        A word is none of these, or its name is no input's.
    """
    found: dict[str, tuple[int, ...]] = {}
    for word in words:
        name, _, sizes = word.rpartition("=")
        if not name and len(signature.inputs) == 1:
            name = next(iter(signature.inputs))
        if name not in signature.inputs:
            names = ", ".join(signature.inputs)
            raise ConfigError(f"expected NAME=SIZES with NAME one of {names}, got '{word}'", path="--shape")
        try:
            shape = tuple(map(int, sizes.split(","))) if sizes else ()
        except ValueError:
            shape = (-1,)
        if any(size < 0 for size in shape):
            raise ConfigError(f"expected sizes such as 2,3, got '{word}'", path="--shape")
        found[name] = shape
    return found


def random_inputs(
    signature: Signature, *, rows: int | None, seed: int, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Array]:
    """Return a tensor for each input.

    Numbers with a fraction are from [0, 1); integers are 0 or 1, which is an index into any table with two rows;
    strings have 16 letters.

    Parameters
    ----------
    signature
        Whose inputs they are.
    rows
        Of inputs whose first size is open; None: one.
    seed
        Of the numbers.
    shapes
        Of inputs that have more than that open.

    Raises
    ------
    ConfigError
        A shape is open, does not fit, or is too large; or rows are asked for where no input has any.
    """
    random = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    has_rows = False
    for name, spec in signature.inputs.items():
        is_open = bool(spec.shape) and not isinstance((spec.shape or (0,))[0], int)
        has_rows |= is_open and name not in shapes
        shape = shapes[name] if name in shapes else _shape(spec, 1 if rows is None else rows)
        if not spec.accepts_shape(shape):
            raise ConfigError(
                f"input '{name}': expected shape {format_shape(spec.shape)}, got {format_shape(shape)}",
                path="--shape",
            )
        if np.prod([float(size) for size in shape]) > _MAX_ELEMENTS:
            raise ConfigError(
                f"input '{name}': expected at most {_MAX_ELEMENTS} elements, got shape {format_shape(shape)}",
                path="--rows and --shape",
            )
        found[name] = _values(random, spec.dtype, shape)
    if rows is not None and not has_rows:
        raise ConfigError("expected an input whose first size is open, got none", path="--rows")
    return found


def _shape(spec: TensorSpec, rows: int) -> tuple[int, ...]:
    if spec.shape is None or not all(isinstance(size, int) for size in spec.shape[1:]):
        raise ConfigError(
            f"input '{spec.name}' has shape {format_shape(spec.shape)}, expected --shape {spec.name}=SIZES, "
            "or inputs from files",
            path="--shape",
        )
    return tuple(size if isinstance(size, int) else rows for size in spec.shape)


def _values(random: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> Array:
    if dtype is DType.STRING:
        out: Array = np.empty(shape, dtype=object)
        for index in range(out.size):
            letters = random.integers(ord("a"), ord("z") + 1, _STRING_LETTERS, dtype=np.uint8)
            out.reshape(-1)[index] = letters.tobytes()
        return out
    kind = numpy_dtype(dtype)
    if dtype is DType.BOOL or kind.kind in "iu":
        return random.integers(0, 2, shape).astype(kind)
    if kind.kind == "c":
        return (random.random(shape) + 1j * random.random(shape)).astype(kind)
    return random.random(shape).astype(kind)
