"""KServe's Python server with a model of one's own, which answers both its protocols.

python ks.py GRPC_PORT HTTP_PORT MODELS
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from onnx_model import sessions


class OnnxModel(Model):
    def __init__(self, name, session):
        super().__init__(name)
        self._session = session
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):  # noqa: ARG002 - the base's arguments
        if isinstance(payload, InferRequest):
            [y] = self._session.run(["y"], {"x": payload.inputs[0].as_numpy()})
            output = InferOutput(name="y", shape=list(y.shape), datatype="FP32")
            output.set_data_from_numpy(y, binary_data=payload.from_grpc)
            return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=[output])
        x = np.array(payload["instances"], np.float32)
        return {"predictions": self._session.run(["y"], {"x": x})[0].tolist()}


if __name__ == "__main__":
    grpc_port, http_port, models = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    server = ModelServer(grpc_port=grpc_port, http_port=http_port, workers=1, enable_latency_logging=False)
    server.start([OnnxModel(name, session) for name, session in sessions(models).items()])
