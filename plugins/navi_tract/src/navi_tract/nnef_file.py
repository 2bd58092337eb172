"""Look into an NNEF model before tract does: its text, and that its files are inside its folder."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from navi_core import ConfinementError, ExternalDataError, FileFormatError, confined_file

__all__ = ["graph_text", "output_names"]

_GRAPH: Final = "graph.nnef"
_MAX_GRAPH_BYTES: Final = 64 << 20
_SIGNATURE: Final = re.compile(r"^\s*graph\s+\w+\s*\([^)]*\)\s*->\s*\(([^)]*)\)", re.MULTILINE)
_QUOTED: Final = re.compile(r"i\"([^\"]*)\"")


def graph_text(path: Path, *, allow_hard_links: bool) -> str:
    """Return the text of a model's graphs: an archive's, or a folder's.

    Raises
    ------
    FileFormatError
        It is no archive, has no graph, or one that is no text or too large.
    ExternalDataError
        A file of the folder is a link that leads out of it, or no file.
    OSError
        It cannot be read.
    """
    if path.is_dir():
        for entry in sorted(path.rglob("*")):
            if not entry.is_dir():
                try:
                    confined_file(entry, path, allow_hard_links=allow_hard_links)
                except ConfinementError as error:
                    msg = f"{entry.relative_to(path).as_posix()!r}: {error}"
                    raise ExternalDataError(msg) from error
        graph = path / _GRAPH
        return _text([_bounded(graph.stat().st_size, graph.read_bytes)]) if graph.is_file() else _text([])
    try:
        with tarfile.open(path, "r:*") as archive:
            texts = []
            for member in archive:
                if member.isfile() and member.name.rpartition("/")[2] == _GRAPH:
                    stream = archive.extractfile(member)
                    assert stream is not None  # noqa: S101 - it is a file
                    texts.append(_bounded(member.size, stream.read))
            return _text(texts)
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        msg = "it is no tar archive, or a damaged one"
        raise FileFormatError(msg) from error


def output_names(graph: str, count: int) -> list[str] | None:
    """Return the outputs' names as the text has them; None: it cannot be told.

    tract renames an output whose name one of its operators has taken.
    """
    match = _SIGNATURE.search(graph)
    if match is None:
        return None
    names = [_QUOTED.sub(r"\1", name.strip()) for name in match[1].split(",") if name.strip()]
    return names if len(names) == count and len(set(names)) == count else None


def _bounded(size: int, read: Callable[[], bytes]) -> bytes:
    if size > _MAX_GRAPH_BYTES:
        msg = f"{_GRAPH}: expected at most {_MAX_GRAPH_BYTES} bytes, got {size}"
        raise FileFormatError(msg)
    return read()


def _text(graphs: list[bytes]) -> str:
    if not graphs:
        msg = f"it holds no {_GRAPH}"
        raise FileFormatError(msg)
    try:
        return "\n".join(graph.decode() for graph in graphs)
    except UnicodeDecodeError:
        msg = f"{_GRAPH} is no text"
        raise FileFormatError(msg) from None
