"""The inputs that a TorchScript model was traced with, as far as its archive keeps them: dtype and shape.

``torch.jit.save`` writes them as ``traced_inputs.pkl``: a pickle of method name -> list of values, whose tensors
have no data any more. It is read with an unpickler that knows five words and can build nothing but what is below.
Imports no torch.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from navi_core import DType

__all__ = ["TracedTensor", "read_traced_inputs"]

_STORAGES: Final = {
    "BoolStorage": DType.BOOL,
    "CharStorage": DType.INT8,
    "ShortStorage": DType.INT16,
    "IntStorage": DType.INT32,
    "LongStorage": DType.INT64,
    "ByteStorage": DType.UINT8,
    "UInt16Storage": DType.UINT16,
    "UInt32Storage": DType.UINT32,
    "UInt64Storage": DType.UINT64,
    "HalfStorage": DType.FLOAT16,
    "BFloat16Storage": DType.BFLOAT16,
    "FloatStorage": DType.FLOAT32,
    "DoubleStorage": DType.FLOAT64,
    "ComplexFloatStorage": DType.COMPLEX64,
    "ComplexDoubleStorage": DType.COMPLEX128,
    "Float8_e4m3fnStorage": DType.FLOAT8_E4M3FN,
    "Float8_e4m3fnuzStorage": DType.FLOAT8_E4M3FNUZ,
    "Float8_e5m2Storage": DType.FLOAT8_E5M2,
    "Float8_e5m2fnuzStorage": DType.FLOAT8_E5M2FNUZ,
}
_OPCODE_LIMIT: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class TracedTensor:
    """One example input.

    Parameters
    ----------
    dtype
        None: a kind that navi does not carry.
    shape
        Its sizes.
    """

    dtype: DType | None
    shape: tuple[int, ...]


class _Reader(pickle.Unpickler):
    """An unpickler that finds stand-ins for five names and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        word = f"{module}.{name}"
        if word == "torch.jit._pickle.restore_type_tag":
            return _value_of
        if word in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
            return _tensor
        if word == "collections.OrderedDict":
            return dict
        if module == "torch" and re.fullmatch(r"\w+Storage", name):
            return _Storage(name)
        msg = f"'{word[:80]}' has no place here"
        raise pickle.UnpicklingError(msg)

    def persistent_load(self, pid: Any) -> Any:
        return pid[1]


@dataclass(frozen=True, slots=True)
class _Storage:
    name: str


def _value_of(value: Any, type_tag: str) -> Any:
    del type_tag
    return value


def _tensor(storage: Any, offset: int, size: Any, *rest: Any) -> TracedTensor:
    del offset, rest
    return TracedTensor(_STORAGES.get(storage.name), tuple(int(item) for item in size))


def read_traced_inputs(content: bytes) -> Mapping[str, tuple[Any, ...]]:
    """Return method -> its example arguments; empty where the file holds anything unexpected.

    Parameters
    ----------
    content
        ``traced_inputs.pkl``.

    Returns
    -------
    arguments
        Tensors as :class:`TracedTensor`, other values as they were.
    """
    if len(content) > _OPCODE_LIMIT:
        return {}
    try:
        methods = _Reader(io.BytesIO(content)).load()
        return {str(name): tuple(values) for name, values in methods.items()}
    except Exception:  # a damaged file only costs the user a line of configuration
        return {}
