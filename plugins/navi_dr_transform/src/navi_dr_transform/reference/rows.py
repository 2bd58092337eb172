"""The reference itself: records laid into rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from navi_core import Array, numpy_dtype
from navi_dr_transform import wire
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import Layout, Source
from navi_dr_transform.reference.protocol import Stop
from navi_dr_transform.reference.records import Record, RecordReader
from navi_dr_transform.reference.tensors import Tensor

__all__ = ["Reference"]


class Reference:
    """Decodes requests by the book; its arguments are those of ``decoder.Decoder``."""

    def __init__(
        self,
        layout: Layout,
        features: FeatureMap,
        widths: Mapping[int, int],
        *,
        exact: bool = False,
        form: int = wire.BATCH,
    ) -> None:
        self.layout = layout
        self.features = features
        self.widths = {tensor: width for tensor, width in widths.items() if width > 0}
        self.exact = exact
        self.form = form
        self.embedding_widths: dict[int, list[int]] = {}
        for tensor, feature_id in features.embeddings.items():
            if tensor in self.widths:
                self.embedding_widths.setdefault(feature_id, []).append(self.widths[tensor])

    def reader(self, payload: bytes, offset: int) -> RecordReader:
        """Return a reader of a payload from an offset on."""
        return RecordReader(payload, offset, self.embedding_widths, exact=self.exact)

    def measure(self, payload: bytes) -> tuple[int, int, int, int, int]:
        """Read every length of a request; see ``_kernels.measure``."""
        reader = self.reader(payload, 0)
        num_records = records = common = -1
        try:
            if self.form == wire.RECORD:
                reader.record()
                return wire.OK, reader.offset, 1, 0, -1
            while True:
                start, wire_type, field_id = reader.next_field()
                if wire_type == wire.STOP:
                    if records < 0:
                        return wire.MISSING_FIELD, start, 0, 0, 0
                    return wire.OK, reader.offset, num_records, records, common
                if field_id == wire.REQUEST_RECORDS:
                    if wire_type != (wire.LIST if self.form == wire.BATCH else wire.STRUCT):
                        return wire.WRONG_TYPE, start, 0, 0, 0
                    num_records = reader.header([wire.STRUCT])[0] if self.form == wire.BATCH else 1
                    records = reader.offset
                    for _ in range(num_records):
                        reader.record()
                elif field_id == wire.REQUEST_COMMON and self.form == wire.BATCH:
                    if wire_type != wire.STRUCT:
                        return wire.WRONG_TYPE, start, 0, 0, 0
                    common = reader.offset
                    reader.record()
                else:
                    reader.skip(wire_type)
        except Stop as stop:
            return *stop.answer, 0, 0, 0

    def fill(self, payload: bytes) -> tuple[int, dict[int, Array]]:
        """Return the byte after a well-formed request's last record, and its rows by tensor."""
        status, _, num_records, records, common = self.measure(payload)
        if status != wire.OK:
            raise ValueError(wire.STATUS_TEXTS[status])
        out = {
            tensor: np.full(
                (num_records, width),
                self.layout.tensors[tensor].default,
                numpy_dtype(self.layout.tensors[tensor].dtype),
            )
            for tensor, width in self.widths.items()
        }
        with np.errstate(over="ignore", invalid="ignore"):  # a double beyond float32 becomes an infinity
            if common >= 0:
                shared = self.reader(payload, common).record()
                for row in range(num_records):
                    self.lay(shared, out, row)
            reader = self.reader(payload, records)
            for row in range(num_records):
                self.lay(reader.record(), out, row)
        return reader.offset, out

    def lay(self, record: Record, out: Mapping[int, Array], row: int) -> None:
        """Lay a record over a row."""
        for _, (source, pairs) in sorted(record.fields.items()):
            for feature_id, value in pairs:
                if source is Source.TENSOR:
                    self.lay_tensor(feature_id, value, out, row)
                    continue
                places = self.features.columns.get((source, feature_id), ())
                if isinstance(value, list):
                    self.lay_sparse(places, dict(value), out, row)
                else:
                    for place in places:
                        self.set(out, row, place, value)

    def set(self, out: Mapping[int, Array], row: int, place: Place, value: Any) -> None:
        """Write a value into its column, if there is one."""
        if 0 <= place.column < self.widths.get(place.tensor, 0):
            out[place.tensor][row, place.column] = _as(out[place.tensor].dtype, value)

    def lay_sparse(
        self, places: Sequence[Place], values: Mapping[bytes, Any], out: Mapping[int, Array], row: int
    ) -> None:
        """Lay a sparse feature over a row: it takes the place of a common one as a whole."""
        for place in places:
            default = self.layout.tensors[place.tensor].default
            if 0 <= place.column < self.widths.get(place.tensor, 0):
                out[place.tensor][row, place.column] = default
        for category, value in values.items():
            for place in places:
                if place.category == category:
                    self.set(out, row, place, value)

    def lay_tensor(self, feature_id: int, tensor: Tensor, out: Mapping[int, Array], row: int) -> None:
        """Lay a tensor over the rows that it is for."""
        for number, embedding_id in self.features.embeddings.items():
            if embedding_id == feature_id and number in self.widths:
                target = out[number]
                values = tensor.values or []
                for column in range(target.shape[1]):
                    target[row, column] = (
                        _as(target.dtype, values[column]) if tensor.values is not None else 0
                    )


def _as(dtype: np.dtype[Any], value: Any) -> Any:
    """Make a number one of a tensor's type."""
    if dtype.kind == "O":
        return value
    if dtype.kind == "b":
        return bool(value)
    if dtype.kind == "f":
        return dtype.type(np.float64(value))
    bits = 8 * dtype.itemsize
    if isinstance(value, float):
        whole = math.trunc(value) if math.isfinite(value) else 0
        return whole if -(2 ** (bits - 1)) <= whole < 2 ** (bits - 1) else 0
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1) if dtype.kind == "i" else value
