"""Damaged thrift payloads over the wire: refused with an offset or answered right, and nobody else is harmed."""

from __future__ import annotations

import asyncio
import random
import re

import grpc
import grpc.aio
import numpy as np
import pytest

from navi_core.wire.tf_serving import PredictRequest, PredictResponse

navi_dr_transform = pytest.importorskip("navi_dr_transform", reason="thrift is its payload")

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PREDICT = "/tensorflow.serving.PredictionService/Predict"
SPACE = 64
"""Requests in flight at a time: hostile and good ones share batches."""


def predict_body(*payloads):
    request = PredictRequest()
    request.model_spec.name = "recap"
    tensor = request.inputs["examples"]
    tensor.dtype = 7
    tensor.tensor_shape.dim.add().size = len(payloads)
    tensor.string_val.extend(payloads)
    return request.SerializeToString()


def dense_body(tensors):
    """The model's own tensors, which bypass the converter."""
    request = PredictRequest()
    request.model_spec.name = "recap"
    for name, array in tensors.items():
        tensor = request.inputs[name]
        tensor.dtype = {"float32": 1, "int64": 9}[array.dtype.name]
        for size in array.shape:
            tensor.tensor_shape.dim.add().size = size
        tensor.tensor_content = array.tobytes()
    return request.SerializeToString()


def probabilities(answer):
    tensor = PredictResponse.FromString(answer).outputs["probabilities"]
    return np.array(tensor.float_val, np.float32).reshape([dim.size for dim in tensor.tensor_shape.dim])


@pytest.fixture
def recap(tmp_path):
    """The demo's model, and a small request for it with every kind of feature."""
    from navi_dr_transform.demo.features import EMBEDDING_NAMES, feature_id, feature_ids
    from navi_dr_transform.demo.files import write_demo
    from navi_dr_transform.demo.requests import make_requests
    from navi_dr_transform.layout import HomeTensor
    from navi_dr_transform.thrift_records import data_record, encode_request, float_tensor

    files = write_demo(tmp_path / "demo", make_requests(1, 2), "examples")
    continuous, binary = feature_ids(HomeTensor.CONTINUOUS), feature_ids(HomeTensor.BINARY)
    embedding = {
        feature_id(EMBEDDING_NAMES[HomeTensor.AUTHOR_EMBEDDING]): float_tensor(np.linspace(-1, 1, 200))
    }
    records = [
        data_record(
            continuous={continuous[index]: 0.5 + index for index in range(6)},
            binary=binary[:3],
            tensors=embedding if number else {},
        )
        for number in range(2)
    ]
    common = data_record(continuous={continuous[3]: -2.0, continuous[9]: 7.0}, binary=binary[2:5])
    return files, encode_request(records, common)


async def test_damaged_payloads_harm_nobody(serve, recap):
    files, payload = recap
    server = serve("--model-dir", files.model_dir)
    await server.until_ready(120)
    converter = navi_dr_transform.load_converter(files.version_dir)
    damaged = [payload[:length] for length in range(len(payload))]
    rng = random.Random(20261121)
    for _ in range(1000):
        flipped = bytearray(payload)
        flipped[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
        damaged.append(bytes(flipped))

    async with grpc.aio.insecure_channel(server.grpc) as channel:
        call = channel.unary_unary(PREDICT)
        expected = probabilities(await call(predict_body(payload)))
        space = asyncio.Semaphore(SPACE)
        refusals, answers = [], []

        async def good():
            async with space:
                np.testing.assert_allclose(
                    probabilities(await call(predict_body(payload))), expected, atol=1e-5
                )

        async def hostile(bad):
            async with space:
                try:
                    answer = probabilities(await call(predict_body(bad)))
                except grpc.aio.AioRpcError as error:
                    refusals.append(error)
                    return
                tensors, _ = converter.convert([bad])
                tensors.pop("discrete", None)
                dense = probabilities(await call(dense_body(tensors)))
                np.testing.assert_allclose(answer, dense, atol=1e-5)
                answers.append(bad)

        jobs = [job for bad in damaged for job in (hostile(bad), good())]
        await asyncio.gather(*jobs)

    assert server.process.poll() is None
    assert {error.code() for error in refusals} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert all(re.search(r"offset \d+", error.details()) for error in refusals)
    assert len(refusals) >= len(payload)
    assert len(refusals) + len(answers) == len(damaged)
    assert answers
