"""Artifact: what a source hands to a runtime - a directory, a single file, or files in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Artifact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One version of a model, as stored.

    Exactly one of ``path`` and ``files`` is set.

    Parameters
    ----------
    name
        The model's name.
    version
        The version's number; larger is newer.
    path
        A directory, or a single file.
    files
        Relative file name -> contents, for a model that came over the wire.
    revision
        What tells contents of one place apart, where they may be replaced (a single file's may): an artifact with
        another one is loaded anew, in place of the version that serves. Empty: what is there stays as it is.

    Raises
    ------
    ValueError
        Neither or both of ``path`` and ``files`` are given.
    """

    name: str
    version: int
    path: Path | None = None
    files: Mapping[str, bytes] | None = None
    revision: str = ""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.files is None):
            msg = f"artifact '{self.name}': expected either a path or files, got {'neither' if self.path is None else 'both'}"
            raise ValueError(msg)

    @property
    def where(self) -> str:
        """The place, for error texts."""
        return str(self.path) if self.path is not None else f"{len(self.files or ())} files in memory"

    def names(self) -> Sequence[str]:
        """Return the top-level file names, sorted; a single file's own name where it is one.

        Raises
        ------
        OSError
            The directory cannot be read.
        """
        if self.files is not None:
            return sorted({name.split("/", 1)[0] for name in self.files})
        assert self.path is not None  # noqa: S101 - __post_init__ checked it
        if self.path.is_dir():  # pipes and devices are no part of a model: opening one may never return
            return sorted(entry.name for entry in self.path.iterdir() if entry.is_file() or entry.is_dir())
        return [self.path.name]

    def has(self, name: str) -> bool:
        """Tell whether the artifact has a top-level file (or folder) of that name."""
        return name in self.names()

    def file(self, name: str) -> Path | None:
        """Return the path of one file; None for an artifact in memory."""
        if self.path is None:
            return None
        return self.path / name if self.path.is_dir() else self.path

    def read(self, name: str, max_bytes: int | None = None) -> bytes:
        """Return one file's contents, or its first ``max_bytes`` bytes.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        OSError
            It cannot be read.
        """
        if self.files is not None:
            try:
                return self.files[name][:max_bytes]
            except KeyError:
                msg = f"artifact '{self.name}' has no file '{name}'"
                raise FileNotFoundError(msg) from None
        path = self.file(name)
        assert path is not None  # noqa: S101 - files is None, so path is set
        with path.open("rb") as stream:
            return stream.read() if max_bytes is None else stream.read(max_bytes)

    def size_bytes(self) -> int:
        """Return the bytes that all files take together."""
        if self.files is not None:
            return sum(len(content) for content in self.files.values())
        assert self.path is not None  # noqa: S101 - __post_init__ checked it
        if self.path.is_dir():
            return sum(entry.stat().st_size for entry in self.path.rglob("*") if entry.is_file())
        return self.path.stat().st_size
