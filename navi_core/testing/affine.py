"""A runtime without a framework: ``y = scale * x + bias``, described by a JSON file. For tests of the host.

Its knobs make the failures that a host must survive: slow loads and runs, runs that raise for some inputs,
outputs that do not follow the rows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

import msgspec
import numpy as np

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.runtime import LoadOptions, RunContext, Runtime, Servable
from navi_core.errors import InferenceError, ModelLoadError
from navi_core.signature import DEFAULT_SIGNATURE, Signature, TensorSpec
from navi_core.tensors import DType
from navi_core.types import NamedArrays

__all__ = ["FILE_NAME", "AffineModel", "AffineRuntime", "write_affine"]

FILE_NAME: Final = "affine.json"


class AffineModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``affine.json`` says.

    Attributes
    ----------
    scale, bias
        ``y = scale * x + bias``.
    width
        Columns of x and y.
    load_seconds, run_seconds
        Time that a load and a run take.
    poison
        A run with this value anywhere in x raises; None: none does.
    follows_rows
        False: y has one row, whatever x has.
    max_concurrent_runs
        The servable's limit; None: none.
    gauges
        The servable's.
    """

    scale: float = 1.0
    bias: float = 0.0
    width: int = 2
    load_seconds: float = 0.0
    run_seconds: float = 0.0
    poison: float | None = None
    follows_rows: bool = True
    max_concurrent_runs: int | None = None
    gauges: dict[str, float] = {}


class AffineServable(Servable):
    """One loaded ``affine.json``. Counts its runs."""

    def __init__(self, model: AffineModel) -> None:
        self.model: Final = model
        self.max_concurrent_runs = model.max_concurrent_runs
        self.gauges = model.gauges
        spec = TensorSpec(name="x", dtype=DType.FLOAT32, shape=("batch", model.width))
        out = TensorSpec(name="y", dtype=DType.FLOAT32, shape=("batch", model.width))
        rows = TensorSpec(name="rows", dtype=DType.INT64, shape=("batch",))
        self.signatures: Mapping[str, Signature] = {
            DEFAULT_SIGNATURE: Signature(inputs={"x": spec}, outputs={"y": out, "rows": rows}, batchable=True)
        }
        self.batches: list[int] = []
        self.is_closed = False

    def run(
        self, signature: str, inputs: NamedArrays, outputs: Sequence[str], ctx: RunContext
    ) -> NamedArrays:
        """Compute y, and for each row the number of rows of the run (``rows``)."""
        del signature
        if self.is_closed:
            msg = "the model was closed"
            raise InferenceError(msg)
        model, x = self.model, inputs["x"]
        self.batches.append(len(x))
        if model.run_seconds:
            time.sleep(model.run_seconds)
        if model.poison is not None and np.any(x == np.float32(model.poison)):
            msg = "the model met its poison"
            raise InferenceError(msg)
        result = {}
        rows = x if model.follows_rows else x[:1]
        if "y" in outputs:
            y = ctx.allocate(rows.shape, np.float32)
            np.multiply(rows, np.float32(model.scale), out=y)
            y += np.float32(model.bias)
            result["y"] = y
        if "rows" in outputs:
            result["rows"] = np.full(len(rows), len(x), dtype=np.int64)
        return result

    def close(self) -> None:
        """Refuse further runs."""
        self.is_closed = True


class AffineRuntime(Runtime):
    """Loads ``affine.json``."""

    name: ClassVar[str] = "affine"

    def recognise(self, artifact: Artifact) -> str | None:
        """Take artifacts that have the file."""
        return "affine" if artifact.has(FILE_NAME) else None

    def load(self, artifact: Artifact, options: LoadOptions) -> Servable:
        """Read the file; raises ModelLoadError."""
        del options
        try:
            model = msgspec.json.decode(artifact.read(FILE_NAME), type=AffineModel)
        except (OSError, msgspec.MsgspecError) as error:
            msg = f"{FILE_NAME} of model '{artifact.name}' cannot be read: {error}"
            raise ModelLoadError(msg, model=artifact.name, version=artifact.version) from error
        if model.load_seconds:
            time.sleep(model.load_seconds)
        return AffineServable(model)


def write_affine(model_dir: Path, version: int | str, **fields: object) -> Path:
    """Write one version directory whose ``affine.json`` has ``fields``; returns the directory.

    It appears whole: a host that looks at this moment sees no directory without its file.
    """
    folder = model_dir / str(version)
    staging = model_dir / f".{version}.writing"
    staging.mkdir(parents=True)
    (staging / FILE_NAME).write_text(json.dumps(fields))
    if folder.exists():
        (staging / FILE_NAME).replace(folder / FILE_NAME)
        staging.rmdir()
    else:
        staging.rename(folder)
    return folder
