"""What the peers' models share: a session on one thread, from the folder of the models."""

from __future__ import annotations

from pathlib import Path

import onnxruntime


def sessions(models: Path) -> dict[str, onnxruntime.InferenceSession]:
    """Return each model by its name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    return {
        path.parent.parent.name: onnxruntime.InferenceSession(str(path), options, providers=providers)
        for path in sorted(models.glob("*/1/model.onnx"))
    }
