"""Perfect hashes of feature ids.

An id is found by a perfect hash: one table of displacements, small enough to stay in the processor's first
cache, makes every id of a pass land in a slot of its own (hash and displace). So a lookup is one comparison, and
never a loop whose length the processor cannot guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["PerfectHash", "perfect_hash"]

_BITS: Final = 2**64 - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: its multiples are spread evenly (Knuth), so multipliers are drawn from it."""

_LOAD: Final = 0.7
_IDS_PER_BUCKET: Final = 6


@dataclass(frozen=True, slots=True)
class PerfectHash:
    """Slots of a set of ids, none shared.

    Parameters
    ----------
    multiplier, bucket_bits, slot_bits
        An id times the multiplier (64 bits): its upper bits are its bucket, the next ones, changed by the
        bucket's displacement (exclusive or), its slot.
    displacements
        One for each bucket.
    slots
        Of each id, in the order in which they were given.
    """

    multiplier: int
    bucket_bits: int
    slot_bits: int
    displacements: Sequence[int]
    slots: Sequence[int]

    def slot(self, key: int) -> int:
        """Return the slot that an id would have; any, for one that is not of the set."""
        bucket, slot = _hashed(key, self.multiplier, self.bucket_bits, self.slot_bits)
        return slot ^ self.displacements[bucket]


def _hashed(key: int, multiplier: int, bucket_bits: int, slot_bits: int) -> tuple[int, int]:
    mixed = key * multiplier & _BITS
    bucket = mixed >> (64 - bucket_bits)
    return bucket, (mixed >> (64 - bucket_bits - slot_bits)) & ((1 << slot_bits) - 1)


def perfect_hash(keys: Sequence[int]) -> PerfectHash:
    """Find a perfect hash of ids that all differ; some ten multipliers may have to be tried."""
    slot_bits = bucket_bits = 1
    while (1 << slot_bits) * _LOAD < len(keys):
        slot_bits += 1
    while (1 << bucket_bits) * _IDS_PER_BUCKET < len(keys):
        bucket_bits += 1
    attempt = 0
    while True:
        attempt += 1
        multiplier = (attempt * _GOLDEN ^ attempt * attempt << 40) & _BITS | 1
        found = _displace(keys, multiplier, bucket_bits, slot_bits)
        if found is not None:
            return PerfectHash(multiplier, bucket_bits, slot_bits, *found)
        if attempt % 16 == 0:  # an unlucky set of ids gets more room
            slot_bits += 1


def _displace(
    keys: Sequence[int], multiplier: int, bucket_bits: int, slot_bits: int
) -> tuple[list[int], list[int]] | None:
    """Give every bucket, largest first, the first displacement that leaves its ids alone in their slots."""
    buckets: list[list[tuple[int, int]]] = [[] for _ in range(1 << bucket_bits)]
    for index, key in enumerate(keys):
        bucket, slot = _hashed(key, multiplier, bucket_bits, slot_bits)
        buckets[bucket].append((index, slot))
    if any(len({slot for _, slot in members}) < len(members) for members in buckets):
        return None  # two ids that no displacement can part
    taken = bytearray(1 << slot_bits)
    displacements = [0] * (1 << bucket_bits)
    slots = [0] * len(keys)
    for bucket in sorted(range(1 << bucket_bits), key=lambda each: -len(buckets[each])):
        members = buckets[bucket]
        for displacement in range(1 << slot_bits):
            if not any(taken[slot ^ displacement] for _, slot in members):
                break
        else:
            return None
        displacements[bucket] = displacement
        for index, slot in members:
            slots[index] = slot ^ displacement
            taken[slot ^ displacement] = 1
    return displacements, slots
