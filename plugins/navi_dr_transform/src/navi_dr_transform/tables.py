"""The frozen form of a layout, which kernels read: plain arrays (``_plan``), built once for a model."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from navi_core import Array, DType, numpy_dtype
from navi_dr_transform import _plan, wire
from navi_dr_transform.feature_map import FeatureMap
from navi_dr_transform.layout import SPARSE, Layout, Source
from navi_dr_transform.perfect_hash import perfect_hash

__all__ = [
    "NUM_COUNTERS",
    "Counter",
    "Frozen",
    "Int64Array",
    "freeze",
    "row_dtype",
]

Int64Array: TypeAlias = NDArray[np.int64]

_BITS: Final = 2**64 - 1

_DTYPES: Final[Mapping[DType, int]] = {
    DType.FLOAT32: _plan.F32,
    DType.FLOAT64: _plan.F64,
    DType.INT64: _plan.I64,
    DType.INT32: _plan.I32,
    DType.UINT8: _plan.U8,
    DType.BOOL: _plan.U8,
    DType.STRING: _plan.SPAN,
}
_SPAN: Final = np.dtype((np.int64, 2))
"""What kernels write for a string: offset in the payload and length."""

_NO_SPAN: Final = -1


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
    """The places that one part of a DataRecord has in one tensor: byte offsets in its row.

    By id; of sparse features by id and category.
    """

    source: Source
    tensor: int
    places: dict[tuple[int, bytes | None], int] = field(default_factory=dict)


class _Builder:
    """Puts tables one after the other into what becomes the plan and the displacements."""

    def __init__(self, first: int, scratch: int) -> None:
        self.elements: list[int] = [0] * first
        self.displacements: list[int] = []
        self.scratch_size = scratch

    def state(self, size: int) -> int:
        """Take elements of the scratch memory and return the first one's index."""
        at = self.scratch_size
        self.scratch_size += size
        return at

    def put(self, elements: Iterable[int]) -> int:
        """Append elements and return where the first one lies."""
        at = len(self.elements)
        self.elements.extend(elements)
        return at

    def table(self, entries: Mapping[int, int]) -> list[int]:
        """Append the perfect hash of ids and what they stand for; returns the fields by which it is searched."""
        hashed = perfect_hash(list(entries))
        slots = [0] * (2 << hashed.slot_bits)
        empty = hashed.slot(0)
        if empty not in hashed.slots:  # a slot that is not taken holds an id that is looked for elsewhere
            slots[2 * empty] = next(key for key in range(1, 2**20) if hashed.slot(key) != empty)
        for slot, (key, value) in zip(hashed.slots, entries.items(), strict=True):
            slots[2 * slot : 2 * slot + 2] = key, value
        buckets = len(self.displacements)
        self.displacements += [2 * displacement for displacement in hashed.displacements]
        return [
            self.put(slots),
            buckets,
            _signed(hashed.multiplier),
            64 - hashed.bucket_bits,
            63 - hashed.bucket_bits - hashed.slot_bits,  # one less: a slot is two elements
            ((1 << hashed.slot_bits) - 1) << 1,
        ]

    def sparse_tables(self, places: Mapping[tuple[int, bytes | None], int]) -> tuple[list[int], int, int]:
        """Append the tables of sparse features: by id to their columns, by id and category to one."""
        columns: dict[int, list[int]] = {}
        categories: dict[int, int] = {}
        for (feature_id, category), place in places.items():
            text = category or b""
            columns.setdefault(feature_id, []).append(place)
            key = _category_key(feature_id, text)
            if key in categories:
                msg = (
                    f"category {text!r} of feature {feature_id}: another one has the same hash; leave it out"
                )
                raise ValueError(msg)
            categories[key] = self.put([feature_id, place, len(text), *text])
        features = {
            feature_id: self.put([len(places), self.state(1), *places])
            for feature_id, places in columns.items()
        }
        longest = max(len(category or b"") for _, category in places)
        search = self.table(categories)
        return self.table(features), self.put([0] * _plan.TABLE + search), longest


def _category_key(feature_id: int, category: bytes) -> int:
    """Hash a category as ``_sparse.find_category`` does."""
    key = feature_id * wire.CATEGORY_SEED & _BITS
    for byte in category:
        key = (key ^ byte) * wire.CATEGORY_PRIME & _BITS
    return _signed(key)


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
    defaults = tuple(_default_row(layout, tensor, width) for tensor, width in widths.items())
    embedded = [index for index in features.embeddings if index in widths]
    embeddings_at = _plan.PASSES_AT + _plan.PASS_FIELDS * len(passes)
    passes_end = embeddings_at + _plan.EMBEDDING_FIELDS * len(embedded)
    builder = _Builder(passes_end, _plan.programs_end(len(passes)))
    embeddings: list[int] = []
    for tensor in embedded:
        dtype = _DTYPES[layout.tensors[tensor].dtype]
        state = builder.state(_plan.EMBEDDING_STATE_FIELDS)
        embeddings += [features.embeddings[tensor], numbers[tensor], widths[tensor], dtype, state]
    fields: list[int] = []
    for each in passes:
        categories = longest = 0
        if each.source in SPARSE:
            search, categories, longest = builder.sparse_tables(each.places)
        else:
            search = builder.table({feature_id: place for (feature_id, _), place in each.places.items()})
        default = defaults[numbers[each.tensor]]
        fields += [
            numbers[each.tensor],
            _DTYPES[layout.tensors[each.tensor].dtype],
            _bits(np.ones(1, default.dtype)),
            *search,
            _bits(default[0, :1]),
            categories,
            longest,
        ]
    plan = np.array(builder.elements, np.int64)
    plan[_plan.NUM_TENSORS] = len(widths)
    plan[_plan.NUM_EMBEDDINGS] = len(embedded)
    plan[_plan.EMBEDDINGS_AT] = embeddings_at
    plan[_plan.EXACT] = exact
    for source in range(_plan.NUM_SOURCES + 2):
        plan[_plan.SOURCES_AT + source] = sum(each.source < source for each in passes)
    plan[_plan.PASSES_AT : embeddings_at] = fields
    plan[embeddings_at:passes_end] = embeddings
    return Frozen(
        _read_only(plan),
        _read_only(np.array(builder.displacements, np.int32)),
        defaults,
        builder.scratch_size,
    )


def _passes(layout: Layout, features: FeatureMap, widths: Mapping[int, int]) -> list[_Pass]:
    """Sort the places by source and tensor; a second column of one feature in one tensor needs another pass."""
    passes: dict[tuple[Source, int, int], _Pass] = {}
    for (source, feature_id), places in features.columns.items():
        for place in places:
            if not 0 <= place.column < widths.get(place.tensor, 0):
                continue
            if source in SPARSE and place.category is None:
                continue
            key = (feature_id, place.category)
            turn = 0
            while key in passes.setdefault((source, place.tensor, turn), _Pass(source, place.tensor)).places:
                turn += 1
            size = row_dtype(layout, place.tensor).itemsize
            passes[source, place.tensor, turn].places[key] = size * place.column
    return list(passes.values())


def row_dtype(layout: Layout, tensor: int) -> np.dtype[Any]:
    """Return what kernels write for an element of a tensor: itself, or a string's span."""
    dtype = layout.tensors[tensor].dtype
    return _SPAN if dtype is DType.STRING else numpy_dtype(dtype)


def _default_row(layout: Layout, tensor: int, width: int) -> Array:
    """Return the row of a tensor as kernels write it where nothing came."""
    dtype = row_dtype(layout, tensor)
    default = _NO_SPAN if dtype is _SPAN else layout.tensors[tensor].default
    row: Array = _read_only(
        np.full((1, width * (dtype.itemsize // dtype.base.itemsize)), default, dtype.base)
    )
    return row


def _bits(element: Array) -> int:
    """Return the bits of one element as a machine integer."""
    return int.from_bytes(element.tobytes(), sys.byteorder, signed=True)


def _signed(bits: int) -> int:
    return bits - 2**64 if bits >= 2**63 else bits


def _read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array
