"""GraphRuntime: recognises SameDiff graphs and loads them. Import-light."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from navi_core import Artifact, LoadOptions, Runtime, Servable
from navi_graphserver.options import GraphOptions

__all__ = ["GRAPH_FILE", "GraphRuntime", "graph_file"]

GRAPH_FILE: Final = "graph.fb"
_SUFFIX: Final = ".fb"


class GraphRuntime(Runtime):
    """Runs SameDiff graphs (FlatGraph files), with NumPy or ONNX Runtime.

    Takes a directory, or files in memory, with ``graph.fb`` or one file ``*.fb``; or one such file.
    """

    name: ClassVar[str] = "samediff"
    priority: ClassVar[int] = 100
    options_type: ClassVar[type[msgspec.Struct] | None] = GraphOptions

    def recognise(self, artifact: Artifact) -> str | None:
        """Return ``flatgraph`` where a file's name says so."""
        return None if graph_file(artifact) is None else "flatgraph"

    def load(self, artifact: Artifact, options: LoadOptions) -> Servable:
        """Check and plan the graph.

        Raises
        ------
        ModelLoadError
            It is malformed, or has an operation that is not served; one line that says where.
        """
        from navi_graphserver.loading import load_servable  # noqa: PLC0415 - imports all operations

        return load_servable(artifact, graph_file(artifact) or GRAPH_FILE, options)

    def estimate_bytes(self, artifact: Artifact) -> int:
        """Return three times the size of the files: as read, big-endian arrays turned, and constants folded."""
        return max(1, 3 * artifact.size_bytes())


def graph_file(artifact: Artifact) -> str | None:
    """Return the name of the file that holds the graph; None: there is none, or there are several."""
    if artifact.path is not None and not artifact.path.is_dir():
        return artifact.path.name if artifact.path.name.endswith(_SUFFIX) else None
    names = [name for name in artifact.names() if name.endswith(_SUFFIX)]
    if GRAPH_FILE in names:
        return GRAPH_FILE
    return names[0] if len(names) == 1 else None
