"""What ``_memory`` is when kernels are compiled: intrinsics of one or two machine instructions. No bound is checked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from navi_dr_transform._accelerate import INT, INTS, OBJECT, PAYLOAD, SCRATCH, types

__all__ = [
    "copy_row",
    "get",
    "num_rows_of",
    "prefetch",
    "put",
    "read_f32",
    "read_f64",
    "read_i16",
    "read_i32",
    "read_i64",
    "read_raw_f32",
    "read_raw_f64",
    "read_raw_i32",
    "read_raw_i64",
    "read_u8",
    "row_bytes_of",
    "row_of",
    "rows_of",
    "set_row",
    "shift_right",
    "wrapping_multiply",
    "write_f32",
    "write_f32_if",
    "write_f64",
    "write_i32",
    "write_i64",
    "write_i64_if",
    "write_u8",
]

ROW_FIELDS: Final = 3  # address, bytes of a row, number of rows


def _data(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    make: Any = cgutils.create_struct_proxy
    return make(kind)(context, builder, value).data


def _load(bits: int, byteorder: str, result: Any) -> Any:
    """Make an intrinsic that reads one number of ``bits`` from a payload at an offset."""

    def read(_context: Any, _payload: Any, _offset: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.gep(_data(context, builder, signature.args[0], arguments[0]), [arguments[1]])
            raw = builder.load(builder.bitcast(pointer, ir.IntType(bits).as_pointer()))
            raw.align = 1
            value = builder.bswap(raw) if bits > 8 and byteorder != sys.byteorder else raw
            if isinstance(result, types.Float):
                return builder.bitcast(value, ir.DoubleType() if bits == 64 else ir.FloatType())
            if bits == 64:
                return value
            widen = builder.sext if bits > 8 else builder.zext
            return widen(value, ir.IntType(64))

        return result(PAYLOAD, INT), generate

    return intrinsic(read)


def _store(target: Any, value_type: Any) -> tuple[Any, Any]:
    """Make two intrinsics that write a number into a row: always, and where a condition holds.

    The second has no branch: what is not wanted goes to the scratch memory.
    """
    byte = ir.IntType(8)

    def emit(builder: Any, pointer: Any, value: Any) -> None:
        if value.type != target:
            value = (
                builder.fptrunc(value, target) if target == ir.FloatType() else builder.trunc(value, target)
            )
        builder.store(value, builder.bitcast(pointer, target.as_pointer())).align = 1

    def place(builder: Any, row: Any, offset: Any) -> Any:
        return builder.gep(builder.inttoptr(row, byte.as_pointer()), [offset])

    def write(_context: Any, _row: Any, _offset: Any, _value: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            row, offset, value = arguments
            emit(builder, place(builder, row, offset), value)
            return context.get_dummy_value()

        return types.void(INT, INT, value_type), generate

    def write_if(_context: Any, _wanted: Any, _row: Any, _offset: Any, _value: Any, _scratch: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            wanted, row, offset, value, scratch = arguments
            aside = builder.bitcast(_data(context, builder, signature.args[4], scratch), byte.as_pointer())
            emit(builder, builder.select(wanted, place(builder, row, offset), aside), value)
            return context.get_dummy_value()

        return types.void(types.boolean, INT, INT, value_type, SCRATCH), generate

    return intrinsic(write), intrinsic(write_if)


def _get(_context: Any, array: Any, _index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(
            builder.gep(_data(context, builder, signature.args[0], arguments[0]), [arguments[1]])
        )
        return value if value.type == ir.IntType(64) else builder.sext(value, ir.IntType(64))

    return types.int64(array, INT), generate


def _put(_context: Any, _array: Any, _index: Any, _value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, value = arguments
        builder.store(value, builder.gep(_data(context, builder, signature.args[0], array), [index]))
        return context.get_dummy_value()

    return types.void(SCRATCH, INT, INT), generate


def _wrapping_multiply(_context: Any, _left: Any, _right: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.mul(*arguments)

    return types.int64(INT, INT), generate


def _shift_right(_context: Any, _value: Any, _bits: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.lshr(*arguments)

    return types.int64(INT, INT), generate


def _copy_row(_context: Any, _target: Any, _source: Any, _size: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        target, source, size = arguments
        pointer = ir.IntType(8).as_pointer()
        copy: Any = cgutils.raw_memcpy  # untyped
        copy(builder, builder.inttoptr(target, pointer), builder.inttoptr(source, pointer), size, 1)
        return context.get_dummy_value()

    return types.void(INT, INT, INT), generate


def _prefetch(_context: Any, _row: Any, _offset: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        row, offset = arguments
        pointer = ir.IntType(8).as_pointer()
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        # to be written to, and soon; data, not code
        hints = [ir.Constant(word, hint) for hint in (1, 3, 1)]
        builder.call(function, [builder.inttoptr(builder.add(row, offset), pointer), *hints])
        return context.get_dummy_value()

    return types.void(INT, INT), generate


def _row_of(_context: Any, _rows: Any, _tensor: Any, _row: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, tensor, row = arguments
        data = _data(context, builder, signature.args[0], rows)
        first = builder.mul(tensor, ir.Constant(tensor.type, ROW_FIELDS))
        address = builder.load(builder.gep(data, [first]))
        row_bytes = builder.load(builder.gep(data, [builder.add(first, ir.Constant(tensor.type, 1))]))
        return builder.add(address, builder.mul(row, row_bytes))

    return types.int64(INTS, INT, INT), generate


def _set_row(_context: Any, _rows: Any, _tensor: Any, _arrays: Any, _row_bytes: Any, _num_rows: Any) -> Any:
    kind = types.Array(types.uint8, 2, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, tensor, arrays, row_bytes, num_rows = arguments
        python: Any = context.get_python_api(builder)
        array = context.make_array(kind)(context, builder)
        adapt = python.nrt_adapt_ndarray_from_python if context.enable_nrt else python.numba_array_adaptor
        adapt(python.list_getitem(arrays, tensor), builder.bitcast(array._getpointer(), python.voidptr))  # noqa: SLF001
        first = builder.mul(tensor, ir.Constant(tensor.type, ROW_FIELDS))
        data = _data(context, builder, signature.args[0], rows)
        for field, value in enumerate((builder.ptrtoint(array.data, tensor.type), row_bytes, num_rows)):
            builder.store(value, builder.gep(data, [builder.add(first, ir.Constant(tensor.type, field))]))
        if context.enable_nrt:
            context.nrt.decref(builder, kind, array._getvalue())  # noqa: SLF001
        return context.get_dummy_value()

    return types.void(SCRATCH, INT, OBJECT, INT, INT), generate


def _row_field(field: int) -> Any:
    """Make an intrinsic that answers what ``rows_of`` says about a tensor."""

    def read(_context: Any, _rows: Any, _tensor: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            rows, tensor = arguments
            at = builder.add(
                builder.mul(tensor, ir.Constant(tensor.type, ROW_FIELDS)), ir.Constant(tensor.type, field)
            )
            return builder.load(builder.gep(_data(context, builder, signature.args[0], rows), [at]))

        return types.int64(INTS, INT), generate

    return intrinsic(read)


def rows_of(arrays: Sequence[Any]) -> Any:
    fields: list[int] = []
    for array in arrays:
        num_rows, width = array.shape
        fields += (array.__array_interface__["data"][0], width * array.itemsize, num_rows)
    return np.array(fields, np.int64)


read_u8 = _load(8, "big", types.int64)
read_i16 = _load(16, "big", types.int64)
read_i32 = _load(32, "big", types.int64)
read_i64 = _load(64, "big", types.int64)
read_f32 = _load(32, "big", types.float32)
read_f64 = _load(64, "big", types.float64)
read_raw_i32 = _load(32, "little", types.int64)
read_raw_i64 = _load(64, "little", types.int64)
read_raw_f32 = _load(32, "little", types.float32)
read_raw_f64 = _load(64, "little", types.float64)
write_f32, write_f32_if = _store(ir.FloatType(), types.float64)
write_f64, _ = _store(ir.DoubleType(), types.float64)
write_i64, write_i64_if = _store(ir.IntType(64), types.int64)
write_i32, _ = _store(ir.IntType(32), types.int64)
write_u8, _ = _store(ir.IntType(8), types.int64)
get = intrinsic(_get)
put = intrinsic(_put)
wrapping_multiply = intrinsic(_wrapping_multiply)
shift_right = intrinsic(_shift_right)
copy_row = intrinsic(_copy_row)
row_of = intrinsic(_row_of)
prefetch = intrinsic(_prefetch)
set_row = intrinsic(_set_row)
row_bytes_of = _row_field(1)
num_rows_of = _row_field(2)
