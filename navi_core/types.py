"""Aliases for values that pass through every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Bytes", "Dim", "Int64Array", "NamedArrays", "Parameters", "Shape"]

Array: TypeAlias = NDArray[Any]
"""Any ndarray. Strings are object arrays that hold ``bytes`` (see :mod:`navi_core.tensors`)."""

NamedArrays: TypeAlias = Mapping[str, Array]
"""Tensor name -> array."""

Dim: TypeAlias = int | str | None
"""One dimension: a size, a symbol shared between dynamic dimensions, or None for any size."""

Shape: TypeAlias = tuple[Dim, ...]
"""A shape that may be partly unknown."""

Bytes: TypeAlias = bytes | memoryview
"""A message body. Decoders make views of it, so it is never written to."""

Parameters: TypeAlias = Mapping[str, bool | int | float | str]
"""Request parameters that reach the runtime (``ctx.parameters``)."""

Int64Array: TypeAlias = NDArray[np.int64]
"""Row ends and other counts."""
