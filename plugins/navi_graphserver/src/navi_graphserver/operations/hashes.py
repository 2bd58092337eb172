"""The numbers by which CUSTOM nodes name their operations: a 64-bit hash of the registry's name.

Source: ``HashHelper`` of libnd4j (``helpers/helper_hash.h``).
"""

from __future__ import annotations

from functools import cache
from typing import Final

__all__ = ["name_hash"]

_BITS: Final = (1 << 64) - 1
_MULTIPLIER: Final = 7664345821815920749
_START: Final = 0xBB40E64DA205B064


@cache
def _byte_table() -> tuple[int, ...]:
    table = []
    state = 0x544B2FBACAAF1684
    for _ in range(256):
        for _ in range(31):
            state ^= state >> 7
            state = (state ^ (state << 11)) & _BITS
            state ^= state >> 10
        table.append(state)
    return tuple(table)


def name_hash(name: str) -> int:
    """Return the signed 64-bit number of a name."""
    table = _byte_table()
    state = _START
    for byte in name.encode():
        state = (state * _MULTIPLIER & _BITS) ^ table[byte]
        state = (state * _MULTIPLIER & _BITS) ^ table[0]
    return state - (1 << 64) if state >> 63 else state
