"""bfloat16 and the float8 kinds: ml_dtypes' where it is installed, else records of their bits.

A record array looks like ``array["bfloat16"]`` (uint16) or ``array["float8_e5m2"]`` (uint8): the bits go through
unchanged in both directions, and only arithmetic needs ml_dtypes.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final

import numpy as np

__all__ = [
    "bfloat16",
    "float8_e4m3b11fnuz",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "narrow_float",
]

if not TYPE_CHECKING and importlib.util.find_spec("ml_dtypes") is not None:
    import ml_dtypes as _ml_dtypes
else:
    _ml_dtypes = None


def narrow_float(name: str, bits: str, library: object = _ml_dtypes) -> np.dtype:
    """Return the dtype of one kind.

    Parameters
    ----------
    name
        Its name, as ml_dtypes has it.
    bits
        The little-endian unsigned integer that holds it.
    library
        ml_dtypes, or anything without such an attribute.
    """
    return np.dtype(getattr(library, name, [(name, bits)]))


bfloat16: Final = narrow_float("bfloat16", "<u2")
float8_e4m3b11fnuz: Final = narrow_float("float8_e4m3b11fnuz", "u1")
float8_e4m3fn: Final = narrow_float("float8_e4m3fn", "u1")
float8_e4m3fnuz: Final = narrow_float("float8_e4m3fnuz", "u1")
float8_e5m2: Final = narrow_float("float8_e5m2", "u1")
float8_e5m2fnuz: Final = narrow_float("float8_e5m2fnuz", "u1")
