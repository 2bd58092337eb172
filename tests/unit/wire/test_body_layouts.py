from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensor_examples import arrays, same

from navi_core.errors import DecodeError
from navi_core.wire import predict_proto, tf_serving
from navi_core.wire.body_layouts import BodyLayouts
from navi_core.wire.predict_proto import parse_predict_request
from navi_core.wire.tensor_proto import array_of_message, encode_tensor


@pytest.fixture
def layouts(monkeypatch):
    """Nothing of what other tests have asked is remembered."""
    fresh = BodyLayouts()
    monkeypatch.setattr(predict_proto, "_LAYOUTS", fresh)
    return fresh


# --- the memory -----------------------------------------------------------------------------------


def test_find__bodies_that_differ_in_holes_alone_are_alike():
    memory = BodyLayouts()
    memory.add(b"head....mid..tail", [(4, 8), (11, 13)], "found")
    assert memory.find(b"head1234mid56tail") == "found"
    assert memory.find(memoryview(b"head1234mid56tail")) == "found"
    assert memory.find(bytearray(b"head1234mid56tail")) == "found"


@pytest.mark.parametrize(
    "body", [b"Head....mid..tail", b"head....mix..tail", b"head....mid..tai!", b"", b"head"]
)
def test_find__anything_else_is_not(body):
    memory = BodyLayouts()
    memory.add(b"head....mid..tail", [(4, 8), (11, 13)], "found")
    assert memory.find(body) is None


def test_find__several_of_one_size():
    memory = BodyLayouts()
    for head in b"abcd":
        memory.add(bytes([head, 0, 0]), [(1, 3)], head)
    assert [memory.find(bytes([head, 1, 1])) for head in b"abcd"] == list(b"abcd")
    memory.add(b"e00", [(1, 3)], ord("e"))
    assert memory.find(b"e11") == ord("e")
    assert memory.find(b"a11") is None  # only so many


def test_add__remembers_a_bounded_number_of_sizes():
    memory = BodyLayouts()
    for size in range(1000):
        memory.add(bytes(size), [(0, size)], size)
    assert sum(memory.find(bytes(size)) == size for size in range(1000)) == 256


def test_add__forgets_bodies_that_are_mostly_structure():
    memory = BodyLayouts()
    memory.add(bytes(1000), [(0, 8)], "found")
    assert memory.find(bytes(1000)) is None


# --- requests -------------------------------------------------------------------------------------


def outcome(body, max_tensor_bytes=1 << 20):
    """Return what a body is read as, comparably: bits of arrays, or the error."""
    try:
        parsed = parse_predict_request(body)
        inputs = parsed.decode_inputs(max_tensor_bytes)
    except DecodeError as error:
        return error.message, error.tensor
    target = parsed.target
    return (
        None if target is None else (target.ref, target.signature, target.spec.SerializeToString()),
        parsed.output_filter,
        parsed.has_content(),
        [(name, array.dtype, array.shape, array.tobytes()) for name, array in inputs.items()],
    )


def request_of(inputs, *, as_content, output_filter=()):
    request = tf_serving.PredictRequest(output_filter=output_filter)
    request.model_spec.name = "m"
    request.model_spec.version.value = 7
    for name, array in inputs.items():
        request.inputs[name].ParseFromString(b"".join(encode_tensor(array, as_content=as_content)))
    return request.SerializeToString(deterministic=True)


NUMBERS = arrays().filter(lambda array: array.dtype != object)


@settings(deadline=None)
@given(
    inputs=st.dictionaries(st.text(max_size=3), NUMBERS, max_size=3),
    as_content=st.booleans(),
    output_filter=st.lists(st.sampled_from("yz"), max_size=1),
    data=st.data(),
)
def test_requests__a_body_is_read_the_same_whatever_was_read_before(inputs, as_content, output_filter, data):
    first = request_of(inputs, as_content=as_content, output_filter=output_filter)
    flipped = bytearray(first)
    for _ in range(data.draw(st.integers(0, 3))):
        flipped[data.draw(st.integers(0, len(first) - 1))] ^= data.draw(st.integers(1, 255))
    second = bytes(flipped)
    limit = data.draw(st.sampled_from([1 << 20, 8]))
    predict_proto._LAYOUTS = BodyLayouts()  # not a fixture: anew for every example
    alone = outcome(second, limit)
    predict_proto._LAYOUTS = BodyLayouts()
    outcome(first)
    assert outcome(second, limit) == alone


def test_requests__alike_ones_are_not_walked_again(layouts, monkeypatch):
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    parse_predict_request(request_of({"x": x}, as_content=False))
    monkeypatch.delattr(predict_proto, "split_predict_request")
    body = request_of({"x": x + 1}, as_content=False)
    found = parse_predict_request(body).decode_inputs(1 << 20)["x"]
    assert same(found, x + 1)
    assert not found.flags.writeable
    assert np.shares_memory(found, np.frombuffer(body, np.uint8))


def test_requests__views_of_bytes_that_can_change_are_read_only_too(layouts):
    body = bytearray(request_of({"x": np.ones(1000, np.float32)}, as_content=True))
    for _ in range(2):
        found = parse_predict_request(memoryview(body)).decode_inputs(1 << 20)["x"]
        assert not found.flags.writeable
        assert np.shares_memory(found, np.frombuffer(body, np.uint8))


def test_requests__bools_are_looked_at_every_time(layouts):
    good = request_of({"x": np.array([True, False])}, as_content=True)
    bad = good.replace(b"\x22\x02\x01\x00", b"\x22\x02\x01\x02")
    assert parse_predict_request(good).decode_inputs(10)["x"].tolist() == [True, False]
    with pytest.raises(DecodeError, match="bools of 0 and 1"):
        parse_predict_request(bad).decode_inputs(10)


def test_requests__one_that_is_too_large_is_refused_though_alike(layouts):
    body = request_of({"x": np.ones(4, np.float32)}, as_content=False)
    parse_predict_request(body).decode_inputs(16)
    with pytest.raises(DecodeError, match="expected at most 15 bytes") as caught:
        parse_predict_request(body).decode_inputs(15)
    assert caught.value.tensor == "x"
    message = tf_serving.PredictRequest.FromString(body)
    with pytest.raises(DecodeError) as plainly:
        array_of_message(message.inputs["x"], name="x", max_tensor_bytes=15)
    assert plainly.value.message == caught.value.message
