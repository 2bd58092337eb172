"""TorchRuntime: tells torch's files apart and loads them. Import-light."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar, Final

import msgspec

from navi_core import Artifact, LoadOptions, Runtime, Servable, ServeFlag
from navi_torch.archive import classify
from navi_torch.options import TorchOptions

__all__ = ["MODEL_FILES", "TorchRuntime", "model_file"]

MODEL_FILES: Final = ("model.pt", "model.pt2", "model.pth")
_SUFFIXES: Final = (".pt", ".pt2", ".pth")


def model_file(artifact: Artifact) -> str | None:
    """Return the name of the artifact's model file; None: it has none of ours."""
    if artifact.path is not None and not artifact.path.is_dir():
        return artifact.path.name if artifact.path.suffix in _SUFFIXES else None
    names = artifact.names()
    return next((name for name in MODEL_FILES if name in names), None)


class TorchRuntime(Runtime):
    """Runs TorchScript, torch.export programs and AOTInductor packages.

    Takes a directory with ``model.pt`` or ``model.pt2``, a single ``*.pt`` or ``*.pt2`` file, or files in memory
    with one of those names; which kind of file it is, its content tells. Pickled modules are recognised, so that
    the refusal can say what to do instead.
    """

    name: ClassVar[str] = "torch"
    priority: ClassVar[int] = 100
    options_type: ClassVar[type[msgspec.Struct] | None] = TorchOptions
    serve_flags: ClassVar[Sequence[ServeFlag]] = ()

    def recognise(self, artifact: Artifact) -> str | None:
        """Return ``torchscript``, ``torch_export``, ``aotinductor``, ``pickle`` or ``unknown``, by the content."""
        name = model_file(artifact)
        if name is None:
            return None
        with suppress(OSError):  # load says why it cannot be read
            if artifact.files is not None:
                return classify(io.BytesIO(artifact.files[name]))
            path = artifact.file(name)
            if path is not None and path.is_file():
                with path.open("rb") as stream:
                    return classify(stream)
        return "unknown"

    def load(self, artifact: Artifact, options: LoadOptions) -> Servable:
        """Load the model and find out its signatures.

        Raises
        ------
        ModelLoadError
            The file is missing, damaged, a pickle, or not described well enough; the model changes itself and
            nobody said that callers may share that. One line that says which, and what would help.
        """
        from navi_torch.loading import load_servable  # noqa: PLC0415 - imports torch

        return load_servable(artifact, options, model_file(artifact) or MODEL_FILES[0])

    def estimate_bytes(self, artifact: Artifact) -> int:
        """Return twice the size of the files: weights are in memory twice for a moment while loading."""
        return max(1, 2 * artifact.size_bytes())
