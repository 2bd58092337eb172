"""ModelInferRequest -> arrays: two decoders that agree, and bytes of any kind."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.errors import DecodeError, NaviError
from navi_core.signature import Signature
from navi_core.wire import oip
from navi_core.wire.oip_dtypes import BY_NAME
from navi_core.wire.oip_infer_request import _from_message, _from_walked, parse_infer_request
from navi_core.wire.oip_infer_walk import NotPlainError, walk_infer_request

NO_SIGNATURE = Signature(inputs={}, outputs={})
MAX_BYTES = 1 << 20

NAMES = st.text(max_size=5)
PARAMETERS = st.dictionaries(
    NAMES,
    st.one_of(
        st.booleans().map(lambda value: ("bool_param", value)),
        st.integers(-(2**63), 2**63 - 1).map(lambda value: ("int64_param", value)),
        NAMES.map(lambda value: ("string_param", value)),
        st.floats(allow_nan=False).map(lambda value: ("double_param", value)),
    ),
    max_size=3,
)


def set_parameters(messages, parameters):
    for name, (field, value) in parameters.items():
        setattr(messages[name], field, value)


@st.composite
def requests(draw):
    message = oip.ModelInferRequest(model_name=draw(NAMES), model_version=draw(NAMES), id=draw(NAMES))
    set_parameters(message.parameters, draw(PARAMETERS))
    raw = draw(st.booleans())
    for name in draw(st.lists(NAMES, max_size=3)):
        kind = draw(st.sampled_from([*BY_NAME.values()]))
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        added = message.inputs.add(name=name, datatype=kind.name, shape=shape)
        set_parameters(added.parameters, draw(PARAMETERS))
        count = int(np.prod(shape))
        if raw:
            size = count * (4 if kind.name == "BYTES" else kind.numpy.itemsize)
            message.raw_input_contents.append(bytes(size))
        elif kind.field:
            value = b"v" if kind.name == "BYTES" else 1
            getattr(added.contents, kind.field).extend([value] * count)
    for name in draw(st.lists(NAMES, max_size=3)):
        set_parameters(message.outputs.add(name=name).parameters, draw(PARAMETERS))
    return message.SerializeToString()


def split(body):
    return _from_walked(walk_infer_request(body), body)


GOLDEN = oip.ModelInferRequest(
    model_name="m",
    model_version="3",
    id="7",
    inputs=[
        {"name": "x", "datatype": "FP32", "shape": [2, 2], "contents": {"fp32_contents": [1, 2, 3, 4]}},
        {"name": "s", "datatype": "BYTES", "shape": [2], "contents": {"bytes_contents": [b"a", b"bc"]}},
        {"name": "i", "datatype": "INT16", "shape": [3], "contents": {"int_contents": [-1, 0, 1]}},
    ],
    outputs=[{"name": "y"}],
)
GOLDEN.parameters["p"].int64_param = 5
GOLDEN_RAW = oip.ModelInferRequest(
    model_name="m",
    inputs=[
        {"name": "x", "datatype": "FP32", "shape": [2, 2]},
        {"name": "b", "datatype": "BOOL", "shape": [3]},
        {"name": "s", "datatype": "BYTES", "shape": [2]},
    ],
    raw_input_contents=[bytes(16), b"\0\1\0", b"\1\0\0\0a\2\0\0\0bc"],
)


def outcome(parse, body):
    """Return everything that a request says, or the error that it ends with."""
    try:
        parsed = parse(body)
    except NaviError as error:
        return str(error)
    heads = (
        parsed.terms.model_name,
        parsed.terms.model_version,
        parsed.id,
        dict(parsed.terms.parameters),
        [(each.name, each.datatype, each.shape, dict(each.parameters)) for each in parsed.terms.inputs],
        [(each.name, dict(each.parameters)) for each in parsed.terms.outputs],
        parsed.terms.typed,
    )
    try:
        inputs = parsed.decode_inputs(MAX_BYTES, NO_SIGNATURE)
    except NaviError as error:
        return heads, str(error)
    return repr(heads), {
        name: (array.dtype, array.shape, array.tolist() if array.dtype == object else array.tobytes())
        for name, array in inputs.items()
    }


def by_protobuf(body):
    return _from_message(oip.ModelInferRequest.FromString(bytes(body)))


@given(requests())
def test_plain_messages__are_read_by_the_walker_like_by_protobuf(body):
    assert outcome(split, body) == outcome(by_protobuf, body)


@pytest.mark.parametrize("message", [GOLDEN, GOLDEN_RAW], ids=["typed", "raw"])
def test_golden_messages__take_the_short_way(message):
    parsed = split(message.SerializeToString())
    inputs = parsed.decode_inputs(MAX_BYTES, NO_SIGNATURE)
    assert list(inputs) == [each.name for each in message.inputs]
    assert parsed.terms.typed is (message is GOLDEN)


@pytest.mark.parametrize("message", [GOLDEN, GOLDEN_RAW], ids=["typed", "raw"])
def test_damaged_messages__are_read_alike_or_refused(message):
    body = message.SerializeToString()
    damaged = [body[:size] for size in range(len(body))]
    for index in range(len(body)):
        for value in (0, 0x7F, 0x80, 0xFF, body[index] ^ 1, body[index] ^ 8):
            damaged.append(body[:index] + bytes([value]) + body[index + 1 :])
    for each in damaged:
        got = outcome(parse_infer_request, each)
        try:
            expected = outcome(by_protobuf, each)
        except Exception:  # protobuf refuses it: so do we
            assert isinstance(got if isinstance(got, str) else got[1], str), each.hex()
            continue
        assert got == expected, each.hex()


@given(st.binary(max_size=200))
def test_noise__is_refused_or_read(body):
    outcome(parse_infer_request, body)


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_bodies__may_be_of_any_kind(wrap):
    body = wrap(GOLDEN_RAW.SerializeToString())
    assert outcome(parse_infer_request, memoryview(body)) == outcome(by_protobuf, bytes(body))


def test_what_is_unusual__is_left_to_protobuf():
    unpacked = b"\x2a\x0a\x0a\x01x\x12\x01\x41\x18\x02\x08"  # shape as single varints, an unknown field
    with pytest.raises((NotPlainError, IndexError)):
        split(unpacked)
    twice = oip.ModelInferRequest(model_name="a").SerializeToString() * 2
    with pytest.raises(NotPlainError):
        split(twice)
    assert parse_infer_request(twice).terms.model_name == "a"


def test_a_shape_that_is_huge__takes_no_memory():
    for kind in ("FP32", "BYTES"):
        message = oip.ModelInferRequest(inputs=[{"name": "x", "datatype": kind, "shape": [2**40, 2**40]}])
        message.raw_input_contents.append(b"")
        parsed = parse_infer_request(message.SerializeToString())
        with pytest.raises(DecodeError, match="expected at most"):
            parsed.decode_inputs(MAX_BYTES, NO_SIGNATURE)


def test_the_limit__is_of_all_tensors_together():
    one = {"datatype": "UINT8", "shape": [600]}
    message = oip.ModelInferRequest(
        inputs=[{"name": "a", **one}, {"name": "b", **one}], raw_input_contents=[bytes(600)] * 2
    )
    parsed = parse_infer_request(message.SerializeToString())
    assert len(parsed.decode_inputs(1200, NO_SIGNATURE)) == 2
    with pytest.raises(DecodeError, match="expected at most 400 bytes"):
        parsed.decode_inputs(1000, NO_SIGNATURE)


def test_what_clients_repeat__is_parsed_once():
    body = GOLDEN_RAW.SerializeToString()
    first, second = parse_infer_request(body), parse_infer_request(bytes(bytearray(body)))
    assert all(one is other for one, other in zip(first.terms.inputs, second.terms.inputs, strict=True))


def alike_request(request_id, values, *, typed=False):
    message = oip.ModelInferRequest(model_name="m", id=request_id)
    tensor = message.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    if typed:
        tensor.contents.fp32_contents.extend(values)
    else:
        message.raw_input_contents.append(np.array(values, "f4").tobytes())
    return message.SerializeToString()


@pytest.mark.parametrize("typed", [False, True])
def test_alike_requests__are_not_walked_again(monkeypatch, typed):
    parse_infer_request(alike_request("a1", [1, 2, 3, 4], typed=typed))
    monkeypatch.delattr("navi_core.wire.oip_infer_request.walk_infer_request")
    body = alike_request("b2", [5, 6, 7, 8], typed=typed)
    parsed = parse_infer_request(body)
    assert parsed.terms is parse_infer_request(body).terms, "what was settled for one holds for all"
    assert (parsed.terms.model_name, parsed.id, parsed.terms.typed) == ("m", "b2", typed)
    found = parsed.decode_inputs(16, NO_SIGNATURE)["x"]
    assert found.tolist() == [[5, 6, 7, 8]]
    assert not found.flags.writeable
    assert np.shares_memory(found, np.frombuffer(body, np.uint8))


def test_alike_requests__have_to_keep_to_the_limit():
    body = alike_request("a", [1, 2, 3, 4])
    for _ in range(2):
        assert outcome(parse_infer_request, body) == outcome(by_protobuf, body)
        with pytest.raises(DecodeError, match="expected at most 15 bytes"):
            parse_infer_request(body).decode_inputs(15, NO_SIGNATURE)


def test_alike_requests__nothing_of_an_id_is_kept():
    """Ids are as long as a client likes, and layouts are many."""
    message = oip.ModelInferRequest(model_name="kept", raw_input_contents=[bytes(4)])
    message.inputs.add(name="x", datatype="FP32", shape=[1])
    tracemalloc.start()
    try:
        for number in range(8):
            message.id = "i" * (1_000_000 + number)
            assert parse_infer_request(message.SerializeToString()).id == message.id
        message.id = ""
        gc.collect()
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 100_000


def test_alike_requests__an_id_that_is_no_text():
    body = alike_request("ab", [1, 2, 3, 4])
    parse_infer_request(body)
    with pytest.raises(DecodeError, match="bytes that are none"):
        parse_infer_request(body.replace(b"ab", b"\xff\xfe"))


@given(requests(), requests(), st.data())
def test_alike_requests__what_was_read_before_makes_no_difference(first, second, data):
    changed = bytearray(second)
    for _ in range(data.draw(st.integers(0, 3))):
        if changed:
            changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    for body in (first, second, second, bytes(changed)):
        got = outcome(parse_infer_request, body)
        try:
            expected = outcome(by_protobuf, body)
        except Exception:  # protobuf refuses it: so do we
            assert isinstance(got if isinstance(got, str) else got[1], str)
            continue
        assert got == expected
