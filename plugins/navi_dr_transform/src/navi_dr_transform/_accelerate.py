"""Numba's decorators and types: with ``_disk_cache``, ``_parts`` and ``_intrinsics`` all that imports Numba, and the policy.

Kernels have explicit signatures, so they are compiled, or loaded from the cache (``kernel_cache``), when
``_kernels`` is imported: while a model loads, never on the request path. They release the GIL.
``NUMBA_DISABLE_JIT=1`` leaves every kernel a plain Python function with the same results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numba
import numba.extending
import numpy as np

from navi_dr_transform import _parts
from navi_dr_transform._disk_cache import compile_or_load
from navi_dr_transform.kernel_cache import cache_directory

__all__ = [
    "INT",
    "INTS",
    "JIT",
    "OBJECT",
    "PAYLOAD",
    "SCRATCH",
    "SMALL_INTS",
    "answers",
    "entry_point",
    "inner",
    "kernel",
]

# Numba's declared types cover a part of it only
types: Any = numba.types
_config: Any = numba.config
_extending: Any = numba.extending


class _Object(types.Opaque):  # type: ignore[misc]  # Numba is untyped
    """The type of arguments that are not looked into."""


def _as_it_is(_type: Any, value: Any, _context: Any) -> Any:
    return _extending.NativeValue(value)


_extending.register_model(_Object)(_extending.models.OpaqueModel)
_extending.unbox(_Object)(_as_it_is)

_F = TypeVar("_F", bound=Callable[..., Any])

JIT: Final = not _config.DISABLE_JIT
"""False under NUMBA_DISABLE_JIT."""

PAYLOAD: Final = types.Bytes(types.uint8, 1, "C")
"""A ``bytes`` object: passed as it is, read in place."""
OBJECT: Final = _Object("object")
"""Any Python object, as it is: for kernels that hold the GIL."""
INT: Final = types.int64
INTS: Final = types.Array(types.int64, 1, "C", readonly=True)
SMALL_INTS: Final = types.Array(types.int32, 1, "C", readonly=True)
SCRATCH: Final = types.Array(types.int64, 1, "C")
"""Memory of a kernel's own; its first element takes what is to be thrown away."""


def answers(count: int) -> Any:
    """Return the type of a tuple of ``count`` integers."""
    return types.UniTuple(types.int64, count)


_DIRECTORY: Final = cache_directory() if JIT else None


def kernel(signature: Any, *, nogil: bool = True) -> Callable[[_F], _F]:
    """Compile a function for one signature, or load it from the cache.

    Parameters
    ----------
    signature
        ``result(arguments...)`` of this module's types.
    nogil
        It runs without the GIL.
    """

    def decorate(function: _F) -> _F:
        if not JIT:
            # compiled code casts and wraps silently
            plain: _F = np.errstate(all="ignore")(function)
            return plain
        compiled: _F = compile_or_load(function, signature, _DIRECTORY, nogil=nogil)
        return compiled

    return decorate


def entry_point(function: _F) -> _F:
    """Return what calls a kernel at once: the types of its arguments are not looked at.

    What it is given has to be of the kernel's types: an array of others would be misread.
    """
    if not JIT:
        return function
    dispatcher: Any = function
    (overload,) = dispatcher.overloads.values()
    called: _F = overload.entry_point
    return called


def inner(function: _F) -> _F:
    """Compile a function as part of the kernels that call it; it has no entry of its own."""
    if not JIT:
        return function
    # without the checks of Python's division; the others are options of Numba's CPU target, which its declared
    # types leave out
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "no_cpython_wrapper": True,
        "no_cfunc_wrapper": True,
        **_parts.NOT_COUNTED,
    }
    if _parts.IS_KNOWN_NUMBA:
        options["pipeline_class"] = _parts.PartCompiler
    compiled: _F = numba.njit(**options)(function)
    return compiled
