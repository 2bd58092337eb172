from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensor_examples import arrays, same

from navi_core.errors import DecodeError
from navi_core.wire import tf_serving
from navi_core.wire.predict_proto import encode_predict_response, parse_predict_request
from navi_core.wire.tensor_proto import encode_tensor

NAMES = st.text(max_size=4)

FLOATS = np.arange(6, dtype=np.float32).reshape(2, 3)


class Decoded:
    def __init__(self, body, max_tensor_bytes=1 << 30):
        parsed = parse_predict_request(body)
        self.model_spec = None if parsed.target is None else parsed.target.spec
        self.output_filter = parsed.output_filter
        self.inputs = parsed.decode_inputs(max_tensor_bytes)


def request_of(inputs, output_filter=(), **spec):
    message = tf_serving.PredictRequest(output_filter=output_filter)
    for name, array in inputs.items():
        message.inputs[name].ParseFromString(b"".join(encode_tensor(array)))
    if spec:
        message.model_spec.SetInParent()
        message.model_spec.MergeFrom(tf_serving.ModelSpec(**spec))
    return message


@settings(deadline=None)
@given(
    inputs=st.dictionaries(NAMES, arrays(), max_size=3),
    output_filter=st.lists(NAMES, max_size=3),
    name=NAMES,
    unusual=st.booleans(),
)
def test_decode__gives_back_what_was_encoded(inputs, output_filter, name, unusual):
    message = request_of(inputs, output_filter, name=name, signature_name="s")
    if unusual:
        message.client_id = b"somebody"
    decoded = Decoded(message.SerializeToString())
    assert decoded.model_spec == message.model_spec
    assert decoded.output_filter == tuple(output_filter)
    assert decoded.inputs.keys() == inputs.keys()
    for key, array in inputs.items():
        assert same(decoded.inputs[key], array)


@settings(deadline=None)
@given(
    inputs=st.dictionaries(NAMES, arrays(), max_size=2),
    data=st.data(),
)
def test_decode__damaged_bytes_give_arrays_or_a_decode_error(inputs, data):
    whole = request_of(inputs, ["y"], name="m").SerializeToString()
    if data.draw(st.booleans(), label="truncate"):
        damaged = whole[: data.draw(st.integers(0, len(whole)), label="length")]
    else:
        flipped = bytearray(whole)
        flipped[data.draw(st.integers(0, len(whole) - 1), label="position")] ^= data.draw(
            st.integers(1, 255), label="bits"
        )
        damaged = bytes(flipped)
    try:
        decoded = Decoded(damaged, max_tensor_bytes=1 << 20)
    except DecodeError:
        return
    # protobuf reads the same out of it
    message = tf_serving.PredictRequest.FromString(damaged)
    assert decoded.inputs.keys() == set(message.inputs)
    assert list(decoded.output_filter) == list(message.output_filter)
    assert (decoded.model_spec or tf_serving.ModelSpec()) == message.model_spec


def test_decode__every_truncation_of_a_request():
    whole = request_of({"x": FLOATS}, ["y"], name="m").SerializeToString()
    outcomes = set()
    for length in range(len(whole)):
        try:
            Decoded(whole[:length])
            outcomes.add("decoded")
        except DecodeError:
            outcomes.add("refused")
    assert outcomes == {"decoded", "refused"}


def test_decode__floats_are_views_of_the_body():
    body = request_of({"x": FLOATS, "z": FLOATS}, name="m").SerializeToString()
    decoded = Decoded(body)
    for array in decoded.inputs.values():
        assert np.shares_memory(array, np.frombuffer(body, np.uint8))


def test_decode__takes_a_memoryview():
    body = request_of({"x": FLOATS}, ["y"], name="m", version_label="l").SerializeToString()
    decoded = Decoded(memoryview(body))
    assert decoded.model_spec.version_label == "l"
    assert same(decoded.inputs["x"], FLOATS)


def test_decode__an_empty_message_has_nothing():
    decoded = Decoded(b"")
    assert (decoded.model_spec, decoded.inputs, decoded.output_filter) == (None, {}, ())


def test_decode__an_empty_model_spec_is_there():
    assert Decoded(b"\x0a\x00").model_spec is not None


def test_decode__parts_of_a_model_spec_are_merged():
    parts = [{"name": "m"}, {"signature_name": "s"}]
    body = b"".join(
        tf_serving.PredictRequest(model_spec=tf_serving.ModelSpec(**part)).SerializeToString()
        for part in parts
    )
    spec = Decoded(body).model_spec
    assert (spec.name, spec.signature_name) == ("m", "s")


def test_decode__the_last_of_equal_names_counts():
    first, last = request_of({"x": FLOATS}), request_of({"x": FLOATS + 1})
    body = first.SerializeToString() + last.SerializeToString()
    assert same(Decoded(body).inputs["x"], FLOATS + 1)


def test_decode__an_entry_without_key_or_value():
    # map entries may leave out either: an empty name, an empty TensorProto
    value = b"".join(encode_tensor(np.float32(1)))
    entry = b"\x12" + bytes([len(value)]) + value
    assert same(Decoded(b"\x12" + bytes([len(entry)]) + entry).inputs[""], np.array(1, "f4"))
    with pytest.raises(DecodeError, match="input 'x'"):
        Decoded(b"\x12\x03\x0a\x01x")


def test_decode__a_bad_tensor_is_named():
    message = request_of({"x": FLOATS})
    message.inputs["bad"].dtype = 1
    message.inputs["bad"].tensor_shape.dim.add(size=-1)
    with pytest.raises(DecodeError) as caught:
        Decoded(message.SerializeToString())
    assert caught.value.tensor == "bad"


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x05m", b"\x12\x04\x0a\x02\xff\xfe", b"\x1a\x01\xff"])
def test_decode__refuses_what_is_no_request(body):
    with pytest.raises(DecodeError):
        Decoded(body)


def test_decode__broadcasts_of_one_request_are_bounded_together():
    message = tf_serving.PredictRequest()
    for index in range(4):
        tensor = message.inputs[f"x{index}"]
        tensor.dtype = 1
        tensor.float_val.append(1.0)
        tensor.tensor_shape.dim.add(size=100)
    body = message.SerializeToString()
    assert len(Decoded(body, max_tensor_bytes=1600).inputs) == 4
    with pytest.raises(DecodeError, match="at most"):
        Decoded(body, max_tensor_bytes=1599)


@settings(deadline=None)
@given(
    outputs=st.dictionaries(NAMES, arrays(), max_size=3),
    version=st.integers(0, 2**63 - 1),
    as_content=st.booleans(),
)
def test_encode__protobuf_reads_the_same_arrays(outputs, version, as_content):
    pieces, _ = encode_predict_response(
        outputs, model="m", version=version, signature="s", as_content=as_content
    )
    message = tf_serving.PredictResponse.FromString(b"".join(pieces))
    assert message.model_spec.WhichOneof("version_choice") == "version"
    assert (message.model_spec.name, message.model_spec.version.value) == ("m", version)
    assert message.model_spec.signature_name == "s"
    assert set(message.outputs) == set(outputs)
    body = tf_serving.PredictRequest(inputs=message.outputs).SerializeToString()
    for name, array in Decoded(body).inputs.items():
        assert same(array, outputs[name])


def test_encode__the_golden_response():
    pieces, has_views = encode_predict_response(
        {"y": np.array([2.5], dtype=np.float32)}, model="m", version=1, signature="serving_default"
    )
    golden = "0a130a0179120e08011204120208012a040000204012180a016d120208011a0f73657276696e675f64656661756c74"
    assert b"".join(pieces).hex() == golden
    assert not has_views


def test_encode__large_tensors_stay_views():
    large = np.ones((100, 1000), dtype=np.float32)
    pieces, has_views = encode_predict_response(
        {"small": FLOATS, "large": large}, model="m", version=1, signature="s"
    )
    assert has_views
    assert [len(piece) for piece in pieces if isinstance(piece, memoryview)] == [large.nbytes]
    message = tf_serving.PredictResponse.FromString(b"".join(pieces))
    assert len(message.outputs["large"].float_val) == large.size
