from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.errors import InvalidRequestError
from navi_core.wire.json_document import parse_json
from navi_core.wire.json_tolerant import MAX_DEPTH, MAX_STEPS, parse_json_tolerantly

NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def typed(value):
    """A value with the types of its numbers, to compare 1 with 1.0 and NaN with NaN."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return "nan" if isinstance(value, float) and math.isnan(value) else (type(value), value)


def outcome(parse, text):
    try:
        return typed(parse(text))
    except InvalidRequestError:
        return None


@settings(deadline=None)
@given(document=DOCUMENTS, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
def test_parsers__read_what_json_writes(document, indent, ascii_only):
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    expected = typed(document)
    assert typed(parse_json(text)) == expected
    assert typed(parse_json_tolerantly(text)) == expected


@settings(deadline=None)
@given(document=DOCUMENTS, data=st.data())
def test_parsers__agree_on_damaged_documents(document, data):
    text = bytearray(json.dumps(document).encode())
    for _ in range(data.draw(st.integers(1, 3), label="damages")):
        position = data.draw(st.integers(0, len(text)), label="position")
        text[position : position + data.draw(st.integers(0, 1), label="cut")] = data.draw(
            st.sampled_from(
                [b"", b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"1", b".", b"e", b"-", b" "]
            ),
            label="put in",
        )
    damaged = bytes(text)
    whole, tolerant = outcome(parse_json, damaged), outcome(parse_json_tolerantly, damaged)
    assert whole == tolerant


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[NaN, -NaN]", ["nan", "nan"]),
        ("[Infinity, Inf, -Infinity, -Inf]", [math.inf, math.inf, -math.inf, -math.inf]),
        ('{"a": [1, NaN, "x"]} and more', {"a": [1, "nan", "x"]}),
        ("[1] [2]", [1]),
        ("\ufeff[1]", [1]),
        ('{"a": 1, "a": 2}', {"a": 1}),
        ('{"a" \n : 1, "b": {"c": 2, "c": 3}, "a": 2}', {"a": 1, "b": {"c": 2}}),
        ('{"a": "x\\":", "a": 2}', {"a": 'x":'}),
        ('{"a": [1], "a": [2, {"b": 3}]}', {"a": [1]}),
        ("[1, 1.0, 1e3, -0]", [1, 1.0, 1000.0, 0]),
        ("[18446744073709551615, -9223372036854775808]", [2**64 - 1, -(2**63)]),
        ('["\\ud83d\\ude00 \\u0000 \\/"]', ["\U0001f600 \0 /"]),
        ("[NaN, 123456789012345678901234567890]", ["nan", 123456789012345678901234567890]),
        (" [ ] ", []),
        ("[{}, NaN]", [{}, "nan"]),
    ],
)
def test_parse_json__takes_what_tensorflow_serving_takes(text, expected):
    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return "nan" if isinstance(value, float) and math.isnan(value) else value

    assert plain(parse_json(text.encode())) == expected
    assert plain(parse_json_tolerantly(text.encode())) == expected


def test_parse_json__strings_that_are_not_utf8_keep_their_bytes():
    (value,) = parse_json(b'["a\xff\xe9"]')
    assert value.encode("utf-8", "surrogateescape") == b"a\xff\xe9"


def test_parse_json__takes_a_memoryview():
    assert parse_json(memoryview(b'{"a": NaN}'))["a"] != 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Reasons and offsets as RapidJSON 1.1.0 gives them.
        (b"", "The document is empty. at offset: 0"),
        (b" \n", "The document is empty. at offset: 2"),
        (b"[1,2", "Missing a comma or ] after an array element. at offset: 4"),
        (b"[1 2]", "Missing a comma or ] after an array element. at offset: 3"),
        (b'{"a":1 "b":2}', "Missing a comma or } after an object member. at offset: 7"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b"{1:2}", "Missing a name for object member. at offset: 1"),
        (b'{"a":1,}', "Missing a name for object member. at offset: 7"),
        (b"[1,]", "Invalid value. at offset: 3"),
        (b"nope", "Invalid value. at offset: 0"),
        (b"[1.]", "Miss fraction part in number. at offset: 3"),
        (b"[1e]", "Miss exponent in number. at offset: 3"),
        (b"[1e400]", "Number too big to be stored in double. at offset: 1"),
        (b'"abc', "Missing a closing quotation mark in string. at offset: 0"),
        (b'"a\x01b"', "Invalid encoding in string. at offset: 2"),
        (b'["\\x"]', "Invalid escape character in string. at offset: 1"),
        (b'["\\u12"]', "Incorrect hex digit after \\u escape in string. at offset: 1"),
        (b'["\\ud800"]', "The surrogate pair in string is invalid. at offset: 1"),
        (b'["\\udc00"]', "The surrogate pair in string is invalid. at offset: 1"),
        (b'[NaN, "\\ud800"]', "The surrogate pair in string is invalid. at offset: 6"),
        (b'[NaN, "\\\\ud83d\\ude00"]', "The surrogate pair in string is invalid. at offset: 6"),
        (b"[NaN, 1e400]", "Number too big to be stored in double. at offset: 6"),
        (b"0e x", "Miss exponent in number. at offset: 2"),
    ],
)
def test_parse_json__says_what_is_wrong_and_where(text, message):
    with pytest.raises(InvalidRequestError) as caught:
        parse_json(text)
    assert caught.value.message == f"JSON Parse error: {message}"


@pytest.mark.parametrize("opener", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("count", [50_000, 250_000])
def test_parse_json__refuses_deep_nesting_without_recursion(opener, count):
    with pytest.raises(InvalidRequestError, match=f"Nested deeper than {MAX_DEPTH} levels"):
        parse_json(opener * count)


def test_parse_json__nesting_up_to_the_limit():
    text = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert parse_json_tolerantly(text) == parse_json(text)
    with pytest.raises(InvalidRequestError, match="Nested deeper"):
        parse_json_tolerantly(b"[" + text + b"]")


@pytest.mark.parametrize("element", [b"Inf", b"[Inf]", b'"a"', b"{}", b'"' + b"\\n" * 50 + b'"'])
def test_parse_json_tolerantly__gives_up_on_long_documents(element):
    body = b"[" + b",".join([element] * MAX_STEPS) + b",1,{}]"
    with pytest.raises(InvalidRequestError, match="too long to be read otherwise"):
        parse_json_tolerantly(body)


@pytest.mark.parametrize("element", [b"NaN", b"[NaN, Infinity]", b'{"a": "\\ud83d\\ude00", "a": NaN}'])
def test_parse_json__long_documents_of_the_usual_extensions(element):
    assert len(parse_json(b"[" + b",".join([element] * (2 * MAX_STEPS)) + b"] more")) == 2 * MAX_STEPS


def test_parse_json_tolerantly__arrays_of_numbers_may_be_long():
    assert len(parse_json_tolerantly(b"[" + b",".join([b"1"] * (2 * MAX_STEPS)) + b"]")) == 2 * MAX_STEPS
