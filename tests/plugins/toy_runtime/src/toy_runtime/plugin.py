"""Registers the runtime ``toy``: a model is ``toy.json`` and answers ``y = scale * x``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from navi_core import (
    DEFAULT_SIGNATURE,
    Artifact,
    DType,
    LoadOptions,
    ModelLoadError,
    NamedArrays,
    RunContext,
    Runtime,
    Servable,
    ServeFlag,
    Signature,
    TensorSpec,
    hookimpl,
)


class ToyOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[runtimes.toy]``."""

    extra_scale: float = 1.0


class ToyServable(Servable):
    """One loaded ``toy.json``."""

    def __init__(self, scale: float) -> None:
        self._scale = np.float32(scale)
        self.signatures: Mapping[str, Signature] = {
            DEFAULT_SIGNATURE: Signature(
                inputs={"x": TensorSpec(name="x", dtype=DType.FLOAT32, shape=("rows",))},
                outputs={"y": TensorSpec(name="y", dtype=DType.FLOAT32, shape=("rows",))},
                batchable=True,
            )
        }

    def run(
        self, signature: str, inputs: NamedArrays, outputs: Sequence[str], ctx: RunContext
    ) -> NamedArrays:
        """Scale ``x``."""
        del signature
        x = inputs["x"]
        y = ctx.allocate(x.shape, np.float32)
        np.multiply(x, self._scale, out=y)
        return dict.fromkeys(outputs, y)


class ToyRuntime(Runtime):
    """Serves ``toy.json``: ``{"scale": 2.0}``."""

    name = "toy"
    priority = 10
    options_type = ToyOptions
    serve_flags = (
        ServeFlag(
            name="--toy-extra-scale",
            option="extra_scale",
            help="Scale every answer once more.",
            metavar="FLOAT",
            parse=float,
        ),
    )

    def recognise(self, artifact: Artifact) -> str | None:
        """Tell a toy by its file's name."""
        return "toy_json" if artifact.has("toy.json") else None

    def load(self, artifact: Artifact, options: LoadOptions) -> Servable:
        """Read the scale."""
        try:
            scale = float(json.loads(artifact.read("toy.json"))["scale"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModelLoadError(
                f"toy.json: expected an object with a number 'scale' ({artifact.where}): {error}",
                model=artifact.name,
                version=artifact.version,
            ) from error
        extra = options.options.extra_scale if isinstance(options.options, ToyOptions) else 1.0
        return ToyServable(scale * extra)


@hookimpl
def navi_register_runtimes() -> Sequence[type[Runtime]]:
    """Register the runtime."""
    return [ToyRuntime]
