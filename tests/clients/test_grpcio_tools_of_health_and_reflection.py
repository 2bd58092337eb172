"""grpcio's own clients of health checking and reflection against a running host."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

pytestmark = pytest.mark.integration


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


@pytest.fixture
def reflected(channel):
    """A pool whose files come from the host, as they are asked for."""
    package = "grpc_reflection.v1alpha.proto_reflection_descriptor_database"
    database = pytest.importorskip(package, reason="grpcio-reflection is not installed")
    return database.ProtoReflectionDescriptorDatabase(channel)


def test_every_service_is_listed_and_found(reflected):
    pool = DescriptorPool(reflected)
    names = list(reflected.get_services())
    assert {"tensorflow.serving.PredictionService", "grpc.health.v1.Health", "predict.Predictor"} <= set(
        names
    )
    # a plugin's whose messages are no protobuf: such a service is listed, and nothing describes it
    for name in [each for each in names if not each.endswith(".GraphInferenceServer")]:
        assert pool.FindServiceByName(name).methods


def test_predict_through_messages_of_the_reflected_pool(reflected, channel):
    service = DescriptorPool(reflected).FindServiceByName("tensorflow.serving.PredictionService")
    method = service.methods_by_name["Predict"]
    request = GetMessageClass(method.input_type)()
    request.model_spec.name = "mul_1"
    tensor = request.inputs["X"]
    tensor.dtype = 1
    for size in (3, 2):
        tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.append(2.0)
    call = channel.unary_unary(
        "/tensorflow.serving.PredictionService/Predict",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    answer = call(request, timeout=60)
    np.testing.assert_array_equal(answer.outputs["Y"].float_val, [2, 4, 6, 8, 10, 12])


def test_what_is_not_there(reflected):
    with pytest.raises(KeyError):
        DescriptorPool(reflected).FindMessageTypeByName("no.Such")


def test_health(channel):
    health_pb2 = pytest.importorskip(
        "grpc_health.v1.health_pb2", reason="grpcio-health-checking is not installed"
    )
    from grpc_health.v1.health_pb2_grpc import HealthStub

    stub = HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    names = ("", "PredictionService", "tensorflow.serving.ModelService", "model/mul_1")
    for name in names:
        assert stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=60).status == serving
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="model/mul_1"), timeout=60)
    assert next(watch).status == serving
    watch.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="model/nobody"), timeout=60)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    statuses = stub.List(health_pb2.HealthListRequest(), timeout=60).statuses
    assert set(names) <= set(statuses)
