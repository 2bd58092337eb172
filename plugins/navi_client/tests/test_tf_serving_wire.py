"""TensorFlow Serving's messages: written as the core and TensorFlow write them, read however they are written."""

from __future__ import annotations

import contextlib
import importlib.util

import numpy as np
import pytest
from client_arrays import arrays, same
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_client import ClientError, DecodeError, Request, Target, UnsupportedError
from navi_client.protocols.tf_serving import TfServing

from navi_core.wire import tf_serving as core
from navi_core.wire.predict_proto import encode_predict_response, parse_predict_request
from navi_core.wire.tensor_proto import encode_tensor

PROTOCOL = TfServing(1 << 20)
NAMES = st.text(min_size=1, max_size=4)
TENSORS = st.dictionaries(NAMES, arrays(), max_size=3)


def response_of(body):
    return PROTOCOL.predict(Request(Target("m"), {})).read(body)


@settings(max_examples=150)
@given(TENSORS, st.lists(NAMES, max_size=2), st.one_of(st.none(), st.integers(0, 2**63 - 1)))
def test_the_core_reads_what_the_client_writes(tensors, wanted, version):
    target = Target("model", version, signature="sig")
    exchange = PROTOCOL.predict(Request(target, tensors, wanted))
    parsed = parse_predict_request(exchange.body)
    assert parsed.target.spec.name == "model"
    assert parsed.target.spec.signature_name == "sig"
    assert parsed.target.spec.HasField("version") == (version is not None)
    assert parsed.target.spec.version.value == (version or 0)
    assert parsed.output_filter == tuple(wanted)
    assert same(parsed.decode_inputs(1 << 20), tensors)


@settings(max_examples=150)
@given(NAMES, arrays())
def test_the_bytes_are_those_of_the_cores_messages(name, array):
    message = core.PredictRequest(model_spec=core.ModelSpec(name="m"), output_filter=["y"])
    as_content = array.dtype != object
    message.inputs[name].ParseFromString(b"".join(encode_tensor(array, as_content=as_content)))
    assert PROTOCOL.predict(Request(Target("m"), {name: array}, ["y"])).body == message.SerializeToString()


@settings(max_examples=150)
@given(TENSORS, st.booleans())
def test_the_client_reads_what_the_core_writes(tensors, as_content):
    pieces, _ = encode_predict_response(
        tensors, model="m", version=3, signature="serving_default", as_content=as_content
    )
    outputs = response_of(b"".join(pieces))
    assert same(outputs, tensors)
    assert (outputs.model, outputs.version, outputs.signature) == ("m", "3", "serving_default")


@settings(max_examples=60)
@given(TENSORS)
def test_what_protobuf_writes_is_read_too(tensors):
    message = core.PredictResponse(model_spec=core.ModelSpec(name="m"))
    for name, array in tensors.items():
        message.outputs[name].ParseFromString(b"".join(encode_tensor(array)))
        message.outputs[name].version_number = 1  # no fast path takes this field
    outputs = response_of(message.SerializeToString())
    assert same({name: outputs[name] for name in tensors}, tensors)


@settings(max_examples=60)
@given(TENSORS, TENSORS)
def test_an_unusual_answer_is_read_as_protobuf_reads_it(first, second):
    # as a proxy may write it: in two parts, the later of which wins, with a field of tomorrow at the end
    parts = [
        encode_predict_response(each, model="m", version=3, signature="s")[0] for each in (first, second)
    ]
    body = b"".join(piece for part in parts for piece in part) + b"\xf8\x07\x01"
    outputs = response_of(body)
    wanted = {**first, **second}
    assert same({name: outputs[name] for name in wanted}, wanted)
    assert (outputs.model, outputs.version, len(outputs)) == ("m", "3", len(wanted))


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_answer_is_refused_or_read_and_nothing_else(data):
    tensors = data.draw(TENSORS)
    pieces, _ = encode_predict_response(tensors, model="m", version=3, signature="s")
    body = bytearray(b"".join(pieces))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        assert response_of(bytes(body[: data.draw(st.integers(0, len(body)))])) is not None


def test_known_bytes():
    exchange = PROTOCOL.predict(Request(Target("m"), {"x": ["ab"]}))
    assert exchange.method == "/tensorflow.serving.PredictionService/Predict"
    assert exchange.body.hex() == "0a030a016d12110a0178120c08071204120208014202" + b"ab".hex()
    body = bytes.fromhex(
        "0a130a0179120e08011204120208012a040000204012180a016d120208011a0f73657276696e675f64656661756c74"
    )
    outputs = response_of(body)
    assert outputs["y"].tolist() == [2.5]
    assert outputs["y"].base is not None  # a view of the body
    assert not outputs["y"].flags.writeable
    assert (outputs.model, outputs.version, outputs.signature) == ("m", "1", "serving_default")


def test_version_zero_and_a_label_are_sent():
    spec = core.PredictRequest.FromString(PROTOCOL.predict(Request(Target("m", 0), {})).body).model_spec
    assert spec.HasField("version")
    spec = core.PredictRequest.FromString(
        PROTOCOL.predict(Request(Target("m", label="a"), {})).body
    ).model_spec
    assert spec.version_label == "a"


def test_an_answer_that_would_become_too_large_is_refused_before_memory_is_taken():
    message = core.PredictResponse()
    tensor = message.outputs["y"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add().size = 1 << 40
    tensor.float_val.append(1.0)  # the last value stands for all that follow
    with pytest.raises(DecodeError, match=r"output 'y': expected at most 1048576 bytes"):
        response_of(message.SerializeToString())


def test_what_the_protocol_has_not():
    with pytest.raises(UnsupportedError, match="ids and parameters"):
        PROTOCOL.predict(Request(Target("m"), {}, parameters={"a": 1}))
    with pytest.raises(UnsupportedError, match="streams"):
        PROTOCOL.stream_method()
    with pytest.raises(ValueError, match="version: expected an int"):
        PROTOCOL.predict(Request(Target("m", "v1"), {}))
    with pytest.raises(TypeError, match=r"datetime64"):
        PROTOCOL.predict(Request(Target("m"), {"x": np.array(["2020-01-01"], "M8[D]")}))


def test_classify_regress_and_their_answers():
    exchange = PROTOCOL.classify(Target("m"), [{"a": [1.0]}, b""], {"c": "x"})
    request = core.ClassificationRequest.FromString(exchange.body)
    assert len(request.input.example_list_with_context.examples) == 2
    assert request.input.example_list_with_context.context.features.feature["c"].bytes_list.value == [b"x"]
    answer = core.ClassificationResponse()
    classes = answer.result.classifications.add().classes
    classes.add(label="cat", score=0.5)
    [[found]] = exchange.read(answer.SerializeToString())
    assert (found.label, found.score) == ("cat", 0.5)

    exchange = PROTOCOL.regress(Target("m", 2), [{"a": 1}], None)
    request = core.RegressionRequest.FromString(exchange.body)
    assert request.model_spec.version.value == 2
    assert request.input.example_list.examples[0].features.feature["a"].int64_list.value == [1]
    answer = core.RegressionResponse()
    answer.result.regressions.add(value=2.5)
    values = exchange.read(answer.SerializeToString())
    assert values.dtype == np.float32
    assert values.tolist() == [2.5]
    with pytest.raises(TypeError, match="expected a sequence"):
        PROTOCOL.regress(Target("m"), {"a": 1}, None)


def test_metadata_and_status():
    definitions = core.SignatureDefMap()
    info = definitions.signature_def["serving_default"].inputs["x"]
    info.dtype = 1
    for size in (-1, 3):
        info.tensor_shape.dim.add().size = size
    unknown = definitions.signature_def["serving_default"].outputs["y"]
    unknown.dtype = 21
    unknown.tensor_shape.unknown_rank = True
    answer = core.GetModelMetadataResponse(model_spec=core.ModelSpec(name="m"))
    answer.model_spec.version.value = 4
    answer.metadata["signature_def"].value = definitions.SerializeToString()
    found = PROTOCOL.metadata(Target("m")).read(answer.SerializeToString())
    assert (found.model, found.versions) == ("m", ("4",))
    x, y = found.inputs["serving_default"]["x"], found.outputs["serving_default"]["y"]
    assert (x.dtype, x.shape) == ("float32", (None, 3))
    assert (y.dtype, y.shape) == ("DataType 21", None)
    with pytest.raises(DecodeError, match="expected signature_def"):
        PROTOCOL.metadata(Target("m")).read(b"")

    states = core.GetModelStatusResponse.FromString(bytes.fromhex("0a060801101e1a00"))
    states.model_version_status.add(version=2, state=77).status.error_message = "broken"
    read = PROTOCOL.status(Target("m")).read(states.SerializeToString())
    assert [(each.version, each.state, each.error) for each in read] == [
        (1, "AVAILABLE", ""),
        (2, "77", "broken"),
    ]
    ready = PROTOCOL.ready(Target("m"))
    assert ready.read(states.SerializeToString())
    assert not ready.read(b"")


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")  # TensorFlow and its dependencies warn at import about one another
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array([[-1, 2**40]]),
        np.array([True, False]),
        np.array([1, 2], np.float16),
        np.array([1 + 2j, 0], np.complex64),
        np.array([b"a", b"", b"bcd"], dtype=object),
    ],
    ids=lambda array: str(array.dtype),
)
def test_the_bytes_are_those_of_tensorflow_serving_api(array):
    if (
        importlib.util.find_spec("tensorflow") is None
        or importlib.util.find_spec("tensorflow_serving") is None
    ):
        pytest.skip("tensorflow-serving-api is not installed")
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    theirs = predict_pb2.PredictRequest(output_filter=["y"])
    theirs.model_spec.name = "m"
    theirs.model_spec.version.value = 3
    theirs.model_spec.signature_name = "s"
    theirs.inputs["x"].CopyFrom(tf.make_tensor_proto(array))
    body = PROTOCOL.predict(Request(Target("m", 3, signature="s"), {"x": array}, ["y"])).body
    if theirs.inputs["x"].tensor_content or array.dtype == object:
        assert body == theirs.SerializeToString(deterministic=True)
    read = predict_pb2.PredictRequest.FromString(body)
    assert same({"x": tf.make_ndarray(read.inputs["x"])}, {"x": array})

    answer = predict_pb2.PredictResponse()
    answer.outputs["y"].CopyFrom(tf.make_tensor_proto(array))
    assert same(response_of(answer.SerializeToString()), {"y": array})


def test_errors_of_answers_are_client_errors():
    with pytest.raises(ClientError, match="PredictResponse"):
        response_of(b"\xff")
