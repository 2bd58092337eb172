"""Requests with something wrong in them, from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from layouts import BINARY, CONTINUOUS, DISCRETE, EMBEDDINGS, SPARSE, STRINGS

MAX_BYTES = 8192
TYPES = bytes([*range(17), 0x7F, 0x80, 0xFF])
I32 = [0, 1, 2, 3, 4, 7, 8, 16, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**28, 2**29, 2**30, 2**30 + 1]
I64 = [*CONTINUOUS, *BINARY, *DISCRETE, *EMBEDDINGS, *SPARSE, *STRINGS, 0, 2**63 - 1, -(2**63), 2**32, 2**61]


def mutate(source: random.Random, corpus: Sequence[bytes]) -> bytearray:
    """Return one of the corpus with one to five changes."""
    data = bytearray(corpus[int(source.random() * len(corpus))])
    for _ in range(1 + int(5 * source.random() ** 3)):
        if not data:
            break
        CHANGES[int(source.random() * len(CHANGES))](source, data, corpus)
    del data[MAX_BYTES:]
    return data


def _at(source: random.Random, data: bytearray) -> int:
    return int(source.random() * len(data))


def _byte(source, data, _corpus):
    data[_at(source, data)] = int(source.random() * 256)


def _bit(source, data, _corpus):
    data[_at(source, data)] ^= 1 << int(source.random() * 8)


def _type(source, data, _corpus):
    data[_at(source, data)] = TYPES[int(source.random() * len(TYPES))]


def _count(source, data, _corpus):
    """Write 32 bits: a number that is odd for a count, or about as large as what is left."""
    at = _at(source, data)
    value = I32[int(source.random() * len(I32))]
    if source.random() < 0.4:
        value = (
            (len(data) - at) // (1, 2, 4, 8, 12, 16)[int(source.random() * 6)] + int(source.random() * 7) - 3
        )
    data[at : at + 4] = (value & 0xFFFFFFFF).to_bytes(4, "big")[: len(data) - at]


def _long(source, data, _corpus):
    at = _at(source, data)
    value = I64[int(source.random() * len(I64))] & 0xFFFFFFFFFFFFFFFF
    data[at : at + 8] = value.to_bytes(8, "big")[: len(data) - at]


def _truncate(source, data, _corpus):
    del data[_at(source, data) :]


def _insert(source, data, _corpus):
    at = _at(source, data)
    data[at:at] = source.randbytes(1 + int(source.random() * 16))


def _delete(source, data, _corpus):
    at = _at(source, data)
    del data[at : at + 1 + int(source.random() * 16)]


def _repeat(source, data, _corpus):
    start, at = _at(source, data), _at(source, data)
    data[at:at] = data[start : start + 1 + int(source.random() * 64)]


def _splice(source, data, corpus):
    other = corpus[int(source.random() * len(corpus))]
    start = int(source.random() * len(other))
    data[_at(source, data) :] = other[start:]


CHANGES: list[Callable[..., None]] = [
    *(_byte, _bit, _type, _type, _count, _count, _count),
    *(_long, _truncate, _insert, _delete, _repeat, _splice),
]
