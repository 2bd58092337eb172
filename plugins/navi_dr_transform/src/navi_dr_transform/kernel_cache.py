"""Where compiled kernels are kept, which of them are there, and that one process at a time compiles.

Imports no Numba, so that it can be asked cheaply. The place is ``$NAVI_CACHE_DIR``, else where
``$NUMBA_CACHE_DIR`` says, else the user's cache directory (``$XDG_CACHE_HOME`` or ``~/.cache``); never beside
the installed source, and never where somebody else can put files, because Numba unpickles what it finds: the
directory and all above it belong to this user or to root, and neither group nor others can write to them (above it
they can where the sticky bit keeps them from what is not theirs, as in ``/tmp``). One that cannot be written to is
read: an image may be built by root and run by a user.

Kernel files are those whose names begin with an underscore, and ``wire.py``, whose constants they are compiled
with. The directory's name carries a digest of all of them, because Numba notices changes only of the file that
holds a kernel. Beside Numba's own files lies a stamp for every kernel that was compiled: its name says for which
Python, Numba and processor.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

__all__ = [
    "CacheState",
    "LoadedKernel",
    "cache_directory",
    "cache_state",
    "compiling_alone",
    "is_stamped",
    "kernel_files",
    "kernel_names",
    "loaded_kernels",
    "set_stamp",
]

_PACKAGE: Final = Path(__file__).parent
_KERNEL: Final = re.compile(r"^@kernel\(.*?^def (\w+)\(", re.MULTILINE | re.DOTALL)
_LOCK_TIMEOUT_S: Final = 120.0
_LOCK_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class LoadedKernel:
    """A kernel of this process.

    Parameters
    ----------
    name
        Module and function.
    seconds
        Until it could be called, waiting for others included.
    was_cached
        It was loaded, not compiled.
    """

    name: str
    seconds: float
    was_cached: bool


loaded_kernels: Final[list[LoadedKernel]] = []
"""The kernels that this process has, in the order in which they were decorated."""


@dataclass(frozen=True, slots=True)
class CacheState:
    """What is in the cache.

    Parameters
    ----------
    directory
        Where it is; None where there can be none.
    kernels
        Names of all kernels.
    missing
        Those that are not there for this Python, Numba and processor.
    """

    directory: Path | None
    kernels: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def is_warm(self) -> bool:
        """Whether everything would be loaded, nothing compiled."""
        return not self.missing

    def __str__(self) -> str:
        if self.directory is None:
            return "cold: there is no directory for it that others cannot write to, kernels are compiled in every process"
        if self.is_warm:
            return f"warm: {len(self.kernels)} kernels in {self.directory}"
        if len(self.missing) == len(self.kernels):
            return f"cold: nothing is compiled in {self.directory}"
        return f"cold: {len(self.missing)} of {len(self.kernels)} kernels are missing in {self.directory}"


def kernel_files() -> tuple[Path, ...]:
    """Return the files that compiled code is made from."""
    found = (path for path in _PACKAGE.rglob("_*.py") if path.name != "__init__.py")
    return (
        *sorted(path for path in found if "_generated" not in path.relative_to(_PACKAGE).parts),
        _PACKAGE / "wire.py",
    )


def kernel_names() -> tuple[str, ...]:
    """Return module and function of everything that is decorated with ``kernel``."""
    names = []
    for path in kernel_files():
        module = ".".join(path.relative_to(_PACKAGE).with_suffix("").parts)
        names += [f"{module}.{function}" for function in _KERNEL.findall(path.read_text(encoding="utf-8"))]
    return tuple(names)


def cache_directory(*, make: bool = True) -> Path | None:
    """Return the directory of compiled kernels; None where there can be none, or one that others could fill.

    Parameters
    ----------
    make
        Make it if it is not there.
    """
    root = os.environ.get("NAVI_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    if root:
        base = Path(root)
    else:
        home = os.environ.get("XDG_CACHE_HOME", "")
        try:
            base = (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "navi"
        except RuntimeError:  # no home directory is known
            return None
    digest = hashlib.sha256()
    for path in kernel_files():
        digest.update(path.read_bytes())
    directory = base / "kernels" / f"navi_dr_transform-{digest.hexdigest()[:16]}"
    directory = directory.absolute()
    try:
        if _others_could_fill(directory):
            return None
        if directory.is_dir():
            return directory if os.access(directory, os.R_OK | os.X_OK) else None
        if make:
            # others may read it: an image is built by root and run by a user
            for each in reversed((directory, *directory.parents)):
                if not each.is_dir():  # one by one: the parents' mode would be the umask's
                    each.mkdir(mode=0o755, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):
                return None if _others_could_fill(directory) else directory
    except OSError:
        return None
    return directory


def _others_could_fill(directory: Path) -> bool:
    """Tell whether somebody but this user and root can write to a directory, or put another in its place.

    What is not there yet is as safe as what is above it. Symbolic links are looked at from both ends.
    """
    if not hasattr(os, "geteuid"):
        return False  # Windows: modes say nothing
    trusted = {0, os.geteuid()}
    for path in dict.fromkeys((directory, directory.resolve())):
        for each in (path, *path.parents):
            try:
                found = each.stat()
            except FileNotFoundError:
                continue
            is_shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            is_sticky = each != path and found.st_mode & stat.S_ISVTX
            if found.st_uid not in trusted or (is_shared and not is_sticky):
                return True
    return False


def cache_state() -> CacheState:
    """Say which kernels would be loaded and which compiled. Makes nothing, imports nothing."""
    names = kernel_names()
    directory = cache_directory(make=False)
    if directory is None:
        return CacheState(None, names, names)
    return CacheState(directory, names, tuple(name for name in names if not is_stamped(directory, name)))


# --- stamps -----------------------------------------------------------------------------------------------


@cache
def _target() -> str:
    """Return a digest of what compiled code depends on beside its source."""
    said = [
        *(sys.implementation.cache_tag, platform.machine(), _processor()),
        *(importlib.metadata.version(name) for name in ("numba", "llvmlite")),
        *(f"{key}={value}" for key, value in sorted(os.environ.items()) if key.startswith("NUMBA_CPU_")),
    ]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]


def _processor() -> str:
    """Return the model of the processor and what it can do, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    kept = ("model name", "flags", "features", "cpu part")
    return "\n".join(dict.fromkeys(line for line in lines if line.lower().startswith(kept)))


def is_stamped(directory: Path, name: str) -> bool:
    """Tell whether a kernel was compiled for this Python, Numba and processor, and its code still lies there."""
    module, _, function = name.rpartition(".")
    code = f"{module.rpartition('.')[2]}.{function}-*.nbc"
    return _stamp(directory, name).exists() and next(directory.glob(code), None) is not None


def set_stamp(directory: Path, name: str) -> None:
    """Note that a kernel was compiled; where nothing can be written nothing is noted."""
    with contextlib.suppress(OSError):
        _stamp(directory, name).touch()


def _stamp(directory: Path, name: str) -> Path:
    return directory / f"{name}.{_target()}.stamp"


# --- one at a time ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def compiling_alone(directory: Path, timeout_s: float = _LOCK_TIMEOUT_S) -> Iterator[bool]:
    """Hold the directory's lock, so that workers that start together compile once; yields whether it is held.

    It is the system's lock of an open file: that of a process that dies is free at once. Whoever waits longer
    than the timeout, or cannot lock, goes on without: compiling twice is a waste, no mistake.
    """
    lock = _open_lock(directory)
    if lock is None:
        yield False
        return
    try:
        yield _acquire(lock, timeout_s)
    finally:
        os.close(lock)


def _open_lock(directory: Path) -> int | None:
    try:
        return os.open(directory / "compiling.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return None


def _acquire(lock: int, timeout_s: float) -> bool:
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        return False
    end = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_LOCK_POLL_S)
        except OSError:  # a file system without locks
            return False
        else:
            return True
