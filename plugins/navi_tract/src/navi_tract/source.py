"""Where tract reads a model from: the artifact's own files, or a private copy of them.

tract's binding reads paths only, and reads again for each new plan. Models in memory are written to a
folder of their own; so are ONNX files whose inner shapes have to go (see :mod:`navi_tract.onnx_file`), with
their external data.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from navi_core import Artifact, FileFormatError, check_external_data
from navi_tract.hazards import nnef_hazards, onnx_hazards
from navi_tract.nnef_file import graph_text
from navi_tract.onnx_file import read_onnx_file, without_shapes_within
from navi_tract.onnx_graph import OnnxFile
from navi_tract.runtime import NNEF_GRAPH, main_file

__all__ = ["ModelSource", "SourceChangedError", "open_source"]

_PREFIX: Final = "navi-tract-"


class SourceChangedError(Exception):
    """The model's file is not what it was when the model was loaded."""


class ModelSource:
    """A model's files, for as long as plans are made from them.

    Parameters
    ----------
    path
        What tract is given: a file, or the folder of a bare NNEF model.
    folder
        A private folder, removed by :meth:`close`; None: the files are the artifact's own.
    onnx
        What an ONNX file declares; None: it is NNEF.
    nnef
        The NNEF text; empty for ONNX.
    hazards
        Operators with which a request can end the process.
    """

    def __init__(
        self,
        path: Path,
        folder: Path | None,
        *,
        onnx: OnnxFile | None = None,
        nnef: str = "",
        hazards: Sequence[str] = (),
    ) -> None:
        self.path = path
        self.folder = folder
        self.onnx = onnx
        self.nnef = nnef
        self.hazards = tuple(hazards)
        self._identity = _identity(path)
        # Also when a servable is let go of without being closed, and when the process ends.
        self._remove = (
            None if folder is None else weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        )

    @property
    def kind(self) -> str:
        """``onnx`` or ``nnef``."""
        return "nnef" if self.onnx is None else "onnx"

    def check_unchanged(self) -> None:
        """See that the file is the one that was loaded, before it is read again.

        Raises
        ------
        SourceChangedError
            It was written, replaced or removed.
        """
        try:
            unchanged = _identity(self.path) == self._identity
        except OSError:
            unchanged = False
        if not unchanged:
            msg = f"{self.path.name} was changed or removed since it was loaded"
            raise SourceChangedError(msg)

    def close(self) -> None:
        """Remove the private folder. Idempotent."""
        if self._remove is not None:
            self._remove()


def open_source(artifact: Artifact, *, allow_hard_links: bool) -> ModelSource:
    """Look into an artifact and put it where tract can read it.

    Raises
    ------
    FileFormatError
        It is no model.
    ExternalDataError
        A part of it lies elsewhere.
    OSError
        It cannot be read or copied.
    """
    name = main_file(artifact)
    if name is None:
        raise FileNotFoundError
    folder = None if artifact.files is None else _write_folder(artifact.files, name)
    try:
        path = folder / name if folder is not None else artifact.file(name)
        assert path is not None  # noqa: S101 - an artifact has files or a path
        if name.endswith(".onnx"):
            return _onnx_source(
                path, folder, in_memory=artifact.files is not None, hard_links=allow_hard_links
            )
        if name == NNEF_GRAPH:
            path = path.parent
        graph = graph_text(path, allow_hard_links=allow_hard_links)
        return ModelSource(path, folder, nnef=graph, hazards=nnef_hazards(graph))
    except BaseException:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _onnx_source(path: Path, folder: Path | None, *, in_memory: bool, hard_links: bool) -> ModelSource:
    with path.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            msg = "it is empty"
            raise FileFormatError(msg)
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            file = read_onnx_file(data)
            external = check_external_data(
                file.external, None if in_memory else path.parent, allow_hard_links=hard_links
            )
            if file.inner_shapes:
                folder = Path(tempfile.mkdtemp(prefix=_PREFIX)) if folder is None else folder
                path = _write_copy(folder, without_shapes_within(data, file), external)
    return ModelSource(path, folder, onnx=file, hazards=onnx_hazards(file))


def _write_copy(folder: Path, model: bytearray, external: Mapping[str, Path]) -> Path:
    """Write a model into a folder, and its external data with it."""
    path = folder / "planned.onnx"
    try:
        path.write_bytes(model)
        for location, real in external.items():
            there = folder / location
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(real, there)  # tract takes no links that lead out of the folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return path


def _write_folder(files: Mapping[str, bytes], main: str) -> Path:
    """Write what belongs to the model into a folder of its own: one file, or a bare NNEF model."""
    wanted = [name for name in files if main in (name, NNEF_GRAPH)]
    for name in wanted:
        if Path(name).is_absolute() or ".." in Path(name).parts or not Path(name).parts:
            msg = f"{name[:100]!r}: expected a relative path without '..'"
            raise FileFormatError(msg)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        for name in wanted:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _identity(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
