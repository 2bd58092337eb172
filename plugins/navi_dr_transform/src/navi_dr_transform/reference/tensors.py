"""The reference's reader of tensor.thrift."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from navi_dr_transform import wire
from navi_dr_transform.reference.protocol import ProtocolReader, Stop

__all__ = ["Tensor", "TensorReader"]

# typed tensors: wire type of the elements, and their struct code where they are numbers
_TYPED: Final[dict[int, tuple[int, str]]] = {
    wire.TENSOR_STRING: (wire.STRING, ""),
    wire.TENSOR_INT32: (wire.I32, ">i"),
    wire.TENSOR_INT64: (wire.I64, ">q"),
    wire.TENSOR_FLOAT: (wire.DOUBLE, ">d"),
    wire.TENSOR_DOUBLE: (wire.DOUBLE, ">d"),
    wire.TENSOR_BOOL: (wire.BOOL, ""),
    wire.TENSOR_BINARY: (wire.STRING, ""),
}
_RAW: Final = {
    wire.RAW_FLOAT: "<f",
    wire.RAW_DOUBLE: "<d",
    wire.RAW_INT32: "<i",
    wire.RAW_INT64: "<q",
    wire.RAW_UINT8: "<B",
}


@dataclass
class Tensor:
    """Elements (None: what becomes zeros), and where the first one begins."""

    values: list[Any] | None
    offset: int


class TensorReader(ProtocolReader):
    """Reads tensors and compares them with the layout's."""

    def __init__(
        self, payload: bytes, offset: int, widths: Mapping[int, Sequence[int]], *, exact: bool
    ) -> None:
        super().__init__(payload, offset)
        self.widths = widths  # feature id -> columns of the tensors that have it
        self.exact = exact

    def rest(self, start: int, wire_type: int, *, is_shape: bool) -> None:
        """Pass over a field that has no values."""
        if not is_shape:
            self.skip(wire_type)
        elif wire_type != wire.LIST:
            raise Stop(wire.WRONG_TYPE, start)
        else:
            self.longs()

    def longs(self) -> list[int]:
        """Read a list of i64."""
        count, _ = self.header([wire.I64])
        return [self.take(">q") for _ in range(count)]

    def raw(self) -> Tensor:
        """Read a RawTypedTensor."""
        data_type: int | None = None
        content: bytes | None = None
        at = 0
        while True:
            start, wire_type, field_id = self.next_field()
            if wire_type == wire.STOP:
                break
            if field_id == wire.RAW_DATA_TYPE:
                if wire_type != wire.I32:
                    raise Stop(wire.WRONG_TYPE, start)
                data_type = self.take(">i")
            elif field_id == wire.RAW_CONTENT:
                if wire_type != wire.STRING:
                    raise Stop(wire.WRONG_TYPE, start)
                content = self.string()
                at = self.offset - len(content)
            else:
                self.rest(start, wire_type, is_shape=field_id == wire.RAW_SHAPE)
        if data_type is None or content is None:
            raise Stop(wire.MISSING_FIELD, start)
        code = _RAW.get(data_type)
        if code is None:
            return Tensor(None, at)
        if len(content) % struct.calcsize(code):
            raise Stop(wire.RAW_SIZE, at)
        return Tensor([value for (value,) in struct.iter_unpack(code, content)], at)

    def typed(self, member: int) -> Tensor:
        """Read a typed tensor."""
        element, code = _TYPED[member]
        tensor: Tensor | None = None
        while True:
            start, wire_type, field_id = self.next_field()
            if wire_type == wire.STOP:
                break
            if field_id == wire.VALUES:
                if wire_type != wire.LIST:
                    raise Stop(wire.WRONG_TYPE, start)
                count, _ = self.header([element])
                at = self.offset
                for _ in range(count):
                    self.skip(element)
                tensor = Tensor(None, at)
                if code:
                    data = self.payload[at : self.offset]
                    tensor.values = [value for (value,) in struct.iter_unpack(code, data)]
            else:
                self.rest(start, wire_type, is_shape=field_id == wire.SHAPE)
        if tensor is None:
            raise Stop(wire.MISSING_FIELD, start)
        return tensor

    def tensor(self) -> Tensor:
        """Read a GeneralTensor."""
        tensor: Tensor | None = None
        while True:
            start, wire_type, member = self.next_field()
            if wire_type == wire.STOP:
                break
            if tensor is not None or member not in {wire.TENSOR_RAW, *_TYPED}:
                raise Stop(wire.NOT_ONE_MEMBER, start)
            if wire_type != wire.STRUCT:
                raise Stop(wire.WRONG_TYPE, start)
            tensor = self.raw() if member == wire.TENSOR_RAW else self.typed(member)
        if tensor is None:
            raise Stop(wire.NOT_ONE_MEMBER, start)
        return tensor

    def embedding(self, feature_id: int) -> Tensor:
        """Read a tensor; refuse one of the wrong length."""
        tensor = self.tensor()
        if tensor.values is not None:
            self.check_length(feature_id, len(tensor.values), tensor.offset)
        return tensor

    def check_length(self, feature_id: int, length: int, at: int) -> None:
        """Compare a length with every tensor that has this id."""
        for width in self.widths.get(feature_id, ()):
            self.check_width(length, width, at)

    def check_width(self, length: int, width: int, at: int) -> None:
        """Compare a length with a tensor's width."""
        if length < width:
            raise Stop(wire.EMBEDDING_SHORT, at)
        if self.exact and length > width:
            raise Stop(wire.EMBEDDING_LONG, at)

    def sparse_tensor(self, feature_id: int) -> Tensor:
        """Read a COO tensor as the elements of the dense one, as many as a tensor of the layout takes."""
        tensor: Tensor | None = None
        while True:
            start, wire_type, member = self.next_field()
            if wire_type == wire.STOP:
                break
            if tensor is not None or member != wire.SPARSE_COO:
                raise Stop(wire.NOT_ONE_MEMBER, start)
            if wire_type != wire.STRUCT:
                raise Stop(wire.WRONG_TYPE, start)
            tensor, check = self.coo(feature_id)
        if tensor is None:
            raise Stop(wire.NOT_ONE_MEMBER, start)
        check()
        return tensor

    def coo(self, feature_id: int) -> tuple[Tensor, Any]:
        """Read a COOSparseTensor, and return what checks it."""
        shape: list[int] | None = None
        indices: Tensor | None = None
        values: Tensor | None = None
        shape_at = 0
        while True:
            start, wire_type, field_id = self.next_field()
            if wire_type == wire.STOP:
                break
            expected = {
                wire.COO_SHAPE: wire.LIST,
                wire.COO_INDICES: wire.STRUCT,
                wire.COO_VALUES: wire.STRUCT,
            }
            if field_id not in expected:
                self.skip(wire_type)
            elif wire_type != expected[field_id]:
                raise Stop(wire.WRONG_TYPE, start)
            elif field_id == wire.COO_SHAPE:
                shape_at = self.offset + wire.LIST_HEADER_BYTES
                shape = self.longs()
            elif field_id == wire.COO_INDICES:
                indices = self.typed(wire.TENSOR_INT64)
            else:
                values = self.tensor()
        if shape is None or indices is None or values is None:
            raise Stop(wire.MISSING_FIELD, start)
        dense = Tensor(None, shape_at)

        def check() -> None:
            if values.values is None:
                return
            for width in self.widths.get(feature_id, ()):
                length = 1
                for dimension, extent in enumerate(shape):
                    length *= extent
                    if not 0 <= extent <= wire.MAX_DENSE or length > wire.MAX_DENSE:
                        raise Stop(wire.SPARSE_SHAPE, shape_at + 8 * dimension)
                self.check_width(length, width, shape_at)
                places = indices.values or []
                if len(places) != len(shape) * len(values.values):
                    raise Stop(wire.SPARSE_INDICES, indices.offset)
                for index, place in enumerate(places):
                    if not 0 <= place < shape[index % len(shape)]:
                        raise Stop(wire.SPARSE_INDICES, indices.offset + 8 * index)
                dense.values = dense.values or [0] * width
                dense.values += [0] * (width - len(dense.values))
                rank = len(shape)
                for index, value in enumerate(values.values):
                    flat = 0
                    for place, extent in zip(places[index * rank : (index + 1) * rank], shape, strict=True):
                        flat = flat * extent + int(place)
                    if flat < len(dense.values):
                        dense.values[flat] = value

        return dense, check
