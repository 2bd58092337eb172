"""LitServe with an ONNX model in each API, which answers as TensorFlow Serving's REST API does.

python lit.py HTTP_PORT MODELS
"""

from __future__ import annotations

import sys
from pathlib import Path

import litserve
import numpy as np
from onnx_model import sessions


class Predict(litserve.LitAPI):
    def __init__(self, model, models):
        super().__init__(api_path=f"/v1/models/{model}:predict")
        self._model, self._models = model, models

    def setup(self, device):  # noqa: ARG002 - the base's argument
        self._session = sessions(self._models)[self._model]

    def decode_request(self, request):
        return np.array(request["instances"], np.float32)

    def predict(self, x):
        return self._session.run(["y"], {"x": x})[0]

    def encode_response(self, output):
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    port, models = int(sys.argv[1]), Path(sys.argv[2])
    apis = [Predict(path.parent.parent.name, models) for path in sorted(models.glob("*/1/model.onnx"))]
    server = litserve.LitServer(apis, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
