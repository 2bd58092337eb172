"""Requests as clients record them, read by the host's own decoders; answers of its encoders, read by clients."""

from __future__ import annotations

import json

import numpy as np
import pytest

from navi_core.clients.exchanges.table import EXCHANGES
from navi_core.errors import DecodeError, UnsupportedError
from navi_core.messages import ModelRef
from navi_core.signature import DEFAULT_SIGNATURE, Signature, TensorSpec
from navi_core.tensors import DType, dtype_of, numpy_dtype
from navi_core.wire.ndarray_json import decode_json_inference, encode_json_inference
from navi_core.wire.oip_infer_response import encode_infer_response
from navi_core.wire.oip_json_response import encode_json_infer_response
from navi_core.wire.predict_proto import encode_predict_response, parse_predict_request
from navi_core.wire.proton_predict import encode_inference_response, parse_inference_request
from navi_core.wire.tensor_json import decode_json_request

M = ModelRef("m")
X = np.array([[0.5, -1.25], [3.0, 1e-7]], np.float32)
STRINGS = np.array([[b"a", b"\xff\x00"]], dtype=object)
LIMIT = 1 << 20


def same(expected, got) -> bool:
    return expected.dtype == got.dtype and expected.shape == got.shape and expected.tolist() == got.tolist()


def record(name, inputs, model=M, signature=DEFAULT_SIGNATURE):
    return EXCHANGES[name].record(model, inputs, signature)


def test_every_exchange_stands_in_the_table_by_its_name():
    assert {
        f"{protocol}+{scheme}" for protocol in ("tf-serving", "oip", "proton") for scheme in ("grpc", "http")
    } == (set(EXCHANGES))
    for name, each in EXCHANGES.items():
        assert name.endswith(f"+{each.scheme}")
        assert (dict(record(name, {"x": X}).headers) != {}) is (each.scheme == "http")


def test_tf_serving_grpc__is_a_predict_request():
    inputs = {
        "x": X,
        "s": STRINGS,
        "b": np.array([True]),
        "h": np.ones(2, numpy_dtype(DType.BFLOAT16)),
        "none": np.empty((0, 3), np.int64),
    }
    request = record("tf-serving+grpc", inputs, ModelRef("m", 7), "other")
    assert request.path == "/tensorflow.serving.PredictionService/Predict"
    parsed = parse_predict_request(request.body)
    assert (parsed.target.ref, parsed.target.signature) == (ModelRef("m", 7), "other")
    found = parsed.decode_inputs(LIMIT)
    assert set(found) == set(inputs)
    assert all(same(array, found[name]) for name, array in inputs.items())
    labelled = parse_predict_request(record("tf-serving+grpc", {"x": X}, ModelRef("m", label="stable")).body)
    assert (labelled.target.ref, labelled.target.signature) == (ModelRef("m", label="stable"), "")


def test_tf_serving_http__is_a_json_request():
    request = record("tf-serving+http", {"x": X, "s": STRINGS}, ModelRef("a/b", 7), "other")
    assert request.path == "/v1/models/a%2Fb/versions/7:predict"
    assert json.loads(request.body)["signature_name"] == "other"
    specs = {name: TensorSpec(name=name, dtype=dtype_of(each)) for name, each in (("x", X), ("s", STRINGS))}
    found = decode_json_request(request.body, lambda _: specs).inputs
    assert same(X, found["x"])
    assert same(STRINGS, found["s"])
    assert (
        record("tf-serving+http", {"x": X}, ModelRef("m", label="a b")).path
        == "/v1/models/m/labels/a%20b:predict"
    )


def test_oip__is_an_infer_request():
    from navi_core.wire.oip_infer_request import parse_infer_request
    from navi_core.wire.oip_json_request import parse_json_infer_request

    signature = Signature(
        inputs={
            name: TensorSpec(name=name, dtype=dtype)
            for name, dtype in (("x", DType.FLOAT32), ("s", DType.STRING))
        },
        outputs={},
    )
    texts = np.array([[b"a", b"\xc3\xa9"]], dtype=object)
    grpc = record("oip+grpc", {"x": X, "s": STRINGS}, ModelRef("m", 7))
    parsed = parse_infer_request(grpc.body)
    found = parsed.decode_inputs(LIMIT, signature)
    assert grpc.path == "/inference.GRPCInferenceService/ModelInfer"
    assert (parsed.terms.model_name, parsed.terms.model_version) == ("m", "7")
    assert same(X, found["x"])
    assert same(STRINGS, found["s"])
    http = record("oip+http", {"x": X, "s": texts}, ModelRef("a/b", 7))
    assert http.path == "/v2/models/a%2Fb/versions/7/infer"
    found = parse_json_infer_request(http.body, None).decode_inputs(LIMIT, signature)
    assert same(X, found["x"])
    assert same(texts, found["s"])


def test_proton__is_an_inference_request():
    parsed = parse_inference_request(record("proton+grpc", {"anything": X}).body)
    assert parsed.model_name == "m"
    request = record("proton+http", {"anything": X})
    assert request.path == "/predict"
    assert decode_json_inference(request.body).model_name == "m"
    assert json.loads(request.body)["data"]["dim"] == [2, 2]


@pytest.mark.parametrize(
    ("name", "inputs", "model", "signature", "message"),
    [
        ("oip+grpc", {"x": X}, ModelRef("m", label="a"), DEFAULT_SIGNATURE, "no labels and signatures"),
        ("oip+http", {"x": X}, M, "other", "no labels and signatures"),
        (
            "oip+grpc",
            {"x": np.ones(1, np.complex64)},
            M,
            DEFAULT_SIGNATURE,
            "no type for elements of complex64",
        ),
        (
            "oip+http",
            {"x": np.ones(1, np.float16)},
            M,
            DEFAULT_SIGNATURE,
            "FP16 has no JSON form: ask over gRPC",
        ),
        ("oip+http", {"x": STRINGS}, M, DEFAULT_SIGNATURE, "no UTF-8 have no JSON form"),
        ("proton+grpc", {"x": X}, ModelRef("m", 1), DEFAULT_SIGNATURE, "no versions"),
        ("proton+http", {"x": X, "y": X}, M, DEFAULT_SIGNATURE, "one input, got 2"),
        ("proton+grpc", {"x": X.astype(np.float64)}, M, DEFAULT_SIGNATURE, "float32 alone, got float64"),
    ],
)
def test_what_a_protocol_cannot_say(name, inputs, model, signature, message):
    with pytest.raises(UnsupportedError, match=message):
        record(name, inputs, model, signature)


def read(name: str, pieces) -> dict:
    return EXCHANGES[name].read(b"".join(pieces))


def test_answers_of_hosts_are_read():
    outputs = {"y": X, "n": np.array([1, 2], np.int64)}
    tf, _ = encode_predict_response(outputs, model="m", version=1, signature="serving_default")
    oip, _ = encode_infer_response(outputs, model="m", version=1)
    oip_json = encode_json_infer_response(outputs, model="m", version=1).pieces
    for name, pieces in (("tf-serving+grpc", tf), ("oip+grpc", oip), ("oip+http", oip_json)):
        found = read(name, pieces)
        assert all(same(array, found[key]) for key, array in outputs.items()), name
    proton, _ = encode_inference_response(X, prediction_id="p", model_name="m")
    proton_json = encode_json_inference(X, prediction_id="p", model_name="m")
    assert same(X, read("proton+grpc", proton)["data"])
    assert same(X, read("proton+http", [proton_json])["data"])


def test_tf_serving_http__outputs_with_and_without_names():
    assert read("tf-serving+http", [b'{"outputs": {"y": [1.5], "s": [{"b64": "/w=="}]}}'])["s"].tolist() == [
        b"\xff"
    ]
    assert read("tf-serving+http", [b'{"outputs": [[1.5]]}'])["output"].tolist() == [[1.5]]
    assert read("tf-serving+http", [b'{"outputs": {"b64": "/w=="}}'])["output"].tolist() == b"\xff"


BROKEN = [
    b"\xff",
    b"[1]",
    b'{"outputs": null}',
    b'{"outputs": [{"name": "y"}]}',
    b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": ["a"], "data": []}], "data": {"dim": [3], "data": [1]}}',
    b'{"outputs": [[1], [2, 3]], "data": {"dim": [-1], "data": []}}',
    b"[" * 100_000,
]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (name, body)
        for name in EXCHANGES
        for body in BROKEN
        if name != "tf-serving+http" or b'"name"' not in body  # any JSON is an output of TensorFlow Serving's
    ],
)
def test_what_is_no_answer(name, body):
    with pytest.raises(DecodeError):
        EXCHANGES[name].read(body)
