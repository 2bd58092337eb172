"""An .npz file whose arrays grow row by row: what was written waits on disk, not in memory.

The shape of an array stands before its elements, and is known last; so the elements of each array go to a
file of their own beside the output, and the output is put together when all are there. It appears in one step.
A tensor of strings becomes two arrays, since the format has none for bytes of any length: ``NAME.bytes``,
all of them one after the other, and ``NAME.ends``, for each element the end of its bytes.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.lib import format as npy

from navi_core import Array, ConfigError

__all__ = ["NpzFile"]

_COPY_BYTES = 1 << 22


class _Growing:
    """One array: its elements in a file, its type, and the shape so far."""

    def __init__(self, stream: BinaryIO, array: Array) -> None:
        self.stream = stream
        self.dtype = array.dtype
        self.row_shape = array.shape[1:]
        self.num_rows = 0

    def append(self, array: Array) -> None:
        self.stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        self.num_rows += len(array)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.num_rows, *self.row_shape)


class NpzFile:
    """An .npz file that is being written; a context manager, which leaves no half of a file.

    Parameters
    ----------
    output
        Where it goes.

    Raises
    ------
    ConfigError
        It cannot be written there.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        self._arrays: dict[str, _Growing] = {}
        self._resources = ExitStack()
        try:
            folder = tempfile.TemporaryDirectory(dir=output.absolute().parent, prefix=f".{output.name}-")
        except OSError as error:
            raise self._refusal(error) from error
        self._folder = Path(self._resources.enter_context(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._assemble()
        except OSError as problem:
            raise self._refusal(problem) from problem
        finally:
            self._resources.close()

    def append(self, arrays: Mapping[str, Array]) -> None:
        """Append rows to arrays; the first call of a name makes it.

        Raises
        ------
        ConfigError
            There is no room for them.
        """
        try:
            for name, array in arrays.items():
                if array.dtype.hasobject:
                    self._append_strings(name, array)
                else:
                    self._append(name, array)
        except OSError as error:
            raise self._refusal(error) from error

    @property
    def shapes(self) -> Mapping[str, tuple[str, Sequence[int]]]:
        """Name -> element type and shape of what was written so far."""
        return {name: (str(each.dtype), each.shape) for name, each in self._arrays.items()}

    def _append(self, name: str, array: Array) -> None:
        growing = self._arrays.get(name)
        if growing is None:
            stream = self._resources.enter_context((self._folder / str(len(self._arrays))).open("w+b"))
            growing = self._arrays[name] = _Growing(stream, array)
        growing.append(array)

    def _append_strings(self, name: str, array: Array) -> None:
        known = self._arrays.get(f"{name}.bytes")
        before = known.num_rows if known is not None else 0
        flat = array.ravel().tolist()
        ends = before + np.cumsum(np.fromiter(map(len, flat), np.int64, len(flat)), dtype=np.int64)
        self._append(f"{name}.bytes", np.frombuffer(b"".join(flat), np.uint8))
        self._append(f"{name}.ends", ends.reshape(array.shape))

    def _assemble(self) -> None:
        whole = self._folder / "whole"
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
            for name, growing in self._arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    header: dict[str, Any] = {
                        "descr": npy.dtype_to_descr(growing.dtype),
                        "fortran_order": False,
                        "shape": growing.shape,
                    }
                    npy.write_array_header_1_0(member, header)
                    growing.stream.seek(0)
                    shutil.copyfileobj(growing.stream, member, _COPY_BYTES)
        whole.replace(self._output)

    def _refusal(self, error: OSError) -> ConfigError:
        return ConfigError(f"'{self._output}' cannot be written: {error.strerror or error}")
