"""JSON of the Open Inference Protocol: limits, documents, damaged bodies."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navi_core.errors import DecodeError, InvalidRequestError, NaviError
from navi_core.signature import Signature, TensorSpec
from navi_core.tensors import DType
from navi_core.wire.oip_json_document import _depth, parse_object
from navi_core.wire.oip_json_request import json_length, parse_json_infer_request

SIGNATURE = Signature(
    inputs={"x": TensorSpec(name="x", dtype=DType.FLOAT32, shape=(None, 2))}, outputs={}, batchable=True
)
DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=12,
)


def depth_of(value):
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 0


@given(DOCUMENTS, st.booleans())
def test_depth__is_that_of_the_document_whatever_its_strings_hold(document, ascii_only):
    text = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert _depth(text) == depth_of(document)


@pytest.mark.parametrize(
    "text", [b'{"a": "[[[[", "b": "\\"[[[["}', b'{"a\\\\": "[[[["}', b'{"[": "]", "]": "["}']
)
def test_depth__brackets_in_strings_do_not_count(text):
    assert _depth(text) == 1
    assert parse_object(text, max_depth=1)


def test_limits__are_looked_at_before_parsing():
    bomb = b'{"a":' + b"[" * 1_000_000
    with pytest.raises(InvalidRequestError, match="nesting depth"):
        parse_object(bomb)
    with pytest.raises(InvalidRequestError, match="expected at most 10 bytes"):
        parse_object(b'{"a": 12345}', max_json_bytes=10)


@pytest.mark.parametrize(
    "text", [b'{"a": 1} x', b'{"a": 1}{}', b"", b"nul", b'{"a": \xff}', b'{"a": 0' + b"1" * 5000 + b"}"]
)
def test_documents__that_are_no_json_are_refused(text):
    with pytest.raises(InvalidRequestError, match="failed to parse the request JSON buffer"):
        parse_object(text)


def test_documents__may_have_bare_words():
    assert parse_object(b'{"a": [Infinity, -Infinity, 1e400]}') == {"a": [np.inf, -np.inf, np.inf]}


@given(DOCUMENTS)
def test_any_document__is_an_answer_or_refused(document):
    for body in (document, {"inputs": document}, {"inputs": [document], "outputs": document}):
        attempt(json.dumps(body).encode())


@given(st.binary(max_size=60))
def test_noise__is_refused(body):
    attempt(body)
    attempt(body, 0)


def attempt(body, header_length=None):
    try:
        return parse_json_infer_request(body, header_length).decode_inputs(1 << 20, SIGNATURE)
    except NaviError:
        return None


DOCUMENT = {
    "id": "7",
    "parameters": {"p": 1},
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2.5], [3, 4]]},
        {"name": "s", "datatype": "BYTES", "shape": [1], "data": ["é"]},
        {"name": "b", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": 4}},
    ],
    "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
}


def test_damaged_bodies__are_refused_or_read():
    text = json.dumps(DOCUMENT).encode()
    body = text + b"\1\0\2\0"
    good = attempt(body, len(text))
    assert good["b"].tolist() == [1, 2]
    assert good["x"].tolist() == [[1, 2.5], [3, 4]]
    assert good["s"].tolist() == ["é".encode()]
    for index in range(len(body)):
        attempt(body[:index], min(index, len(text)))
        for value in (0, 0x22, 0x5B, 0x7D, 0xFF, body[index] ^ 1):
            attempt(body[:index] + bytes([value]) + body[index + 1 :], len(text))
    for size in range(len(body)):
        attempt(body, size)


@pytest.mark.parametrize(
    ("header", "expected"), [(None, None), ("0", 0), (" 12 ", 12), (b"20", 20), ("0020", 20)]
)
def test_header(header, expected):
    assert json_length(header, 20) == expected


@pytest.mark.parametrize("header", ["", "-1", "1.5", "x", "21", "9" * 30, "٣", "1_0", b"\xff"])
def test_header__that_is_no_length_of_the_body_is_refused(header):
    with pytest.raises(InvalidRequestError):
        json_length(header, 20)


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[[1], [2]], [[3], [4]]], [[1, 2, 3, 4]]])
def test_data__may_be_nested_or_flat(data):
    document = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [2, 2], "data": data}]}
    assert attempt(json.dumps(document).encode())["x"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("INT64", 2**63 - 1),
        ("INT64", -(2**63)),
        ("INT64", 2**53 + 1),
        ("UINT64", 2**64 - 1),
        ("UINT8", 255),
        ("INT8", -128),
        ("FP64", 0.1),
        ("FP32", -0.0),
        ("FP64", 10**300),
    ],
)
def test_numbers__at_the_ends_of_their_types(kind, value):
    document = {"inputs": [{"name": "x", "datatype": kind, "shape": [], "data": [value]}]}
    found = attempt(json.dumps(document).encode())["x"]
    assert found.shape == ()
    assert repr(found.item()) == repr(float(value) if kind.startswith("FP") else value)


@pytest.mark.parametrize(
    ("kind", "value"), [("FP64", 10**400), ("BYTES", "\ud800"), ("UINT64", 2**64), ("INT8", 10**30)]
)
def test_values__that_their_type_does_not_have_are_refused(kind, value):
    document = {"inputs": [{"name": "x", "datatype": kind, "shape": [1], "data": [value]}]}
    with pytest.raises(DecodeError):
        parse_json_infer_request(json.dumps(document).encode()).decode_inputs(1 << 20, SIGNATURE)


@pytest.mark.parametrize("shape", ["[true]", "[1.0]", '["1"]', "[null]", "[9223372036854775808]", "{}"])
def test_what_is_kept_of_an_input_lets_no_other_shape_in(shape):
    def body(shape):
        return f'{{"inputs":[{{"name":"x","datatype":"FP32","shape":{shape},"data":[0.5]}}]}}'.encode()

    for _ in range(2):
        [head] = parse_json_infer_request(body("[1]")).terms.inputs
        assert (head.name, head.datatype, head.shape) == ("x", "FP32", (1,))
        assert type(head.shape[0]) is int
        with pytest.raises(InvalidRequestError, match="shape: expected an array of integers"):
            parse_json_infer_request(body(shape))
