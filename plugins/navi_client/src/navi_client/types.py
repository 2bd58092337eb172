"""Aliases for values that pass through every module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from numpy.typing import ArrayLike, NDArray

__all__ = ["Array", "Bytes", "Features", "Inputs", "Parameters"]

Array: TypeAlias = NDArray[Any]
"""Any ndarray. Strings are object arrays that hold ``bytes``."""

Inputs: TypeAlias = Mapping[str, ArrayLike]
"""Input name -> an ndarray, or what NumPy makes one of."""

Bytes: TypeAlias = bytes | memoryview
"""A message body. Decoders make views of it, so it is never written to."""

Parameters: TypeAlias = Mapping[str, bool | int | float | str]
"""Parameters of a request or of an answer (Open Inference Protocol)."""

Features: TypeAlias = Mapping[str, Any]
"""Feature name -> a value or a list of them: ints, floats, or strings (``bytes``, or ``str`` as UTF-8)."""
