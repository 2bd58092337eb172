"""The frozen form of a layout, which kernels read: plain arrays (``_plan``), built once for a model.

An id is found by a perfect hash: one table of displacements, small enough to stay in the processor's first
cache, makes every id of a pass land in a slot of its own (hash and displace). So a lookup is one comparison, and
never a loop whose length the processor cannot guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from navi_core import Array, DType, numpy_dtype
from navi_dr_transform import _plan
from navi_dr_transform.feature_map import FeatureMap
from navi_dr_transform.layout import Layout, Source

__all__ = ["NUM_COUNTERS", "Counter", "Frozen", "Int64Array", "PerfectHash", "freeze", "perfect_hash"]

Int64Array: TypeAlias = NDArray[np.int64]

_BITS: Final = 2**64 - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: its multiples are spread evenly (Knuth), so multipliers are drawn from it."""

_LOAD: Final = 0.7
_IDS_PER_BUCKET: Final = 6

_DTYPES: Final[Mapping[DType, int]] = {
    DType.FLOAT32: _plan.F32,
    DType.FLOAT64: _plan.F64,
    DType.INT64: _plan.I64,
    DType.INT32: _plan.I32,
    DType.UINT8: _plan.U8,
    DType.BOOL: _plan.U8,
}


class Counter(IntEnum):
    """What ``Decoder.fill`` counts; common features count once for each request."""

    RECORDS = _plan.RECORDS
    FEATURES = _plan.FEATURES
    """Binary, continuous and discrete features that came."""
    MATCHED = _plan.MATCHED
    """Those of them that have a column."""
    TENSORS = _plan.TENSORS
    """Tensors and sparse tensors that came."""
    MATCHED_TENSORS = _plan.MATCHED_TENSORS
    """Those of them that are a wanted tensor's row."""


NUM_COUNTERS: Final = len(Counter)


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


@dataclass(frozen=True, slots=True)
class Frozen:
    """A layout as kernels read it.

    Parameters
    ----------
    plan
        (N,) int64, read-only: see ``_plan``.
    displacements
        (M,) int32, read-only: of all passes.
    defaults
        (1, width) of each wanted tensor, read-only: what stands where nothing came.
    scratch_size
        Elements of the scratch memory that kernels need.
    """

    plan: Int64Array
    displacements: NDArray[np.int32]
    defaults: tuple[Array, ...]
    scratch_size: int


@dataclass(frozen=True, slots=True)
class _Pass:
    """The places that one part of a DataRecord has in one tensor: byte offsets in its row, by id."""

    source: Source
    tensor: int
    dtype: DType
    places: Mapping[int, int]


def freeze(layout: Layout, features: FeatureMap, widths: Mapping[int, int], *, exact: bool) -> Frozen:
    """Freeze a layout.

    Parameters
    ----------
    layout
        Types and defaults of the tensors.
    features
        Where every feature goes.
    widths
        Index of a tensor -> columns; the wanted tensors, which the kernels number in this order. Features whose
        column lies outside are left out, so that no lookup can leave a row.
    exact
        Refuse embeddings that are longer than their tensor is wide.
    """
    numbers = {tensor: number for number, tensor in enumerate(widths)}
    passes = sorted(_passes(layout, features, widths), key=lambda each: each.source)
    fields: list[int] = []
    tables: list[Int64Array] = []
    displacements: list[int] = []
    embeddings = _embeddings(layout, features, widths, numbers)
    tables_at = _plan.PASSES_AT + _plan.PASS_FIELDS * len(passes) + len(embeddings)
    for each in passes:
        hashed = perfect_hash(list(each.places))
        fields += [
            numbers[each.tensor],
            _DTYPES[each.dtype],
            _one(each.dtype),
            tables_at + sum(map(len, tables)),
            len(displacements),
            _signed(hashed.multiplier),
            64 - hashed.bucket_bits,
            63 - hashed.bucket_bits - hashed.slot_bits,  # one less: a slot is two elements
            ((1 << hashed.slot_bits) - 1) << 1,
        ]
        displacements += [2 * displacement for displacement in hashed.displacements]
        tables.append(_table(each.places, hashed))
    plan = np.zeros(_plan.PASSES_AT, np.int64)
    plan[_plan.NUM_TENSORS] = len(widths)
    plan[_plan.NUM_EMBEDDINGS] = len(embeddings) // _plan.EMBEDDING_FIELDS
    plan[_plan.EMBEDDINGS_AT] = _plan.PASSES_AT + len(fields)
    plan[_plan.EXACT] = exact
    for source in range(_plan.NUM_SOURCES + 2):
        plan[_plan.SOURCES_AT + source] = sum(each.source < source for each in passes)
    return Frozen(
        _read_only(np.concatenate([plan, np.array([*fields, *embeddings], np.int64), *tables])),
        _read_only(np.array(displacements, np.int32)),
        tuple(_defaults(layout, tensor, width) for tensor, width in widths.items()),
        _plan.scratch_size(len(passes)),
    )


def _passes(layout: Layout, features: FeatureMap, widths: Mapping[int, int]) -> list[_Pass]:
    """Sort the places by source and tensor; a second column of one feature in one tensor needs another pass."""
    sorted_places: dict[tuple[Source, int, int], dict[int, int]] = {}
    for (source, feature_id), places in features.columns.items():
        for place in places:
            if not 0 <= place.column < widths.get(place.tensor, 0):
                continue
            size = numpy_dtype(layout.tensors[place.tensor].dtype).itemsize
            turn = 0
            while feature_id in sorted_places.setdefault((source, place.tensor, turn), {}):
                turn += 1
            sorted_places[source, place.tensor, turn][feature_id] = size * place.column
    return [
        _Pass(source, tensor, layout.tensors[tensor].dtype, places)
        for (source, tensor, _), places in sorted_places.items()
    ]


def _table(places: Mapping[int, int], hashed: PerfectHash) -> Int64Array:
    """Return the slots: each id and its place; in the others an id that is looked for elsewhere."""
    table = np.zeros((1 << hashed.slot_bits, 2), np.int64)
    for slot in {hashed.slot(0)}.difference(hashed.slots):
        table[slot, 0] = next(key for key in range(1, 2**20) if hashed.slot(key) != slot)
    for slot, (feature_id, offset) in zip(hashed.slots, places.items(), strict=True):
        table[slot] = feature_id, offset
    return table.ravel()


def _embeddings(
    layout: Layout, features: FeatureMap, widths: Mapping[int, int], numbers: Mapping[int, int]
) -> list[int]:
    fields: list[int] = []
    for tensor, feature_id in features.embeddings.items():
        if tensor in widths:
            dtype = _DTYPES[layout.tensors[tensor].dtype]
            fields += [feature_id, numbers[tensor], widths[tensor], dtype]
    return fields


def _defaults(layout: Layout, tensor: int, width: int) -> Array:
    each = layout.tensors[tensor]
    row: Array = _read_only(np.full((1, width), each.default, numpy_dtype(each.dtype)))
    return row


def _one(dtype: DType) -> int:
    """Return the bits of 1 in an element type."""
    return int.from_bytes(np.ones(1, numpy_dtype(dtype)).tobytes(), "little")


def _signed(bits: int) -> int:
    return bits - 2**64 if bits >= 2**63 else bits


def _read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array
