"""The PredictionService without sockets: the suite of all services, and what its answers are."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_dr_transform._generated.prediction_service import PredictionService
from navi_dr_transform._generated.prediction_service.ttypes import (
    BatchPredictionRequest,
    BatchPredictionResponse,
    PredictionRequest,
    PredictionResponse,
    PredictionServiceException,
)
from navi_dr_transform.encode import encode_response
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.thrift_records import data_record, decode_request
from navi_dr_transform.thrift_service.options import PredictionModelOptions
from navi_dr_transform.thrift_service.scanner import Scan, find_argument, find_records
from navi_dr_transform.thrift_service.service import ThriftPredictionService
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAcceleratedFactory
from thrift.TSerialization import deserialize, serialize

from navi_core import (
    GRPC_STATUS,
    Call,
    ConfigError,
    DecodeError,
    DType,
    ErrorCode,
    InferenceResponse,
    NaviError,
    ServiceOptions,
    Signature,
    TensorSpec,
    join_body,
)
from navi_core.testing import Sample, ServiceConformance
from navi_core.testing.service_stage import MODEL, Stage

BATCH = "/thrift.PredictionService/getBatchPrediction"
SINGLE = "/thrift.PredictionService/getPrediction"
RECORDS = [data_record(continuous={7: 1.5}), data_record(binary=[5])]


def batch_arguments(records=RECORDS, common=None):
    return serialize(PredictionService.getBatchPrediction_args(BatchPredictionRequest(records, common)))


def single_arguments(record=RECORDS[0]):
    return serialize(PredictionService.getPrediction_args(PredictionRequest(record)))


SIGNATURE = Signature(
    inputs={"examples": TensorSpec(name="examples", dtype=DType.STRING, shape=(None,))},
    outputs={"score": TensorSpec(name="score", dtype=DType.FLOAT32, shape=(None,))},
    batchable=True,
)


class TestThriftPrediction(ServiceConformance):
    plugin_module = "navi_dr_transform.plugin"
    heavy_modules = (*ServiceConformance.heavy_modules, "numba", "thrift")
    signature = SIGNATURE

    def make_service(self, context):
        return ThriftPredictionService.create(context)

    def samples(self, model):
        named = {"thrift-service": model}
        return {
            BATCH: Sample(body=batch_arguments(RECORDS[:1]), metadata=named),
            SINGLE: Sample(body=single_arguments(), metadata=named),
        }


# --- what it answers ------------------------------------------------------------------------------------------


class Model:
    """The stage's data plane with a model that answers as a test wants."""

    def __init__(
        self, signature=SIGNATURE, *, model_signature=None, options=None, models=(MODEL,), table=None
    ):
        def make(context):
            tables = {} if table is None else {"thrift_prediction": table}
            object.__setattr__(context, "options", ServiceOptions(tables=tables))
            return ThriftPredictionService.create(context)

        self.stage = Stage(make, signature)
        self.requests = []
        self.answer = {"score": np.array([0.5, 0.25], np.float32)}
        plane = self.stage.plane
        plane.models = lambda: models
        acquire = plane.acquire

        def acquired(ref):
            handle = acquire(ref)
            own = type(handle)

            class Handle(own):
                service_options = {} if options is None else {"thrift_prediction": options}

                def model_signature(self, name):
                    return model_signature or signature

            handle.__class__ = Handle
            return handle

        async def run(request):
            self.requests.append(request)
            if plane.error is not None:
                raise plane.error
            return InferenceResponse(
                outputs=self.answer, model=MODEL, version=1, signature="", release=lambda: None
            )

        plane.acquire = acquired
        plane.run = run

    async def ask(self, path, body, service=""):
        handler = self.stage.target(path).handler
        metadata = {"thrift-service": service} if service else {}
        response = await handler(Call(path=path, body=body, metadata=metadata, transport="thrift"))
        return response.status, response.message, join_body(response.body)

    async def result(self, path, body, service=""):
        status, message, answer = await self.ask(path, body, service)
        assert (status, message) == (0, "")
        kind = (
            PredictionService.getBatchPrediction_result
            if path == BATCH
            else PredictionService.getPrediction_result
        )
        return deserialize(kind(), answer).success


async def test_a_batch_goes_to_the_model_as_it_came():
    model = Model()
    common = data_record(continuous={8: 2.0})
    result = await model.result(BATCH, batch_arguments(RECORDS, common))
    (payload,) = model.requests[0].inputs["examples"].tolist()
    assert payload == serialize(BatchPredictionRequest(RECORDS, common))
    assert (model.requests[0].service, model.requests[0].transport) == ("thrift_prediction", "thrift")
    assert model.requests[0].method == "getBatchPrediction"
    score = feature_id("score")
    assert [each.continuousFeatures for each in result.predictions] == [{score: 0.5}, {score: 0.25}]


async def test_a_long_answer_is_written_off_the_loop():
    model = Model()
    off_loop = []

    async def run_off_loop(work):
        off_loop.append(work)
        return work()

    model.stage.service._run_off_loop = run_off_loop
    await model.result(BATCH, batch_arguments())
    seen = len(off_loop)  # the kernel that finds arguments is loaded there, once
    model.answer = {"score": np.arange(600, dtype=np.float32)}
    result = await model.result(BATCH, batch_arguments())
    assert len(result.predictions) == 600
    assert len(off_loop) == seen + 1


async def test_a_single_prediction_is_a_batch_of_one():
    model = Model()
    model.answer = {"score": np.array([0.5], np.float32)}
    result = await model.result(SINGLE, memoryview(single_arguments()))
    (payload,) = model.requests[0].inputs["examples"].tolist()
    assert decode_request(payload) == BatchPredictionRequest(RECORDS[:1])
    assert result == PredictionResponse(data_record(continuous={feature_id("score"): 0.5}))


async def test_the_model_says_what_its_outputs_are_called():
    options = PredictionModelOptions(response_features={"score": ("recap.engagement.is_favorited",)})
    result = await Model(options=options).result(BATCH, batch_arguments())
    assert result.predictions[0].continuousFeatures == {5572643959053003859: 0.5}


async def test_wrong_names_are_told_as_the_models_fault():
    options = PredictionModelOptions(response_features={"scores": ("a",)})
    status, message, _ = await Model(options=options).ask(BATCH, batch_arguments())
    assert status == GRPC_STATUS[ErrorCode.INTERNAL]
    assert "expected outputs of version 1 of model 'known_model' ('score'), got 'scores'" in message


async def test_a_converter_that_writes_responses_is_believed():
    ready = Signature(
        inputs=SIGNATURE.inputs,
        outputs={"predictions": TensorSpec(name="predictions", dtype=DType.STRING, shape=(None,))},
    )
    response = encode_response({"continuous": {1: [0.5]}})
    model = Model(ready, model_signature=SIGNATURE)
    model.answer = {"predictions": np.array([response], dtype=object)}
    expected = deserialize(BatchPredictionResponse(), response)
    assert await model.result(BATCH, batch_arguments()) == expected
    assert (await model.result(SINGLE, single_arguments())).prediction == expected.predictions[0]
    model.answer = {"predictions": np.array([encode_response({}, num_records=2)], dtype=object)}
    status, message, _ = await model.ask(SINGLE, single_arguments())
    assert (status, "expected one prediction for one record" in message) == (13, True)


async def test_strings_of_another_format_are_refused_with_what_they_are():
    spec = TensorSpec(name="examples", dtype=DType.STRING, content="tensorflow.Example")
    model = Model(Signature(inputs={"examples": spec}, outputs=SIGNATURE.outputs))
    status, message, body = await model.ask(BATCH, batch_arguments())
    assert status == GRPC_STATUS[ErrorCode.FAILED_PRECONDITION]
    assert "converter = 'bpr'), got one whose strings are tensorflow.Example" in message
    assert deserialize(PredictionService.getBatchPrediction_result(), body).predictionServiceException
    assert model.stage.plane.num_refused == 1


async def test_common_features_need_a_model_that_takes_batches():
    spec = TensorSpec(name="examples", dtype=DType.STRING, content="DataRecord")
    model = Model(Signature(inputs={"examples": spec}, outputs=SIGNATURE.outputs))
    await model.result(BATCH, batch_arguments(RECORDS, data_record()))  # none, but written out
    payloads = model.requests[0].inputs["examples"].tolist()
    assert payloads == [serialize(each) for each in RECORDS]
    status, message, _ = await model.ask(BATCH, batch_arguments(RECORDS, data_record(binary=[1])))
    assert status == GRPC_STATUS[ErrorCode.FAILED_PRECONDITION]
    assert "its converter's option request is 'record'): with request = 'batch' it takes batches" in message


# --- models -------------------------------------------------------------------------------------------------


async def test_the_model_is_the_only_one_or_the_default_or_the_one_that_is_named():
    assert (await Model().ask(BATCH, batch_arguments()))[0] == 0
    assert (await Model().ask(BATCH, batch_arguments(), "PredictionService"))[0] == 0
    assert (await Model().ask(BATCH, batch_arguments(), MODEL))[0] == 0
    status, message, _ = await Model().ask(BATCH, batch_arguments(), "other")
    assert (status, "'other'" in message or "other" in message) == (5, True)
    several = {"models": (MODEL, "other")}
    status, message, _ = await Model(**several).ask(BATCH, batch_arguments())
    assert status == 3
    assert "service_options.thrift_prediction.model, got none (models: 'known_model', 'other')" in message
    assert (await Model(**several, table={"model": MODEL}).ask(BATCH, batch_arguments()))[0] == 0


async def test_a_signature_can_be_asked_for():
    model = Model(table={"signature": "serving_default"})
    await model.ask(BATCH, batch_arguments())
    assert model.requests[0].signature == "serving_default"
    status, message, _ = await Model(table={"signature": "no"}).ask(BATCH, batch_arguments())
    assert (status, "got 'no'" in message) == (3, True)


async def test_a_model_that_takes_no_requests_is_named():
    dense = Signature(
        inputs={"x": TensorSpec(name="x", dtype=DType.FLOAT32, shape=(None,))}, outputs=SIGNATURE.outputs
    )
    status, message, _ = await Model(dense).ask(BATCH, batch_arguments())
    assert status == 3
    assert "a single input of strings), got inputs 'x' float32" in message


@pytest.mark.parametrize("table", [{"models": "x"}, {"model": 1}])
def test_a_wrong_table_is_a_configuration_error(table):
    with pytest.raises(ConfigError, match=r"service_options\.thrift_prediction"):
        Model(table=table)


# --- errors --------------------------------------------------------------------------------------------------


async def test_what_the_model_refuses_is_a_declared_exception():
    model = Model()
    model.stage.plane.error = DecodeError("a payload is malformed", offset=12, row=0)
    status, message, body = await model.ask(BATCH, batch_arguments())
    assert status == 3
    result = deserialize(PredictionService.getBatchPrediction_result(), body)
    assert result.success is None
    assert result.predictionServiceException == PredictionServiceException(message)
    assert message == "a payload is malformed (at payload 0, offset 12)"


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        (BATCH, b"", "the end of the payload"),
        (BATCH, b"\0", "getBatchPrediction: expected an argument, got none"),
        (SINGLE, b"\x0c\0\1\0\0", "expected the required field 'features'"),
        (BATCH, b"\x0c\0\1\x0f\0\1\x0c\x7f\xff\xff\xff", "a larger count"),
        (BATCH, b"\x08\0\1\0\0\0\1\0", "expected an argument, got none"),
        (BATCH, batch_arguments()[:-1], "the end of the payload"),
    ],
)
async def test_what_is_no_argument_has_no_result(path, body, text):
    model = Model()
    status, message, answer = await model.ask(path, body)
    assert (status, answer) == (3, b"")
    assert text in message
    assert model.stage.plane.num_refused == 1
    assert not model.requests


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        (b"\0", "expected every required field"),
        (b"\x0b\0\1\0\0\0\0\0", "asks for, got another: string"),
        (b"\x0f\0\1\x0b\0\0\0\1\0\0\0\0\0", "string"),
        (b"\x0f\0\1\x0c\0\0\0\0\x0d\0\2\x0b\x0b\0\0\0\0\0", "map"),
        (b"\x0f\0\1\x0c\0\0\0\3\0\0\0\0", "expected at most 2 records, got 3"),
    ],
)
def test_batches_that_cannot_be_cut_into_records(batch, text):
    with pytest.raises(NaviError, match=text):
        find_records(batch, 2)


@pytest.mark.parametrize("element_type", [0, 11, 12, 15])
def test_an_empty_list_of_any_type_has_no_records(element_type):
    batch = b"\x0f\0\1" + bytes([element_type]) + bytes(4) + b"\0"
    assert find_records(batch, 2) == ([], False)
    factory = TBinaryProtocolAcceleratedFactory(fallback=False)
    assert deserialize(BatchPredictionRequest(), batch, factory).individualFeaturesList == []


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1)), max_size=3), max_size=5), st.booleans()
)
def test_batches_are_cut_where_their_records_end(rows, common_first):
    records = [data_record(continuous=dict(row)) for row in rows]
    batch = serialize(BatchPredictionRequest(records))
    common = b"\x0c\0\2" + serialize(data_record(binary=[4]))
    batch = common + batch if common_first else batch[:-1] + common + b"\0"
    spans, has_common = find_records(batch, 5)
    assert has_common
    assert [batch[slice(*span)] for span in spans] == [serialize(record) for record in records]


# --- arguments ------------------------------------------------------------------------------------------------


def test_the_last_argument_counts_and_other_fields_are_passed_over():
    first, last = (b"\x0c\0\1" + struct.pack(">Bhi", 8, 5, n) + b"\0" for n in (1, 2))
    other = b"\x0b\0\7" + struct.pack(">i", 3) + b"abc" + b"\x0d\0\x08\x0b\x0f" + struct.pack(">i", 1)
    other += struct.pack(">i", 1) + b"k" + b"\x0a" + struct.pack(">i", 1) + bytes(8)
    body = first + other + last + b"\0"
    start, end = find_argument(body)
    assert body[start:end] == last[3:]
    assert end == len(body) - 1


def test_scans_go_on_where_they_stopped():
    body = batch_arguments()
    scan = Scan(12, 0, 1 << 20)
    looks = 0
    for stop in range(len(body) + 1):
        if stop >= scan.wanted:
            looks += 1
            if scan.go_on(body, stop):
                break
    assert (scan.offset, stop) == (len(body), len(body))
    assert looks < len(body) / 2  # it waits for what it knows to come


@pytest.mark.parametrize("path", [BATCH, SINGLE])
def test_what_apache_thrift_writes_is_scanned_whole(path):
    body = batch_arguments() if path == BATCH else single_arguments()
    scan = Scan(12, 0, len(body))
    assert scan.go_on(body, len(body))
    assert scan.offset == len(body)
