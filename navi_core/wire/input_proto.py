"""TensorFlow Serving's ``Input``: examples, perhaps with a context that all of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from navi_core.errors import InvalidRequestError
from navi_core.types import Array

if TYPE_CHECKING:
    from navi_core.wire.tf_serving import Input

__all__ = ["serialized_examples"]


def serialized_examples(message: Input) -> Array:
    """Return the serialized ``tensorflow.Example`` messages of an ``Input``.

    Returns
    -------
    examples
        (rows,) object array of ``bytes``. A context's features are in every one of them, unless the example has
        a feature of that name itself: two messages written one after the other are one, and the later entry
        of a map counts.

    Raises
    ------
    InvalidRequestError
        There are no examples.
    """
    kind = message.WhichOneof("kind")
    context = b""
    if kind == "example_list_with_context":
        context = message.example_list_with_context.context.SerializeToString()
        examples = message.example_list_with_context.examples
    else:
        examples = message.example_list.examples
    if not examples:
        raise InvalidRequestError("Input is empty.")
    out = np.empty(len(examples), dtype=object)
    out[:] = [context + example.SerializeToString() for example in examples]
    return out
