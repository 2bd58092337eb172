"""The inputs of ``predict``: JSON in every form, arrays and payloads from files."""

from __future__ import annotations

import contextlib
import io
import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.cli.predict_inputs import read_arrays, read_inputs, read_json, read_payloads
from navi_core.cli.state import CliState
from navi_core.errors import ConfigError, InvalidRequestError, NaviError, RequestError
from navi_core.signature import Signature, TensorSpec
from navi_core.tensors import DType, numpy_dtype
from navi_core.testing.registries import registry_of
from navi_core.wire.plain_json import to_json_value
from navi_core.wire.tf_serving import Example


def signature(**dtypes: DType) -> Signature:
    return Signature(
        inputs={name: TensorSpec(name=name, dtype=dtype) for name, dtype in dtypes.items()}, outputs={}
    )


ONE = signature(x=DType.FLOAT32)
TWO = signature(x=DType.FLOAT32, n=DType.INT64)

FORMS = {
    "rows": (ONE, '{"instances": [[1, 2], [3, 4]]}', {"x": [[1, 2], [3, 4]]}),
    "columns": (ONE, '{"inputs": [[1, 2]]}', {"x": [[1, 2]]}),
    "bare list": (ONE, " [[1, 2]] ", {"x": [[1, 2]]}),
    "bare number": (ONE, "3", {"x": 3}),
    "bare object": (TWO, '{"x": [1], "n": [2]}', {"x": [1], "n": [2]}),
    "rows of objects": (TWO, '{"instances": [{"x": 1, "n": 2}]}', {"x": [1], "n": [2]}),
    "with a signature's name": (ONE, '{\n  "signature_name": "s", "inputs": [1]}', {"x": [1]}),
    "an input that is called inputs": (
        signature(inputs=DType.FLOAT32, y=DType.FLOAT32),
        '{"inputs": [1], "y": [2]}',
        {"inputs": [1], "y": [2]},
    ),
}


@pytest.mark.parametrize(("spec", "text", "expected"), FORMS.values(), ids=FORMS)
def test_read_json__forms(spec, text, expected):
    arrays = read_json(text, spec)
    assert {name: array.tolist() for name, array in arrays.items()} == expected
    assert {name: array.dtype for name, array in arrays.items()} == {
        name: numpy_dtype(spec.inputs[name].dtype) for name in expected
    }


def test_read_json__from_a_file_and_from_stdin(tmp_path, monkeypatch):
    file = tmp_path / "x.json"
    file.write_text("[1]")
    assert read_json(f"@{file}", ONE)["x"].tolist() == [1]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[2]")))
    assert read_json("-", ONE)["x"].tolist() == [2]


def test_read_json__wrong(tmp_path):
    with pytest.raises(ConfigError, match=r"--json: .*no\.json cannot be read: No such file or directory"):
        read_json(f"@{tmp_path / 'no.json'}", ONE)
    for text in ("", "{", "{x: [1]}"):
        with pytest.raises(ConfigError, match=r"--json: expected JSON: .*line 1 column [123] "):
            read_json(text, ONE)
    for text in ("[[1], [1, 2]]", '{"y": 1}', '["a"]'):
        with pytest.raises(InvalidRequestError):
            read_json(text, TWO if text.startswith('{"y"') else ONE)


@given(text=st.text(max_size=30))
@settings(max_examples=150, deadline=None)
def test_read_json__any_text_gives_tensors_or_a_navi_error(text):
    if text.startswith("@") or text == "-":
        return
    with contextlib.suppress(NaviError):  # any other exception fails the test
        read_json(text, ONE)


def test_read_arrays__npy_with_and_without_a_name(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "c.npy", array)
    np.testing.assert_array_equal(read_arrays([str(tmp_path / "c.npy")], ONE)["x"], array)
    np.testing.assert_array_equal(read_arrays([f"n={tmp_path / 'c.npy'}"], TWO)["n"], array)


def test_read_arrays__npz_holds_several(tmp_path):
    np.savez(tmp_path / "all.npz", x=np.ones(2), n=np.zeros(2, np.int64))
    arrays = read_arrays([str(tmp_path / "all.npz")], TWO)
    assert {name: array.dtype.name for name, array in arrays.items()} == {"x": "float64", "n": "int64"}


def test_read_arrays__wrong(tmp_path):
    np.save(tmp_path / "c.npy", np.ones(2))
    np.savez(tmp_path / "all.npz", x=np.ones(2))
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "t.npy").write_text("no array")
    (tmp_path / "e.npy").write_bytes(b"")
    npy, npz = tmp_path / "c.npy", tmp_path / "all.npz"
    for words, text in (
        ([str(npy)], f"--input: expected NAME={npy}, with NAME one of x, n"),
        ([f"x={npz}"], f"--input: expected FILE.npz without a name, got 'x={npz}'"),
        ([f"x={npy}", f"x={npy}"], "--input: expected each input once, got 'x' again"),
        ([f"x={npy}", str(npz)], "--input: expected each input once, got 'x' again"),
        ([f"x={tmp_path / 'no.npy'}"], "cannot be read as .npy or .npz: No such file or directory"),
        ([f"x={tmp_path / 'o.npy'}"], "cannot be read as .npy or .npz: Object arrays cannot be loaded"),
        ([f"x={tmp_path / 't.npy'}"], "cannot be read as .npy or .npz"),
        ([f"x={tmp_path / 'e.npy'}"], "cannot be read as .npy or .npz"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_arrays(words, TWO)
        assert text in str(caught.value)


def test_read_payloads__files_become_one_string_tensor(tmp_path):
    (tmp_path / "a").write_bytes(b"\x00\xff\x00")
    (tmp_path / "b").write_bytes(b"")
    arrays = read_payloads(
        [str(tmp_path / "a"), str(tmp_path / "b")], signature(p=DType.STRING, n=DType.INT64)
    )
    assert arrays["p"].tolist() == [b"\x00\xff\x00", b""]


def test_read_payloads__wrong(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    strings = signature(p=DType.STRING, q=DType.STRING)
    for spec, path, text in (
        (ONE, "a", "--payload: expected a model with one string input, got none"),
        (strings, "a", "--payload: expected a model with one string input, got p, q"),
        (signature(p=DType.STRING), "no", "cannot be read: No such file or directory"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_payloads([str(tmp_path / path)], spec)
        assert text in str(caught.value)


# --- rows by an encoder ---------------------------------------------------------------------------

EXAMPLES = signature(examples=DType.STRING)
OPTIONS = {
    "json_text": None,
    "arrays": (),
    "payloads": (),
    "encode": "tf_example",
    "encode_options": None,
}


def ages(inputs):
    """Return what each example says of an age."""
    [payloads] = inputs.values()
    found = [Example.FromString(payload).features.feature["age"] for payload in payloads]
    return [(each.WhichOneof("kind"), *getattr(each, each.WhichOneof("kind")).value) for each in found]


@pytest.fixture
def encoded():
    registry = registry_of()

    def encoded(spec=EXAMPLES, **values):
        return read_inputs({**OPTIONS, **values}, spec, CliState(lambda: registry))

    return encoded


ROWS = {
    "rows.json": (b'[{"age": 31}, {"age": 40}]', [("int64_list", 31), ("int64_list", 40)]),
    "columns.json": (b'{"age": [31, 0.5]}', [("float_list", 31), ("float_list", 0.5)]),
    "bytes.json": (b'[{"age": {"b64": "/wA="}}]', [("bytes_list", b"\xff\x00")]),
    "ints.csv": (b"age,x\r\n31,a\r\n-4,b\r\n", [("int64_list", 31), ("int64_list", -4)]),
    "floats.CSV": (b"\xef\xbb\xbfage\n1\n.5\n", [("float_list", 1), ("float_list", 0.5)]),
    "strings.csv": (b'age\n"a,\nb"\n1\n', [("bytes_list", b"a,\nb"), ("bytes_list", b"1")]),
    "large.csv": (b"age\n12345678901234567890\n", [("float_list", 12345678901234567890)]),
}


@pytest.mark.parametrize(("name", "content", "expected"), [(k, *v) for k, v in ROWS.items()], ids=ROWS)
def test_encode__rows_from_a_file(encoded, tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)
    got = ages(encoded(arrays=(str(tmp_path / name),)))
    assert got == [
        (kind, pytest.approx(value) if kind == "float_list" else value) for kind, value in expected
    ]


def test_encode__columns_from_npz_and_what_a_cell_lacks(encoded, tmp_path):
    np.savez(tmp_path / "a.npz", age=np.array([7, 8]))
    assert ages(encoded(arrays=(str(tmp_path / "a.npz"),))) == [("int64_list", 7), ("int64_list", 8)]
    (tmp_path / "a.csv").write_text("age,name\n,x\n\n5,\n")
    first, second = encoded(arrays=(str(tmp_path / "a.csv"),))["examples"]
    assert set(Example.FromString(first).features.feature) == {"name"}
    assert set(Example.FromString(second).features.feature) == {"age"}


def test_encode__rows_from_text_with_options_under_the_models_own_name(encoded, tmp_path):
    options = tmp_path / "options.toml"
    options.write_text("[features.age]\ndtype = 'float32'\n")
    inputs = encoded(signature(e=DType.STRING), json_text='[{"age": 31}]', encode_options=options)
    assert list(inputs) == ["e"]
    assert ages(inputs) == [("float_list", 31)]


def test_encode__wrong(encoded, tmp_path):
    files = {
        "a.txt": b"",
        "a.json": b"{",
        "n.json": b"3",
        "b.json": b'[{"a": {"b64": "?"}}]',
        "a.csv": b"a,a\n1,2\n",
        "b.csv": b"a,b\n1\n",
        "c.csv": b"",
        "d.csv": b"a\n\xff\n",
        "e.csv": b'a\n"x',
        "a.npz": b"PK",
        "a.toml": b"[",
        "b.toml": b"x = 1",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with (tmp_path / "b.npz").open("wb") as stream:
        np.save(stream, np.ones(2))
    rows = '[{"a": 1}]'
    for values, text in (
        ({"arrays": (str(tmp_path / "a.txt"),)}, "a.txt: expected a file called .json, .csv, .npz"),
        ({"arrays": (str(tmp_path / "no.json"),)}, "no.json cannot be read: No such file or directory"),
        ({"arrays": (str(tmp_path / "a.json"),)}, "a.json: expected JSON: "),
        ({"arrays": (str(tmp_path / "n.json"),)}, "expected a list of objects, or an object of lists"),
        ({"arrays": (str(tmp_path / "b.json"),)}, 'expected base64 in {"b64": ...}'),
        (
            {"arrays": (str(tmp_path / "a.csv"),)},
            "expected names in the first line, each once, got ['a', 'a']",
        ),
        ({"arrays": (str(tmp_path / "b.csv"),)}, "expected 2 cells, got 1 (line 2)"),
        ({"arrays": (str(tmp_path / "c.csv"),)}, "expected names in the first line, each once, got []"),
        ({"arrays": (str(tmp_path / "d.csv"),)}, "cannot be read as .csv: 'utf-8' codec"),
        ({"arrays": (str(tmp_path / "e.csv"),)}, "cannot be read as .csv: unexpected end of data"),
        ({"arrays": (str(tmp_path / "a.npz"),)}, "cannot be read as .npz: "),
        ({"arrays": (str(tmp_path / "b.npz"),)}, "expected columns with names, got one array"),
        ({"arrays": ("a.json", "b.json")}, "--encode: expected rows from one --input or from --json"),
        ({"arrays": ("a.json",), "json_text": rows}, "--encode: expected rows from one --input"),
        ({"payloads": ("a",)}, "--encode: expected rows from one --input or from --json"),
        ({"json_text": rows, "encode_options": tmp_path / "a.toml"}, "--encode-options: "),
        ({"json_text": rows, "encode_options": tmp_path / "b.toml"}, "converters.tf_example"),
        ({"json_text": rows, "spec": ONE}, "--encode: expected a model with one string input, got none"),
        ({"json_text": "[" * 100_000}, "--json: expected JSON: "),
        ({"encode": None, "encode_options": tmp_path / "a.toml"}, "expected --encode beside it"),
    ):
        with pytest.raises(ConfigError) as caught:
            encoded(**values)
        assert text in str(caught.value), values
    with pytest.raises(RequestError, match="column 'a': expected numbers or strings"):
        encoded(json_text='[{"a": {"b": 1}}]')


# --- values as JSON -------------------------------------------------------------------------------

VALUES = {
    "float32 by its shortest decimal": (np.array([0.1, 1e-8], np.float32), [0.1, 1e-08]),
    "float64": (np.array([[0.1]]), [[0.1]]),
    "float16": (np.array([0.5], np.float16), [0.5]),
    "bfloat16": (np.array([0.5], numpy_dtype(DType.BFLOAT16)), [0.5]),
    "float8": (np.array([0.5], numpy_dtype(DType.FLOAT8_E5M2)), [0.5]),
    "int64": (np.array([2**62]), [2**62]),
    "bool": (np.array([True, False]), [True, False]),
    "complex": (np.array([1 + 2j]), [[1.0, 2.0]]),
    "text": (np.array([b"a", "ä".encode()], object), ["a", "ä"]),
    "bytes that are no text": (np.array([b"\xff"], object), [{"b64": "/w=="}]),
    "a scalar": (np.array(3), 3),
    "a string scalar": (np.array(b"x", object), "x"),
    "no rows": (np.zeros((0, 3)), []),
}


@pytest.mark.parametrize(("array", "expected"), VALUES.values(), ids=VALUES)
def test_to_json_value(array, expected):
    value = to_json_value(array)
    assert value == expected
    json.dumps(value)


@given(
    strings=st.lists(st.binary(max_size=6), max_size=4),
    numbers=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
    floats=st.lists(st.floats(width=32, allow_nan=False), max_size=4),
)
@settings(max_examples=100, deadline=None)
def test_values_written_as_json__read_back_equal(strings, numbers, floats):
    spec = signature(s=DType.STRING, n=DType.INT64, f=DType.FLOAT32)
    arrays = {
        "s": np.array([*strings, None], dtype=object)[:-1],
        "n": np.array(numbers, np.int64),
        "f": np.array(floats, np.float32),
    }
    text = json.dumps({name: to_json_value(array, base64=True) for name, array in arrays.items()})
    again = read_json(text, spec)
    assert again["s"].tolist() == strings
    assert again["n"].tolist() == numbers
    np.testing.assert_array_equal(again["f"], arrays["f"])
