"""Arrays to tensors and back, in place where that is safe.

Where torch's own conversion is not enough (torch 2.13):

* a read-only array makes ``torch.from_numpy`` warn: large ones are shown to torch as writable, which is fine
  since no method writes to them (those that do get a copy), small ones are cheaper to copy;
* unaligned, strided and byte-swapped arrays are copied;
* bfloat16 and float8 travel as integers of the same width;
* an output that is, or shares memory with, an input or something that the model keeps is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch

from navi_core import Array, DType, InferenceError, TensorMismatchError, numpy_dtype

__all__ = ["TORCH_DTYPES", "Encoder", "dtype_of_tensor", "encoder", "host_copy", "to_array"]

Encoder = Callable[[Array], Any]

TORCH_DTYPES: Final = {
    DType.BOOL: torch.bool,
    DType.INT8: torch.int8,
    DType.INT16: torch.int16,
    DType.INT32: torch.int32,
    DType.INT64: torch.int64,
    DType.UINT8: torch.uint8,
    DType.UINT16: torch.uint16,
    DType.UINT32: torch.uint32,
    DType.UINT64: torch.uint64,
    DType.FLOAT16: torch.float16,
    DType.BFLOAT16: torch.bfloat16,
    DType.FLOAT32: torch.float32,
    DType.FLOAT64: torch.float64,
    DType.COMPLEX64: torch.complex64,
    DType.COMPLEX128: torch.complex128,
    DType.FLOAT8_E4M3FN: torch.float8_e4m3fn,
    DType.FLOAT8_E4M3FNUZ: torch.float8_e4m3fnuz,
    DType.FLOAT8_E5M2: torch.float8_e5m2,
    DType.FLOAT8_E5M2FNUZ: torch.float8_e5m2fnuz,
}
"""navi's dtypes and torch's. torch has no strings; float8_e4m3b11fnuz is not there either."""

_NAVI_DTYPES: Final = {theirs: ours for ours, theirs in TORCH_DTYPES.items()}

_AS_INTEGERS: Final[Mapping[DType, tuple[np.dtype, torch.dtype]]] = {
    DType.BFLOAT16: (np.dtype(np.int16), torch.int16),
    DType.FLOAT8_E4M3FN: (np.dtype(np.uint8), torch.uint8),
    DType.FLOAT8_E4M3FNUZ: (np.dtype(np.uint8), torch.uint8),
    DType.FLOAT8_E5M2: (np.dtype(np.uint8), torch.uint8),
    DType.FLOAT8_E5M2FNUZ: (np.dtype(np.uint8), torch.uint8),
}
_BACK: Final = {
    TORCH_DTYPES[dtype]: (integers, numpy_dtype(dtype)) for dtype, (_, integers) in _AS_INTEGERS.items()
}

_COPY_LIMIT_BYTES: Final = 32_768
"""Up to here a copy costs less than telling torch that a read-only array may be read (about 3 us)."""

_from_numpy: Final[Callable[[Array], torch.Tensor]] = torch.from_numpy


def dtype_of_tensor(tensor: torch.Tensor) -> DType | None:
    """Return a tensor's element type; None: navi has none of that kind (quantised, complex32...)."""
    return _NAVI_DTYPES.get(tensor.dtype)


class _Writable:
    """The array interface of a read-only array, without saying that it is read-only. Keeps the array alive."""

    __slots__ = ("__array_interface__", "array")

    def __init__(self, array: Array) -> None:
        interface = array.__array_interface__
        self.array = array
        self.__array_interface__ = {
            "data": (interface["data"][0], False),
            "shape": array.shape,
            "typestr": interface["typestr"],
            "version": 3,
        }


def encoder(name: str, dtype: DType, device: torch.device, *, is_written: bool) -> Encoder:
    """Return a function that makes a tensor of an array.

    Parameters
    ----------
    name
        The input's, for errors.
    dtype
        What arrays must be of.
    device
        Where the tensor goes.
    is_written
        The method writes to it, so it must have memory of its own.
    """
    want = numpy_dtype(dtype)
    integers = _AS_INTEGERS.get(dtype)
    torch_dtype = TORCH_DTYPES[dtype]
    is_host = device.type == "cpu"

    def encode(array: Array) -> torch.Tensor:
        if array.dtype != want:
            if array.dtype.newbyteorder("=") != want:
                raise TensorMismatchError(tensor=name, what="dtype", expected=dtype, got=str(array.dtype))
            array = array.astype(want)
        flags = array.flags
        if is_written or not (flags.c_contiguous and flags.aligned):
            array = np.array(array, dtype=want, order="C")
        if integers is not None:
            array = array.view(integers[0])
        if not array.flags.writeable:
            array = array.copy() if array.nbytes <= _COPY_LIMIT_BYTES else np.asarray(_Writable(array))
        tensor = _from_numpy(array)
        if integers is not None:
            tensor = tensor.view(torch_dtype)
        if is_host:
            return tensor
        return tensor.pin_memory().to(device, non_blocking=True)

    return encode


def host_copy(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor of an accelerator in pinned memory of the host; wait for it before it is read."""
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor, non_blocking=True)


def to_array(tensor: torch.Tensor, arguments: Sequence[Any]) -> Array:
    """Return a tensor of the host as an array that belongs to the caller alone.

    Parameters
    ----------
    tensor
        An output.
    arguments
        What the method was called with: an output may be one of them.
    """
    if not is_owned(tensor, arguments):
        tensor = tensor.clone(memory_format=torch.contiguous_format)
    back = _BACK.get(tensor.dtype)
    if back is None:
        try:
            array: Array = tensor.numpy()
        except RuntimeError:  # conjugated or negated lazily, or asks for a gradient
            array = tensor.detach().resolve_conj().resolve_neg().clone().numpy()
        return array
    integers, numpy_type = back
    viewed: Array = tensor.view(integers).numpy().view(numpy_type)
    return viewed


def _counters() -> tuple[Callable[[torch.Tensor], int], Callable[[int], int]] | None:
    """Return torch's counts of who holds a tensor and who holds its memory; None: it has none that can be relied on."""
    tensor_count = getattr(torch.Tensor, "_use_count", None)
    storage_count = getattr(torch._C, "_storage_Use_Count", None)  # noqa: SLF001 - looked for, and done without where it is missing
    if tensor_count is None or storage_count is None:
        return None
    fresh = torch.zeros(2) + 1
    alone = (tensor_count(fresh), storage_count(fresh.untyped_storage()._cdata))  # noqa: SLF001
    view = fresh[1:]
    shared = storage_count(view.untyped_storage()._cdata)  # noqa: SLF001
    return (tensor_count, storage_count) if alone == (1, 2) and shared > 2 else None


_COUNTERS: Final = _counters()


def is_owned(tensor: torch.Tensor, arguments: Sequence[Any]) -> bool:
    """Tell whether nobody else holds a tensor or its memory, and it is laid out as an array is.

    Nobody: not the model (a weight, a buffer, a constant), not the caller (an input), not another output. torch
    counts who holds a tensor and who holds its memory; a fresh one is held once by us, its memory by the tensor
    and by the object that asks. Where this torch has no such counts the answer is no.
    """
    if _COUNTERS is None or not tensor.is_contiguous():
        return False
    tensor_count, storage_count = _COUNTERS
    if tensor_count(tensor) != 1 or storage_count(tensor.untyped_storage()._cdata) > 2:  # noqa: SLF001
        return False
    return all(tensor is not argument for argument in arguments)


def check_output(dtype: DType, array: Array, name: str, model: str) -> None:
    """Refuse an output of another dtype than the signature says; a trial run cannot see every path."""
    if array.dtype != numpy_dtype(dtype):
        msg = f"model '{model}': output '{name}': expected dtype {dtype} as in a trial run, got {array.dtype}"
        raise InferenceError(msg, model=model)
