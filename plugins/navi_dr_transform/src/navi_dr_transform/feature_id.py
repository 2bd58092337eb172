"""Feature ids from feature names, as Twitter's libtwml makes them.

The rule is that of ``twml_get_feature_id`` (``twml/libtwml/src/lib/functions.cpp``): the first 8 bytes, read as a
little-endian signed integer, of MurmurHash3 x64-128 with seed 0 over the name in UTF-16LE. A ``#`` that is not the
first character parts a name, as in the keys of sparse features (``feature#key``): then the first 8 bytes of the hash
of what stands before it, followed by the UTF-16LE of what stands behind it, are hashed again.

MurmurHash3 is Austin Appleby's, in the public domain.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

__all__ = ["feature_id"]

_MASK: Final = 2**64 - 1
_C1: Final = 0x87C37B91114253D5
_C2: Final = 0x4CF5AD432745937F
_BLOCK_BYTES: Final = 16

_NAMES_REMEMBERED: Final = 1 << 14


@lru_cache(maxsize=_NAMES_REMEMBERED)
def feature_id(name: str) -> int:
    """Return the 64-bit id of a feature's full name.

    Parameters
    ----------
    name
        ``recap.engagement.is_favorited``, say.

    Returns
    -------
    id
        In ``[-2**63, 2**63)``.

    Raises
    ------
    UnicodeEncodeError
        The name holds half of a surrogate pair, which UTF-16 cannot hold.
    """
    first = name.find("#")
    if first <= 0:
        return _hash_start(name.encode("utf-16-le"))
    before = _hash_start(name[:first].encode("utf-16-le"))
    return _hash_start(struct.pack("<q", before) + name[first + 1 :].encode("utf-16-le"))


def _hash_start(data: bytes) -> int:
    """Return the first 8 bytes of MurmurHash3 x64-128 with seed 0, as a signed integer."""
    h1 = h2 = 0
    num_whole = len(data) // _BLOCK_BYTES * _BLOCK_BYTES
    for k1, k2 in struct.iter_unpack("<QQ", data[:num_whole]):
        h1 ^= _mixed(k1, _C1, _C2, 31)
        h1 = (_rotated(h1, 27) + h2) * 5 + 0x52DCE729 & _MASK
        h2 ^= _mixed(k2, _C2, _C1, 33)
        h2 = (_rotated(h2, 31) + h1) * 5 + 0x38495AB5 & _MASK
    tail = data[num_whole:]
    h2 ^= _mixed(int.from_bytes(tail[8:], "little"), _C2, _C1, 33)
    h1 ^= _mixed(int.from_bytes(tail[:8], "little"), _C1, _C2, 31)
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = h1 + h2 & _MASK
    h2 = h2 + h1 & _MASK
    start = _finished(h1) + _finished(h2) & _MASK
    return start - 2**64 if start >= 2**63 else start


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & _MASK


def _mixed(word: int, before: int, after: int, bits: int) -> int:
    return _rotated(word * before & _MASK, bits) * after & _MASK


def _finished(word: int) -> int:
    word = (word ^ word >> 33) * 0xFF51AFD7ED558CCD & _MASK
    word = (word ^ word >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return word ^ word >> 33
