"""OnnxRuntime: recognises ONNX files and loads them. Import-light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec

from navi_core import Artifact, LoadOptions, Runtime, Servable, ServeFlag
from navi_onnx.flags import SERVE_FLAGS
from navi_onnx.options import OnnxOptions

__all__ = ["MODEL_FILE", "OnnxRuntime"]

MODEL_FILE: Final = "model.onnx"


class OnnxRuntime(Runtime):
    """Runs ONNX models on ONNX Runtime.

    Takes a directory with ``model.onnx``, a single ``*.onnx`` file, or files in memory with
    ``model.onnx``. Loads and runs may go on side by side on any threads.
    """

    name: ClassVar[str] = "onnx"
    priority: ClassVar[int] = 100
    options_type: ClassVar[type[msgspec.Struct] | None] = OnnxOptions
    serve_flags: ClassVar[Sequence[ServeFlag]] = SERVE_FLAGS

    def recognise(self, artifact: Artifact) -> str | None:
        """Return ``onnx`` where the file names say so."""
        if artifact.path is not None and not artifact.path.is_dir():
            return "onnx" if artifact.path.suffix == ".onnx" else None
        return "onnx" if artifact.has(MODEL_FILE) else None

    def load(self, artifact: Artifact, options: LoadOptions) -> Servable:
        """Open a session.

        Raises
        ------
        ModelLoadError
            The file is missing, damaged or refused; an execution provider is not there; a tensor's
            type cannot be served. One line that says which, and what would help.
        """
        from navi_onnx.loading import load_servable  # noqa: PLC0415 - imports onnxruntime

        return load_servable(artifact, options, MODEL_FILE)

    def estimate_bytes(self, artifact: Artifact) -> int:
        """Return twice the size of the files: weights are in memory twice for a moment while loading."""
        return max(1, 2 * artifact.size_bytes())
