"""CRC-32C: published vectors, and the folded way against the plain one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.wire.crc32c import crc32c, masked_crc32c

VECTORS = {  # RFC 3720, appendix B.4, and the check value of the algorithm
    bytes(32): 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(reversed(range(32))): 0x113FDB5C,
    b"123456789": 0xE3069283,
    b"": 0,
}


@pytest.mark.parametrize(("data", "expected"), VECTORS.items(), ids=lambda value: str(value)[:12])
def test_crc32c__published_vectors(data, expected):
    assert crc32c(data) == expected
    assert crc32c(memoryview(data)) == expected


def test_masked__is_rotated_and_shifted():
    assert masked_crc32c(b"123456789") == 0xC78AB0E5


def bit_by_bit(data):
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@given(
    size=st.one_of(st.integers(0, 40), st.integers(2040, 2060), st.integers(3060, 6000)),
    seed=st.integers(0, 2**16),
)
def test_crc32c__is_the_bit_by_bit_one_at_any_size(size, seed):
    data = np.random.default_rng(seed).bytes(size)
    assert crc32c(data) == bit_by_bit(data)
