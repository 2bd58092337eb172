"""TensorFlow Serving's own example model, behind every call of its API: half_plus_two computes x / 2 + 2."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from pathlib import Path

import grpc
import pytest

from navi_core import Host, HostConfig, ModelConfig, TransportSettings
from navi_core.wire import tf_serving

# TensorFlow and its dependencies warn at import about one another
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).parents[2]
MODEL = (
    Path(os.environ.get("NAVI_SHARED_DATA", ROOT.parent / "shared" / "data"))
    / "tf/saved_model_half_plus_two_cpu"
)
SERVICE = "/tensorflow.serving.PredictionService"
REGRESS, CLASSIFY = "tensorflow/serving/regress", "tensorflow/serving/classify"


@pytest.fixture(scope="module")
def _needs():
    pytest.importorskip("navi_tf", reason="navi-tf is not installed")
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    if not MODEL.is_dir():
        pytest.skip("the model is not here (NAVI_SHARED_DATA is not set)")


@pytest.fixture
async def host(_needs):
    config = HostConfig(
        models=(ModelConfig(path=str(MODEL), name="half", stable_ms=0),),
        transports={"grpc": TransportSettings(port=0), "http": TransportSettings(port=0)},
    )
    async with Host(config) as host:
        yield host


def examples(*values):
    made = tf_serving.Input()
    for value in values:
        made.example_list.examples.add().features.feature["x"].float_list.value.append(value)
    return made


async def call(host, rpc, request, response):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{host.addresses['grpc'][0].port}") as channel:
        body = await channel.unary_unary(f"{SERVICE}/{rpc}")(request.SerializeToString(), timeout=60)
    return response.FromString(body)


async def post(host, verb, document, model="half"):
    url = f"http://127.0.0.1:{host.addresses['http'][0].port}/v1/models/{model}:{verb}"

    def ask():
        with urllib.request.urlopen(url, json.dumps(document).encode(), timeout=60) as answer:
            return json.load(answer)

    return await asyncio.to_thread(ask)


def spec(signature=""):
    return tf_serving.ModelSpec(name="half", signature_name=signature)


async def test_over_grpc(host):
    regress = tf_serving.RegressionRequest(model_spec=spec("regress_x_to_y"), input=examples(1.0, 5.0))
    answer = await call(host, "Regress", regress, tf_serving.RegressionResponse)
    assert [each.value for each in answer.result.regressions] == [2.5, 4.5]
    assert (answer.model_spec.name, answer.model_spec.signature_name) == ("half", "regress_x_to_y")

    classify = tf_serving.ClassificationRequest(model_spec=spec("classify_x_to_y"), input=examples(1.0, 5.0))
    answer = await call(host, "Classify", classify, tf_serving.ClassificationResponse)
    scores = [[(each.label, each.score) for each in row.classes] for row in answer.result.classifications]
    assert scores == [[("", 2.5)], [("", 4.5)]]

    several = tf_serving.MultiInferenceRequest(input=examples(2.0))
    several.tasks.add(model_spec=spec("regress_x_to_y"), method_name=REGRESS)
    several.tasks.add(model_spec=spec("classify_x_to_y"), method_name=CLASSIFY)
    results = (await call(host, "MultiInference", several, tf_serving.MultiInferenceResponse)).results
    assert results[0].regression_result.regressions[0].value == 3.0
    assert results[1].classification_result.classifications[0].classes[0].score == 3.0


async def test_over_rest(host):
    answer = await post(host, "predict", {"instances": [[1.0], [2.0], [5.0]]})
    assert answer == {"predictions": [[2.5], [3.0], [4.5]]}
    # the request of TensorFlow Serving's first page, whose shape is not the one that the model declares
    answer = await post(host, "predict", {"instances": [1.0, 2.0, 5.0]})
    assert answer == {"predictions": [2.5, 3.0, 4.5]}
    document = {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": 2.0}]}
    assert await post(host, "regress", document) == {"results": [2.5, 3.0]}
    document["signature_name"] = "classify_x_to_y"
    assert await post(host, "classify", document) == {"results": [[["", 2.5]], [["", 3.0]]]}
    document = {"signature_name": "regress_x_to_y", "context": {"x": 3.0}, "examples": [{}]}
    assert await post(host, "regress", document) == {"results": [3.5]}
