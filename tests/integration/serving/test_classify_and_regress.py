"""Classify, Regress and MultiInference against a running host.

The model's default signature takes tensors and stands behind the converter tf_example; the other one reads examples
by itself.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request

import grpc
import numpy as np
import pytest

from navi_core import (
    DType,
    Host,
    HostConfig,
    LoadOptions,
    ModelConfig,
    Runtime,
    Servable,
    Signature,
    TensorSpec,
    TransportSettings,
)
from navi_core.testing.registries import registry_of
from navi_core.wire import tf_serving

pytestmark = pytest.mark.integration

SERVICE = "/tensorflow.serving.PredictionService"


class Ranker(Servable):
    """``scores`` are x - 1 and x + 1; ``outputs``, of the other signature, the sum of feature x."""

    def __init__(self):
        x = TensorSpec(name="x", dtype=DType.FLOAT32, shape=("batch", 2))
        examples = TensorSpec(name="inputs", dtype=DType.STRING, shape=("batch",))
        classes = TensorSpec(name="classes", dtype=DType.STRING, shape=("batch", 2))
        scores = TensorSpec(name="scores", dtype=DType.FLOAT32, shape=("batch", 2))
        outputs = TensorSpec(name="outputs", dtype=DType.FLOAT32, shape=("batch", 1))
        self.signatures = {
            "serving_default": Signature(
                inputs={"x": x}, outputs={"classes": classes, "scores": scores}, batchable=True
            ),
            "value": Signature(inputs={"inputs": examples}, outputs={"outputs": outputs}, batchable=True),
        }

    def run(self, signature, inputs, outputs, ctx):
        if signature == "value":
            examples = map(tf_serving.Example.FromString, inputs["inputs"])
            sums = [sum(each.features.feature["x"].float_list.value) for each in examples]
            return {"outputs": np.float32(sums)[:, np.newaxis]}
        x = inputs["x"]
        answers = {
            "classes": np.tile(np.array([b"no", b"yes"], dtype=object), (len(x), 1)),
            "scores": x + np.float32([-1, 1]),
        }
        return {name: answers[name] for name in outputs}


class RankerRuntime(Runtime):
    name = "ranker"

    def recognise(self, artifact):
        return "ranker" if artifact.has("ranker") else None

    def load(self, artifact, options: LoadOptions):
        return Ranker()


@pytest.fixture
async def host(tmp_path):
    version = tmp_path / "m" / "4"
    version.mkdir(parents=True)
    (version / "ranker").touch()
    config = HostConfig(
        models=(ModelConfig(path=str(tmp_path / "m"), converter="tf_example", stable_ms=0),),
        transports={"grpc": TransportSettings(port=0), "http": TransportSettings(port=0)},
    )
    async with Host(config, registry=registry_of(runtimes=[RankerRuntime])) as host:
        yield host


def example(*values):
    made = tf_serving.Example()
    made.features.feature["x"].float_list.value.extend(values)
    return made


async def call(host, rpc, request, response):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{host.addresses['grpc'][0].port}") as channel:
        method = channel.unary_unary(
            f"{SERVICE}/{rpc}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        return await method(request, timeout=60)


async def test_over_grpc(host):
    request = tf_serving.ClassificationRequest(model_spec=tf_serving.ModelSpec(name="m"))
    request.input.example_list.examples.extend([example(1, 2), example(3, 4)])
    answer = await call(host, "Classify", request, tf_serving.ClassificationResponse)
    shown = [[(each.label, each.score) for each in row.classes] for row in answer.result.classifications]
    assert shown == [[("no", 0.0), ("yes", 3.0)], [("no", 2.0), ("yes", 5.0)]]
    assert answer.model_spec.version.value == 4

    several = tf_serving.MultiInferenceRequest()
    several.input.example_list_with_context.context.MergeFrom(example(5, 6))
    several.input.example_list_with_context.examples.add()
    for signature, method in (("value", "regress"), ("serving_default", "classify")):
        spec = tf_serving.ModelSpec(name="m", signature_name=signature)
        several.tasks.add(model_spec=spec, method_name=f"tensorflow/serving/{method}")
    results = (await call(host, "MultiInference", several, tf_serving.MultiInferenceResponse)).results
    assert [each.value for each in results[0].regression_result.regressions] == [11.0]
    assert len(results[1].classification_result.classifications) == 1

    request.input.example_list.examples.add()  # without the feature
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(host, "Classify", request, tf_serving.ClassificationResponse)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "'x'" in caught.value.details()


async def test_over_rest(host):
    def post(verb, document):
        url = f"http://127.0.0.1:{host.addresses['http'][0].port}/v1/models/m:{verb}"
        with urllib.request.urlopen(url, json.dumps(document).encode(), timeout=60) as answer:
            return json.load(answer)

    document = {"context": {"x": [1.0, 2.5]}, "examples": [{}, {"x": [3.0, 4.0]}]}
    answer = await asyncio.to_thread(post, "classify", document)
    assert answer == {"results": [[["no", 0.0], ["yes", 3.5]], [["no", 2.0], ["yes", 5.0]]]}
    answer = await asyncio.to_thread(post, "regress", {**document, "signature_name": "value"})
    assert answer == {"results": [3.5, 7.0]}
