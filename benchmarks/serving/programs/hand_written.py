"""grpc.aio and onnxruntime by hand: the least that somebody would write to serve a model over gRPC.

It answers the Open Inference Protocol's ModelInfer, one run a request, on the event loop: no batches, no checks, no
versions, no metrics, no health.

    python hand_written.py PORT MODELS OIP_DESCRIPTORS
"""

from __future__ import annotations

import sys
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import uvloop
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from onnx_model import sessions


def messages(descriptors: Path):
    """Return the classes of the request and of the answer, as protoc's own code would define them."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    names = ("inference.ModelInferRequest", "inference.ModelInferResponse")
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names]


async def serve(port: int, models: Path, descriptors: Path) -> None:
    request_class, response_class = messages(descriptors)
    by_name = sessions(models)

    async def infer(request, _context):
        x = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(request.inputs[0].shape)
        [y] = by_name[request.model_name].run(["y"], {"x": x})
        response = response_class(model_name=request.model_name)
        output = response.outputs.add(name="y", datatype="FP32")
        output.shape.extend(y.shape)
        response.raw_output_contents.append(y.tobytes())
        return response

    method = grpc.unary_unary_rpc_method_handler(
        infer, request_class.FromString, response_class.SerializeToString
    )
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    handler = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": method})
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
