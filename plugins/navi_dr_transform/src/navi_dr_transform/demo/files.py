"""The demo's folder: a model directory with one version, and requests to try."""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from navi_dr_transform.demo.features import write_mapping_files
from navi_dr_transform.demo.model import write_model
from navi_dr_transform.demo.requests import DemoRequest

__all__ = ["MODEL_NAME", "DemoFiles", "write_demo"]

MODEL_NAME: Final = "recap"
_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """Where everything lies.

    Parameters
    ----------
    model_dir
        The model's directory; its only version is in ``version_dir``.
    version_dir
        ``model.onnx`` and the mapping files.
    requests
        Raw BatchPredictionRequests.
    rest_body
        The first of them as the body of a REST predict call.
    """

    model_dir: Path
    version_dir: Path
    requests: Sequence[Path]
    rest_body: Path


def write_demo(folder: Path, requests: Sequence[DemoRequest], input_name: str) -> DemoFiles:
    """Write the demo's files; a version that is there already stays as it is.

    A version directory appears in one step, so that a host that watches the folder never sees half of it.

    Parameters
    ----------
    folder
        Made if need be.
    requests
        The requests to keep.
    input_name
        What the model's clients call the string input.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    model_dir = folder / MODEL_NAME
    version_dir = model_dir / _VERSION
    if not version_dir.exists():
        model_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as building:
            fresh = Path(building) / _VERSION
            fresh.mkdir()
            write_mapping_files(fresh)
            write_model(fresh / "model.onnx")
            shutil.move(fresh, version_dir)
    kept = folder / "requests"
    kept.mkdir(exist_ok=True)
    paths = []
    for index, request in enumerate(requests):
        paths.append(kept / f"request-{index}.bpr")
        paths[-1].write_bytes(request.payload)
    rest_body = kept / "predict.json"
    text = base64.b64encode(requests[0].payload).decode()
    rest_body.write_text(json.dumps({"inputs": {input_name: [{"b64": text}]}}), encoding="utf-8")
    return DemoFiles(model_dir, version_dir, tuple(paths), rest_body)
