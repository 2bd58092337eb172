"""tf.Example from plain values: what Classify and Regress take, and what many models take as strings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from navi_core.errors import DecodeError
from navi_core.wire import tf_serving
from navi_core.wire.descriptors import parse_message

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import Example, Feature

__all__ = ["encode_example", "example_of"]


def encode_example(features: Mapping[str, Any]) -> bytes:
    """Return a serialized ``tf.Example``, for models whose input is a string that holds one.

    Parameters
    ----------
    features
        Feature name -> a value, or a list or array of them: ints and bools become an ``int64_list``, floats a
        ``float_list`` (float32), ``bytes`` and ``str`` (as UTF-8) a ``bytes_list``. An empty list is a feature
        without a kind.

    Raises
    ------
    TypeError
        A value is of no such kind, or a feature has values of several kinds.
    ValueError
        An int does not fit int64.
    """
    return example_of(features).SerializeToString(deterministic=True)


def example_of(features: bytes | Mapping[str, Any]) -> Example:
    """Return an example from plain values, or from its serialized form.

    Raises
    ------
    TypeError
        See `encode_example`.
    ValueError
        See `encode_example`; or the bytes are no ``tf.Example``.
    """
    if isinstance(features, bytes):
        try:
            return parse_message(tf_serving.Example, features)
        except DecodeError:
            raise ValueError("example: expected a serialized tf.Example, got bytes that are none") from None
    example = tf_serving.Example()
    for name, values in features.items():
        _fill(example.features.feature[name], name, values)
    return example


def _fill(feature: Feature, name: str, values: Any) -> None:
    items = values.reshape(-1).tolist() if isinstance(values, np.ndarray) else values
    if isinstance(items, str | bytes | int | float | np.generic):
        items = [items]
    plain = [item.item() if isinstance(item, np.generic) else item for item in items]
    if not plain:
        return
    if all(isinstance(item, int) for item in plain):  # bools, too
        feature.int64_list.value.extend(map(int, plain))
    elif all(isinstance(item, int | float) and not isinstance(item, bool) for item in plain):
        feature.float_list.value.extend(plain)
    elif all(isinstance(item, str | bytes) for item in plain):
        feature.bytes_list.value.extend(item.encode() if isinstance(item, str) else item for item in plain)
    else:
        kinds = ", ".join(sorted({type(item).__name__ for item in plain}))
        msg = f"feature '{name}': expected ints, floats or strings, got {kinds}"
        raise TypeError(msg)
