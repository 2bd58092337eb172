"""Whether an answer is the right one: the bytes that are known to be right, else its numbers, nearly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from navi_core.errors import NaviError
from navi_core.types import Array, NamedArrays

__all__ = ["AnswerCheck", "difference"]

_RELATIVE: Final = 1e-3
_MAX_KNOWN: Final = 256


def difference(expected: NamedArrays, got: NamedArrays) -> str:
    """Say how tensors differ; empty: they do not.

    Numbers may differ by a thousandth of the largest one: a row is not computed in the same way in every batch.

    Parameters
    ----------
    expected, got
        Name -> array. The names of single tensors are not compared: a protocol may leave them out.
    """
    if len(expected) == len(got) == 1:
        [name], [right], [other] = expected, expected.values(), got.values()
        return _difference(name, right, other)
    if set(expected) != set(got):
        return f"expected outputs {', '.join(sorted(expected))}, got {', '.join(sorted(got)) or 'none'}"
    found = (_difference(name, right, got[name]) for name, right in expected.items())
    return next((each for each in found if each), "")


def _difference(name: str, right: Array, other: Array) -> str:
    if right.shape != other.shape:
        return f"output '{name}': expected shape {list(right.shape)}, got {list(other.shape)}"
    if right.dtype.kind in "OSUV" or other.dtype.kind in "OSUV":
        is_same = list(map(_text, right.reshape(-1).tolist())) == list(map(_text, other.reshape(-1).tolist()))
        return "" if is_same else f"output '{name}': expected other values"
    kind = np.complex128 if "c" in (right.dtype.kind, other.dtype.kind) else np.float64
    a, b = right.astype(kind), other.astype(kind)
    scale = float(np.max(np.abs(a), initial=0.0, where=np.isfinite(a)))
    near = np.isclose(b, a, rtol=_RELATIVE, atol=_RELATIVE * scale, equal_nan=True)
    if near.all():
        return ""
    index = tuple(int(each) for each in np.argwhere(~near)[0])
    return f"output '{name}': expected {a[index]:g} at {list(index)}, got {b[index]:g}"


def _text(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class AnswerCheck:
    """Compares answers with one that is known to be right.

    Parameters
    ----------
    read
        Reads the tensors of an answer; raises NaviError.
    expected
        The right answer, as it came over the wire.
    """

    def __init__(self, read: Callable[[bytes], NamedArrays], expected: bytes) -> None:
        self._read = read
        self._expected = read(expected)
        self._known = {expected}

    def __call__(self, answer: bytes) -> str:
        """Say what is wrong with an answer; empty: nothing."""
        if answer in self._known:
            return ""
        try:
            wrong = difference(self._expected, self._read(answer))
        except NaviError as error:
            return error.message
        if not wrong and len(self._known) < _MAX_KNOWN:
            self._known.add(answer)
        return wrong
