"""Numba's cache of compiled code, in the directory that ``kernel_cache`` chose.

Numba's own locators want a directory that can be written to, and name files after the place of the source. Here
neither matters: an image is built by one user and run by another, perhaps at another path. What was compiled from
which source is said by the directory's name. Nothing that is wrong with the cache fails anything: then the kernel
is compiled.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba.core.caching
import numba.core.runtime

from navi_dr_transform import _parts
from navi_dr_transform.kernel_cache import (
    LoadedKernel,
    compiling_alone,
    is_stamped,
    loaded_kernels,
    set_stamp,
)

__all__ = ["compile_or_load"]

# Numba's declared types cover a part of it only
_caching: Any = numba.core.caching
_runtime: Any = numba.core.runtime


def compile_or_load(
    function: Callable[..., Any], signature: Any, directory: Path | None, *, nogil: bool = True
) -> Any:
    """Return a function's dispatcher with one signature, from the cache or compiled; it takes no other.

    Parameters
    ----------
    function
        Of a kernel file.
    signature
        ``result(arguments...)``.
    directory
        The cache; None: there is none.
    nogil
        It runs without the GIL.
    """
    begun = time.perf_counter()
    name = f"{function.__module__.partition('.')[2]}.{function.__name__}"
    options: dict[str, Any] = {"nogil": nogil, **_parts.NOT_COUNTED}
    dispatcher: Any = numba.njit(**options)(function)
    if directory is None:
        with _garbage_left():
            dispatcher.compile(signature)
    else:
        dispatcher._cache = _cache_in(directory)(function)  # noqa: SLF001 - what enable_caching() sets, too
        with contextlib.nullcontext() if is_stamped(directory, name) else compiling_alone(directory):
            with _garbage_left():
                dispatcher.compile(signature)
            set_stamp(directory, name)
    dispatcher.disable_compile()
    was_cached = sum(dispatcher.stats.cache_hits.values()) > 0
    loaded_kernels.append(LoadedKernel(name, time.perf_counter() - begun, was_cached))
    return dispatcher


@contextlib.contextmanager
def _garbage_left() -> Iterator[None]:
    """Collect no garbage in here.

    Compiling makes millions of objects that live until it ends. Looking at them again and again takes an eighth of
    the time, leaving the garbage where it is 60 MB for as long.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _cache_in(directory: Path) -> Any:
    """Return a class of caches in a directory."""

    class Locator(_caching._CacheLocator):  # type: ignore[misc]  # noqa: SLF001 - what Numba lets others implement
        """Says where, by no more than the directory."""

        @classmethod
        def from_function(cls, _function: Any, _file: str) -> Any:
            return cls()

        def ensure_cache_path(self) -> None:
            """Leave it to reading and writing to find out."""

        def get_cache_path(self) -> str:
            return str(directory)

        def get_source_stamp(self) -> str:
            return directory.name

        def get_disambiguator(self) -> str:
            return "kernel"

    class Implementation(_caching.CompileResultCacheImpl):  # type: ignore[misc]  # Numba is untyped
        """Numba's, with that locator."""

        _locator_classes = (Locator,)

    class Cache(_caching.FunctionCache):  # type: ignore[misc]  # Numba is untyped
        """Numba's, which a broken or read-only directory does not stop."""

        _impl_class = Implementation

        def load_overload(self, signature: Any, target: Any) -> Any:
            try:
                if not _parts.IS_KNOWN_NUMBA:
                    return super().load_overload(signature, target)
                # what Numba calls here fills the target with all that can be compiled, SciPy included
                _runtime.rtsys.initialize(target)
                return self._load_overload(signature, target)
            except Exception:  # whatever unpickling a damaged file brings: it is compiled and written anew
                self._drop()
                return None

        def save_overload(self, signature: Any, compiled: Any) -> None:
            with contextlib.suppress(OSError):
                super().save_overload(signature, compiled)

        def _drop(self) -> None:
            with contextlib.suppress(OSError):
                self.flush()

    return Cache
