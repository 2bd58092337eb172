"""MLServer with a runtime of one's own: it ships none for ONNX.

    python ml.py GRPC_PORT HTTP_PORT MODELS

``parallel_workers`` is 0: on one core a process of workers beside the server only costs.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse
from onnx_model import sessions


class OnnxModel(MLModel):
    async def load(self):
        models = Path(self.settings.parameters.uri)
        self._session = sessions(models)[self.name]
        return True

    async def predict(self, payload):
        x = NumpyCodec.decode_input(payload.inputs[0])
        [y] = self._session.run(["y"], {"x": x})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)])


async def serve(grpc_port: int, http_port: int, models: Path, names: list[str]) -> None:
    settings = Settings(
        debug=False,
        host="127.0.0.1",
        grpc_port=grpc_port,
        http_port=http_port,
        parallel_workers=0,
        metrics_endpoint=None,
        grpc_max_message_length=1 << 28,
    )
    found = [
        ModelSettings(name=name, implementation=OnnxModel, parameters={"uri": str(models)}) for name in names
    ]
    await MLServer(settings).start(found)


if __name__ == "__main__":
    models = Path(sys.argv[3])
    names = sorted(path.name for path in models.iterdir())
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), models, names))
