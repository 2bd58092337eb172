"""What in-process callers hand in, as the arrays that the request path takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from navi_core.errors import TensorMismatchError
from navi_core.signature import Signature, TensorSpec
from navi_core.tensors import DType, numpy_dtype, string_array
from navi_core.types import Array

__all__ = ["as_arrays"]


def as_arrays(inputs: Mapping[str, Any], client: Signature | None, own: Signature | None) -> dict[str, Array]:
    """Return named arrays in native byte order.

    An array keeps its dtype (the signature check refuses a wrong one); lists and numbers take the dtype that the
    signature wants.

    Parameters
    ----------
    inputs
        Name -> array or nested lists.
    client, own
        The signature that clients see, and the model's own; None: the signature is unknown, which the
        data plane will say.

    Raises
    ------
    TensorMismatchError
        A value cannot become an array of the signature's dtype.
    """
    specs: dict[str, TensorSpec] = {}
    for signature in (own, client):
        if signature is not None:
            specs.update(signature.inputs)
    return {name: _as_array(name, value, specs.get(name)) for name, value in inputs.items()}


def _as_array(name: str, value: Any, spec: TensorSpec | None) -> Array:
    wants_strings = spec is not None and spec.dtype is DType.STRING
    try:
        if wants_strings:
            # Bytes must never pass through NumPy's S dtype, which cuts trailing zeros.
            array = np.asarray(value, dtype=None if isinstance(value, np.ndarray) else object)
            return string_array(array)
        if isinstance(value, np.ndarray):
            array = value
        else:
            array = np.asarray(value, dtype=None if spec is None else numpy_dtype(spec.dtype))
    except (TypeError, ValueError, OverflowError) as error:
        expected = spec.dtype if spec is not None else "an array"
        raise TensorMismatchError(
            tensor=name, what="dtype", expected=expected, got=f"{type(value).__name__} ({error})"
        ) from None
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array
