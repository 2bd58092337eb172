"""Every service of navi-core, and a stranger's, under the suite that plugin authors get."""

from __future__ import annotations

import pytest

from navi_core import DType, Signature, TensorSpec
from navi_core.services.health import HealthService
from navi_core.services.openapi.service import OpenApiService
from navi_core.services.operations import OperationsService
from navi_core.services.reflection.service import ReflectionService
from navi_core.services.tf_serving.service import TfServingService
from navi_core.testing import Sample, ServiceConformance
from navi_core.wire import grpc_health, grpc_reflection, tf_serving

SERVICE_UNKNOWN = grpc_health.HealthCheckResponse(status=3).SerializeToString()


class TestTfServing(ServiceConformance):
    plugin_module = "navi_core.plugins.builtin"

    def make_service(self, context):
        return TfServingService.create(context)

    def samples(self, model):
        predict = tf_serving.PredictRequest()
        predict.model_spec.name = model
        predict.inputs["x"].dtype = 1
        predict.inputs["x"].tensor_shape.dim.add(size=3)
        predict.inputs["x"].float_val.extend([1.0, 2.0, 3.0])
        metadata = tf_serving.GetModelMetadataRequest(metadata_field=["signature_def"])
        metadata.model_spec.name = model
        status = tf_serving.GetModelStatusRequest()
        status.model_spec.name = model
        reload = tf_serving.ReloadConfigRequest()
        reload.config.model_config_list.SetInParent()  # a model that is listed and unknown is a new one
        return {
            "/tensorflow.serving.PredictionService/Predict": predict.SerializeToString(),
            # a signature takes tensors, or examples for one kind of result
            "/tensorflow.serving.PredictionService/Classify": None,
            "/tensorflow.serving.PredictionService/Regress": None,
            "/tensorflow.serving.PredictionService/MultiInference": None,
            "/tensorflow.serving.PredictionService/GetModelMetadata": metadata.SerializeToString(),
            "/tensorflow.serving.ModelService/GetModelStatus": status.SerializeToString(),
            "/tensorflow.serving.ModelService/HandleReloadConfigRequest": reload.SerializeToString(),
            f"POST /v1/models/{model}:predict": b'{"instances": [1.0, 2.5]}',
            "GET /v1/models": b"",
            f"GET /v1/models/{model}": b"",
            f"GET /v1/models/{model}/metadata": b"",
        }


class TestTfServingOfStrings(TestTfServing):
    """The same for a model whose tensors are texts: base64 in JSON, bytes in protobuf."""

    signature = Signature(
        inputs={"t": TensorSpec(name="t", dtype=DType.STRING, shape=(None,))},
        outputs={"u": TensorSpec(name="u", dtype=DType.STRING, shape=(None,))},
        batchable=True,
    )

    def samples(self, model):
        predict = tf_serving.PredictRequest()
        predict.model_spec.name = model
        predict.inputs["t"].dtype = 7
        predict.inputs["t"].tensor_shape.dim.add(size=2)
        predict.inputs["t"].string_val.extend([b"\xff", b"text"])
        return {
            **super().samples(model),
            "/tensorflow.serving.PredictionService/Predict": predict.SerializeToString(),
            f"POST /v1/models/{model}:predict": b'{"inputs": {"t": [{"b64": "/w=="}, "text"]}}',
        }


class TestTfServingOfClasses(TestTfServing):
    """The same for a model that takes serialized examples and gives classes."""

    signature = Signature(
        inputs={"examples": TensorSpec(name="examples", dtype=DType.STRING, shape=(None,))},
        outputs={"classes": TensorSpec(name="classes", dtype=DType.STRING, shape=(None, 2))},
        batchable=True,
    )

    def samples(self, model):
        spec = tf_serving.ModelSpec(name=model)
        predict = tf_serving.PredictRequest(model_spec=spec)
        predict.inputs["examples"].dtype = 7
        predict.inputs["examples"].tensor_shape.dim.add(size=2)
        classify = tf_serving.ClassificationRequest(model_spec=spec)
        classify.input.example_list.examples.add()
        several = tf_serving.MultiInferenceRequest(input=classify.input)
        several.tasks.add(model_spec=spec, method_name="tensorflow/serving/classify")
        return {
            **super().samples(model),
            "/tensorflow.serving.PredictionService/Predict": predict.SerializeToString(),
            "/tensorflow.serving.PredictionService/Classify": classify.SerializeToString(),
            "/tensorflow.serving.PredictionService/MultiInference": several.SerializeToString(),
            f"POST /v1/models/{model}:predict": b'{"instances": ["", ""]}',
            f"POST /v1/models/{model}:classify": b'{"examples": [{"x": 1.5}], "context": {"y": "a"}}',
        }


class TestTfServingOfValues(TestTfServing):
    """The same for a model that takes serialized examples and gives a value for each."""

    signature = Signature(
        inputs={"examples": TensorSpec(name="examples", dtype=DType.STRING, shape=(None,))},
        outputs={"outputs": TensorSpec(name="outputs", dtype=DType.FLOAT32, shape=(None,))},
        batchable=True,
    )

    def samples(self, model):
        regress = tf_serving.RegressionRequest(model_spec=tf_serving.ModelSpec(name=model))
        regress.input.example_list_with_context.examples.add()
        return {
            **super().samples(model),
            "/tensorflow.serving.PredictionService/Predict": None,
            "/tensorflow.serving.PredictionService/Regress": regress.SerializeToString(),
            f"POST /v1/models/{model}:predict": b'{"instances": [{"examples": {"b64": ""}}]}',
            f"POST /v1/models/{model}:regress": b'{"examples": [{"x": [1, 2]}, {}]}',
        }


class TestHealth(ServiceConformance):
    plugin_module = "navi_core.plugins.builtin"

    def make_service(self, context):
        return HealthService.create(context)

    def samples(self, model):
        name = grpc_health.HealthCheckRequest(service=f"model/{model}").SerializeToString()
        return {
            "/grpc.health.v1.Health/Check": name,
            "/grpc.health.v1.Health/Watch": name,
            "/grpc.health.v1.Health/List": b"",
        }

    def says_not_found(self, where, reply):
        if where.endswith("/Watch"):  # the protocol's word: a name that is unknown may become known
            return reply.is_ok and reply.body == SERVICE_UNKNOWN
        return super().says_not_found(where, reply)


class TestOperations(ServiceConformance):
    plugin_module = "navi_core.plugins.builtin"

    def make_service(self, context):
        return OperationsService.create(context)

    def samples(self, model):
        return {
            "GET /healthz/live": b"",
            "GET /healthz/ready": b"",
            "GET /metrics": Sample(metadata={"accept": "application/openmetrics-text"}),
        }


class TestOpenApi(ServiceConformance):
    plugin_module = "navi_core.plugins.builtin"

    def make_service(self, context):
        return OpenApiService.create(context)

    def samples(self, model):
        return {"GET /openapi.json": b""}


class TestReflection(ServiceConformance):
    plugin_module = "navi_core.plugins.builtin"

    def make_service(self, context):
        return ReflectionService.create(context)

    def samples(self, model):
        symbol = "grpc.reflection.v1.ServerReflection"
        found = grpc_reflection.ServerReflectionRequest(file_containing_symbol=symbol).SerializeToString()
        listed = grpc_reflection.ServerReflectionRequest(list_services="").SerializeToString()
        return {
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": found,
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": listed,
        }


class TestToyService(ServiceConformance):
    plugin_module = "toy_service.plugin"

    @pytest.fixture(autouse=True)
    def _installed(self, toy_site, monkeypatch):
        toy_site.install("toy_service")
        monkeypatch.setenv("PYTHONPATH", str(toy_site.folder))

    def make_service(self, context):
        from toy_service.plugin import ToySum

        return ToySum.create(context)

    def samples(self, model):
        return {
            "/toy.Toy/Sum": f"{model} 1 2 3".encode(),
            f"POST /toy/{model}": b"1 2 3",
        }
