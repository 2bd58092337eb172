"""TractRuntime: recognises ONNX and NNEF models and loads them. Import-light."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from navi_core import Artifact, LoadOptions, Runtime, Servable
from navi_tract.options import TractOptions

__all__ = ["NNEF_FILES", "NNEF_GRAPH", "ONNX_FILE", "TractRuntime", "main_file"]

ONNX_FILE: Final = "model.onnx"
NNEF_FILES: Final = ("model.nnef.tgz", "model.nnef.tar.gz", "model.nnef.tar")
NNEF_GRAPH: Final = "graph.nnef"

_NNEF_SUFFIXES: Final = tuple(name.removeprefix("model") for name in NNEF_FILES)


class TractRuntime(Runtime):
    """Runs ONNX and NNEF models on tract.

    Takes a directory, or files in memory, with ``model.onnx``, an NNEF archive (``model.nnef.tgz``,
    ``model.nnef.tar``) or a bare NNEF model (``graph.nnef``); or one file of any such name. Loads and runs
    may go on side by side on any threads.
    """

    name: ClassVar[str] = "tract"
    priority: ClassVar[int] = 50
    options_type: ClassVar[type[msgspec.Struct] | None] = TractOptions

    def recognise(self, artifact: Artifact) -> str | None:
        """Return ``onnx`` or ``nnef`` where the file names say so."""
        file = main_file(artifact)
        if file is None:
            return None
        return "onnx" if file.endswith(".onnx") else "nnef"

    def load(self, artifact: Artifact, options: LoadOptions) -> Servable:
        """Plan the model.

        Raises
        ------
        ModelLoadError
            The file is missing, damaged or refused; tract lacks an operator; a tensor's type cannot be
            served. One line that says which, and what would help.
        """
        from navi_tract.loading import load_servable  # noqa: PLC0415 - imports tract

        return load_servable(artifact, options)

    def estimate_bytes(self, artifact: Artifact) -> int:
        """Return three times the size of the files: the weights as read, as planned, and in the rehearsal."""
        return max(1, 3 * artifact.size_bytes())


def main_file(artifact: Artifact) -> str | None:
    """Return the name of the file that holds the graph; None: there is none that tract reads."""
    if artifact.path is not None and not artifact.path.is_dir():
        name = artifact.path.name
        return name if name.endswith((".onnx", *_NNEF_SUFFIXES)) else None
    names = artifact.names()
    return next((name for name in (ONNX_FILE, *NNEF_FILES, NNEF_GRAPH) if name in names), None)
