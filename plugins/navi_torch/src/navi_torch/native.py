"""Call an AOTInductor library directly: the interpreter's lock is free while it runs.

torch's own loader (2.13) holds the lock from start to end. The library itself has a C interface, meant to be stable
(``aoti_runtime/interface.h``), and :mod:`ctypes` lets the lock go around every call of it; torch's
``unsafe_alloc_void_ptrs_from_tensors`` and ``alloc_tensors_by_stealing_from_void_ptrs``, made for this, turn tensors into
its handles and back. A call costs some microseconds more than the loader's.

Only for libraries of the CPU that need nothing else: several libraries in one package, and operators that call back into
torch by name (``extern_kernel_nodes``), are left to the loader.

A library stays mapped until the process ends: g++ gives it unique symbols, and such libraries cannot be unloaded. So
each is unpacked once a process under a name made of its content, and loading the same package again maps nothing new;
torch's loader maps another copy each time.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from torch._C import _aoti

from navi_torch.archive import ArchiveError, Listing, extract_member
from navi_torch.package import Package

__all__ = ["RUNNERS", "NativeError", "open_native"]

RUNNERS: Final = 4
"""Runs that one library makes side by side; they share its weights."""

_Pointer = ctypes.c_void_p

_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = _Pointer, [ctypes.py_object, ctypes.c_char_p]
_capsule_of = ctypes.pythonapi.PyCapsule_New
_capsule_of.restype, _capsule_of.argtypes = ctypes.py_object, [_Pointer, ctypes.c_char_p, _Pointer]


class NativeError(RuntimeError):
    """The library refused a call; its own words."""


class _Library:
    """One loaded library and its container of models; freed once, when nobody needs it."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self._handle = _Pointer()
        create = self._library.AOTInductorModelContainerCreateWithDevice
        create.argtypes = [ctypes.POINTER(_Pointer), ctypes.c_size_t, ctypes.c_char_p, ctypes.c_char_p]
        self._last_error = getattr(self._library, "AOTInductorGetLastError", None)
        if self._last_error is not None:
            self._last_error.argtypes = [ctypes.POINTER(ctypes.c_char_p)]
        self.check(create(ctypes.byref(self._handle), RUNNERS, b"cpu", b""))
        self.in_spec, self.out_spec = self._call_spec()
        self.num_inputs = self._count("AOTInductorModelContainerGetNumInputs")
        self.num_outputs = self._count("AOTInductorModelContainerGetNumOutputs")
        self._run = self._library.AOTInductorModelContainerRun
        self._run.argtypes = [
            _Pointer,
            _Pointer,
            ctypes.c_size_t,
            _Pointer,
            ctypes.c_size_t,
            _Pointer,
            _Pointer,
        ]
        self._inputs_type = _Pointer * self.num_inputs
        self._outputs_type = _Pointer * self.num_outputs
        # at the interpreter's end runs may still be going on: then nothing is freed
        weakref.finalize(self, _free, self._library, self._handle).atexit = False

    def _call_spec(self) -> tuple[str, str]:
        taken, given = ctypes.c_char_p(), ctypes.c_char_p()
        ask = self._library.AOTInductorModelContainerGetCallSpec
        ask.argtypes = [_Pointer, ctypes.POINTER(ctypes.c_char_p), ctypes.POINTER(ctypes.c_char_p)]
        self.check(ask(self._handle, ctypes.byref(taken), ctypes.byref(given)))
        return (taken.value or b"").decode(), (given.value or b"").decode()

    def _count(self, function: str) -> int:
        count = ctypes.c_size_t()
        ask = getattr(self._library, function)
        ask.argtypes = [_Pointer, ctypes.POINTER(ctypes.c_size_t)]
        self.check(ask(self._handle, ctypes.byref(count)))
        return count.value

    def check(self, status: int) -> None:
        """Raise what a call that failed says."""
        if status:
            said = ctypes.c_char_p()
            if self._last_error is not None:  # kept for this thread until its next call
                self._last_error(ctypes.byref(said))
            raise NativeError((said.value or b"the library refused the call").decode(errors="replace"))

    def run(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """Run the model; the lock is free while the library computes."""
        if len(tensors) != self.num_inputs:  # the library would read past the end
            msg = f"expected {self.num_inputs} tensors, got {len(tensors)}"
            raise NativeError(msg)
        handles = _aoti.unsafe_alloc_void_ptrs_from_tensors(tensors)
        inputs = self._inputs_type(*[_pointer_of(handle, None) for handle in handles])
        outputs = self._outputs_type()
        status = self._run(self._handle, inputs, self.num_inputs, outputs, self.num_outputs, None, None)
        self.check(status)
        found: list[torch.Tensor] = _aoti.alloc_tensors_by_stealing_from_void_ptrs(
            [_capsule_of(pointer, None, None) for pointer in outputs]
        )
        return found


def _free(library: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
    """Give back the container and its weights. Tensors that it made have memory of their own."""
    delete = library.AOTInductorModelContainerDelete
    delete.argtypes = [_Pointer]
    delete(handle)


def open_native(stream: BinaryIO, listing: Listing, name: str) -> Package | None:
    """Open a package's library; None: it needs torch's loader."""
    folder = f"data/aotinductor/{name}/"
    members = [member for member in listing.sizes if member.startswith(folder)]
    libraries = [member for member in members if member.endswith(".so")]
    is_alone = all(re.search(r"\.(so|cpp|h|txt)$|metadata\.json$", member) for member in members)
    if len(libraries) != 1 or not is_alone:
        return None
    try:
        library = _Library(_unpacked(stream, listing, libraries[0]))
    except (OSError, AttributeError, NativeError, ArchiveError):
        return None  # the loader says what is wrong with it

    def call(arguments: Sequence[Any]) -> Any:
        return library.run([argument for argument in arguments if isinstance(argument, torch.Tensor)])

    return Package(call, library.in_spec, library.out_spec, RUNNERS)


class _Unpacked:
    """The folder of the libraries that this process has loaded; removed when it ends."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.folder: Path | None = None


_UNPACKED: Final = _Unpacked()


def _unpacked(stream: BinaryIO, listing: Listing, member: str) -> str:
    with _UNPACKED.lock:
        if _UNPACKED.folder is None:
            _UNPACKED.folder = Path(tempfile.mkdtemp(prefix="navi-torch-"))  # only its owner may write there
            atexit.register(shutil.rmtree, _UNPACKED.folder, ignore_errors=True)
        folder = _UNPACKED.folder
        fresh = folder / "unpacking.so"
        extract_member(stream, listing, member, fresh)
        with fresh.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        path = folder / f"{digest}.so"
        if path.exists():
            fresh.unlink()
        else:
            fresh.rename(path)
        return str(path)
