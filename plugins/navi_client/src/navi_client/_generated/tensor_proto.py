# Copied from navi_core/wire/tensor_proto.py by tools/build_wire_copies.py; not edited by hand.
"""TensorProto <-> ndarray.

Two decoders that must agree. `decode_tensor` walks the serialized message and makes the array a view
of the body, for messages written the plain way (type, shape, then one fixed-width run of values):
floats from any client and every numeric ``tensor_content``. Whatever it does not take, it leaves to
protobuf's own parser and `array_of_message`, which knows every encoding. A tensor's size
is checked before memory is taken for it.

Rules of the format (TensorFlow's ``Tensor::FromProto``): ``tensor_content`` wins where it is not
empty and must have exactly the tensor's size; else the first values of the type's own field are
taken, the last one repeated where they are too few, zeros where there are none.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from navi_client.errors import DecodeError
from navi_client._generated.tensors import DType, dtype_of, string_items
from navi_client.types import Array, Bytes
from navi_client._generated import tf_serving
from navi_client._generated.descriptors import parse_message
from navi_client._generated.tensor_view import MAX_RANK, find_run, view_tensor
from navi_client._generated.tf_dtypes import BY_NUMBER, TF_TYPES, TfType
from navi_client._generated.varints import count_varints, decode_varints, encode_varints

if TYPE_CHECKING:
    from navi_client._generated.tf_serving import TensorProto

__all__ = [
    "DEFAULT_MAX_TENSOR_BYTES",
    "array_of_message",
    "decode_tensor",
    "encode_tensor",
    "fixed_head",
    "makes_arrays",
    "varint",
]

DEFAULT_MAX_TENSOR_BYTES: Final = 2**31 - 1
"""The largest tensor taken unless the caller says otherwise: what fits one protobuf message."""

_POINTER_BYTES: Final = 8

_SMALL: Final = 64
"""Up to so many values, a list is a faster way from protobuf to NumPy than the buffer protocol."""

VIEW_FROM_BYTES: Final = 1 << 16
"""Values of at least so many bytes are encoded as a view of the array; fewer are faster copied."""

_IS_LITTLE: Final = sys.byteorder == "little"

_FEW: Final = 512
"""Up to so many integers, protobuf encodes them faster than NumPy does."""

_MANY_BYTES: Final = 2048
"""Runs of integers of so many bytes and more are decoded faster by NumPy than by a protobuf that makes no arrays."""


def _key(field_number: int) -> bytes:
    """Return a length-delimited field's tag."""
    return varint(field_number << 3 | 2)


def varint(value: int) -> bytes:
    """Encode an unsigned integer as a base-128 varint."""
    if value < 0x80:
        return value.to_bytes(1, "little")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_VALUE_KEYS: Final = {kind.dtype: _key(kind.field_number) for kind in TF_TYPES.values()}
_CONTENT_KEY: Final = _key(4)
_BY_NUMPY: Final = {kind.numpy: kind for kind in TF_TYPES.values()}


# --- decoding -----------------------------------------------------------------------------------


def decode_tensor(
    body: Bytes,
    start: int,
    end: int,
    *,
    name: str,
    max_tensor_bytes: int = DEFAULT_MAX_TENSOR_BYTES,
) -> Array:
    """Decode one serialized TensorProto.

    Parameters
    ----------
    body
        What holds it; views of it are made where the encoding allows.
    start, end
        Where in ``body`` it lies, in bytes.
    name
        The tensor's name, for errors.
    max_tensor_bytes
        The largest array that may come of it.

    Returns
    -------
    array
        Read-only where it is a view (then perhaps unaligned). Strings: object array of ``bytes``.

    Raises
    ------
    DecodeError
        The bytes are no TensorProto, its type is not one that navi carries, its shape is not a
        tensor's, it is too large, or its content has the wrong length.
    """
    array = view_tensor(body, start, end, max_tensor_bytes)
    if array is None and end - start >= _MANY_BYTES and not makes_arrays():
        array = _integers(body, start, end, max_tensor_bytes)
    if array is not None:
        return array
    message = parse_message(tf_serving.TensorProto, memoryview(body)[start:end], tensor=name)
    return array_of_message(message, name=name, max_tensor_bytes=max_tensor_bytes)


@cache
def makes_arrays() -> bool:
    """Tell whether protobuf makes arrays of repeated fields by itself, as it does from 7.34 on: nothing is quicker."""
    return hasattr(tf_serving.TensorProto().int64_val, "__array__")


def _integers(body: Bytes, start: int, end: int, max_tensor_bytes: int) -> Array | None:
    """Decode a packed run of as many integers as the tensor has; None where there is none, or something is wrong."""
    run = find_run(body, start, end)
    if run is None or run.is_content or run.kind.fixed:
        return None
    dtype, count = run.kind.numpy, math.prod(run.shape)
    if run.size_bytes < count or count * dtype.itemsize > max_tensor_bytes:
        return None
    data = bytes(body[run.start : run.start + run.size_bytes])
    try:
        if count_varints(data) != count:
            return None
        values: Array = decode_varints(data, exact=True)
    except DecodeError:
        return None
    if dtype.kind == "b":
        values = values != 0
    elif run.kind.field == "half_val":
        values = values.astype(np.uint16).view(dtype)
    return values.astype(dtype, copy=False).reshape(run.shape)


def array_of_message(
    message: TensorProto, *, name: str, max_tensor_bytes: int = DEFAULT_MAX_TENSOR_BYTES
) -> Array:
    """Return the array that a parsed TensorProto describes, whatever encoding it uses.

    Parameters
    ----------
    message
        The message.
    name, max_tensor_bytes
        See `decode_tensor`.

    Returns
    -------
    array
        See `decode_tensor`.

    Raises
    ------
    DecodeError
        See `decode_tensor`.
    """
    kind = BY_NUMBER.get(message.dtype)
    if kind is None:
        raise DecodeError(
            f"output '{name}': expected a supported dtype, got DataType {message.dtype}", tensor=name
        )
    shape, num_elements = _shape_of(message, kind, name, max_tensor_bytes)
    content = message.tensor_content
    if not num_elements:
        return np.empty(shape, dtype=kind.numpy)
    if content:
        return _from_content(content, kind, num_elements, name).reshape(shape)
    values = getattr(message, kind.field)
    if kind.dtype is DType.STRING:
        return _filled(_objects(values[:num_elements]), num_elements, kind, b"").reshape(shape)
    lanes = num_elements * (2 if kind.numpy.kind == "c" else 1)
    found = _elements(_lane_values(values, kind, lanes), kind)
    return _filled(found, num_elements, kind, 0).reshape(shape)


def _shape_of(
    message: TensorProto, kind: TfType, name: str, max_tensor_bytes: int
) -> tuple[tuple[int, ...], int]:
    """Check a shape before memory is taken for it; return it with its number of elements."""
    described = message.tensor_shape
    if described.unknown_rank:
        raise DecodeError(f"output '{name}': expected a known shape, got unknown_rank", tensor=name)
    dims = described.dim
    if len(dims) > MAX_RANK:
        raise DecodeError(
            f"output '{name}': expected at most {MAX_RANK} dimensions, got {len(dims)}", tensor=name
        )
    shape = tuple([dim.size for dim in dims])
    if shape and min(shape) < 0:
        index = next(index for index, size in enumerate(shape) if size < 0)
        raise DecodeError(
            f"output '{name}': expected a size >= 0, got {shape[index]} in dimension {index}", tensor=name
        )
    element_bytes = _POINTER_BYTES if kind.dtype is DType.STRING else kind.numpy.itemsize
    # Python's integers do not overflow. Zeros are left out: NumPy refuses (0, 2**62) like (2**62,).
    num_elements = math.prod(shape)
    spanned = num_elements or math.prod([size for size in shape if size])
    if spanned * element_bytes > max_tensor_bytes:
        raise DecodeError(
            f"output '{name}': expected at most {max_tensor_bytes} bytes, got shape {list(shape)} of {kind.name}",
            tensor=name,
        )
    return shape, num_elements


def _from_content(content: bytes, kind: TfType, num_elements: int, name: str) -> Array:
    if kind.dtype is DType.STRING:
        return _strings_of_content(content, num_elements, name)
    dtype = kind.numpy
    if len(content) != num_elements * dtype.itemsize:
        raise DecodeError(
            f"output '{name}': tensor_content: expected {num_elements * dtype.itemsize} bytes, got {len(content)}",
            tensor=name,
        )
    if dtype.kind == "b" and max(content) > 1:
        raise DecodeError(
            f"output '{name}': tensor_content: expected bools of 0 and 1, got {max(content)}", tensor=name
        )
    return np.frombuffer(content, dtype)


def _strings_of_content(content: bytes, num_elements: int, name: str) -> Array:
    """Decode N varint lengths followed by the N strings, back to back."""
    lengths: list[int] = []
    pos = 0
    for _ in range(num_elements):
        length = shift = 0
        while True:
            if pos >= len(content) or shift > 63:
                raise DecodeError(
                    f"output '{name}': tensor_content: expected {num_elements} string lengths, got {len(lengths)}",
                    tensor=name,
                    offset=pos,
                )
            byte = content[pos]
            pos += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        lengths.append(length)
    if pos + sum(lengths) != len(content):
        raise DecodeError(
            f"output '{name}': tensor_content: expected {pos + sum(lengths)} bytes, got {len(content)}",
            tensor=name,
            offset=pos,
        )
    strings = []
    for length in lengths:
        strings.append(content[pos : pos + length])
        pos += length
    return _objects(strings)


def _objects(strings: Sequence[bytes]) -> Array:
    out = np.empty(len(strings), dtype=object)
    out[:] = strings
    return out


def _lane_values(values: Any, kind: TfType, lanes: int) -> Array:
    """Return at most ``lanes`` values of a repeated field, as it holds them."""
    if isinstance(values, bytes):  # float8_val
        return np.frombuffer(values[:lanes], np.uint8)
    if len(values) > lanes or len(values) <= _SMALL:
        values = values[:lanes]
    if isinstance(values, list) and len(values) <= _SMALL:
        return np.array(values, dtype=kind.lane)
    if hasattr(values, "__array__"):  # protobuf 7.34 and later
        return np.asarray(values)
    return np.fromiter(values, dtype=kind.lane, count=len(values))


def _elements(lane: Array, kind: TfType) -> Array:
    """Turn a field's values into elements; narrow integers and 16-bit floats keep their low bits."""
    dtype = kind.numpy
    if dtype.kind == "c":
        return np.ascontiguousarray(lane[: lane.size // 2 * 2]).view(dtype)
    if kind.field == "half_val":
        return lane.astype(np.uint16).view(dtype)
    if kind.field == "float8_val":
        return lane.view(dtype)
    return lane.astype(dtype, copy=False)


def _filled(values: Array, num_elements: int, kind: TfType, nothing: Any) -> Array:
    """Repeat the last value (or ``nothing``) until there are enough."""
    if len(values) == num_elements:
        return values
    out = np.empty(num_elements, dtype=kind.numpy)
    out[: len(values)] = values
    out[len(values) :] = values[-1] if len(values) else nothing
    return out


# --- encoding -----------------------------------------------------------------------------------


def encode_tensor(array: Array, *, as_content: bool = False) -> list[Bytes]:
    """Encode an array as a serialized TensorProto.

    Parameters
    ----------
    array
        Any shape and any dtype that navi carries; strings as object, ``S`` or ``U``.
    as_content
        Write ``tensor_content`` instead of the type's own field.

    Returns
    -------
    pieces
        The message in pieces, the values last. The shape is always written, every value too. The
        values may be a view of ``array``, which must not change until they are written.

    Raises
    ------
    TypeError
        A dtype that navi does not carry, or an item of an object array that is no string.
    """
    kind = _BY_NUMPY.get(array.dtype) or TF_TYPES[dtype_of(array)]
    head = _head(kind.number, array.shape)
    if not array.size:
        return [head]
    if kind.dtype is DType.STRING:
        strings = string_items(array)
        if as_content:
            return [head, *_delimited(_CONTENT_KEY, _string_content(strings))]
        return [head, tf_serving.TensorProto(string_val=strings).SerializeToString()]
    if as_content or kind.fixed:
        return [head, *_delimited(_CONTENT_KEY if as_content else _VALUE_KEYS[kind.dtype], _memory(array))]
    if kind.dtype is DType.BOOL:  # a packed run of bools is one byte each
        return [head, *_delimited(_VALUE_KEYS[kind.dtype], _memory(array))]
    numbers = _native(array).view(np.uint16) if kind.field == "half_val" else array
    if numbers.size <= _FEW:
        message = tf_serving.TensorProto()
        getattr(message, kind.field).extend(numbers.ravel().tolist())
        return [head, message.SerializeToString()]
    return [head, *_delimited(_VALUE_KEYS[kind.dtype], encode_varints(_native(numbers)))]


def _native(array: Array) -> Array:
    """Return an array flat, row-major and in this machine's byte order."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(-1)


def fixed_head(dtype: np.dtype, shape: tuple[int, ...], *, as_content: bool) -> bytes | None:
    """Return a message up to its values, where they are the bytes of a row-major array; None: they are not.

    Parameters
    ----------
    dtype, shape
        The array's.
    as_content
        See `encode_tensor`.
    """
    kind = _BY_NUMPY.get(dtype)
    size_bytes = math.prod(shape) * dtype.itemsize
    if kind is None or not size_bytes or kind.dtype is DType.STRING or not (_IS_LITTLE and dtype.isnative):
        return None
    if not as_content and not kind.fixed and kind.dtype is not DType.BOOL:
        return None
    key = _CONTENT_KEY if as_content else _VALUE_KEYS[kind.dtype]
    return _head(kind.number, shape) + key + varint(size_bytes)


@lru_cache(maxsize=1024)
def _head(number: int, shape: tuple[int, ...]) -> bytes:
    """Return the encoded type and shape."""
    dims = []
    for size in shape:
        dim = b"\x08" + varint(size) if size else b""
        dims.append(b"\x12" + varint(len(dim)) + dim)
    joined = b"".join(dims)
    return b"\x08" + varint(number) + b"\x12" + varint(len(joined)) + joined


def _delimited(key: bytes, data: Bytes) -> list[Bytes]:
    return [key + varint(len(data)), data]


def _memory(array: Array) -> Bytes:
    """Return the array's bytes, little-endian and row-major; a large array's as a view, where it lies so."""
    little = array if _IS_LITTLE and array.dtype.isnative else array.astype(array.dtype.newbyteorder("<"))
    if array.nbytes < VIEW_FROM_BYTES:
        return little.tobytes()
    return np.ascontiguousarray(little).reshape(-1).view(np.uint8).data


def _string_content(strings: Sequence[bytes]) -> bytes:
    return b"".join([*(varint(len(item)) for item in strings), *strings])
