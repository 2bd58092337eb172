"""``navi-host transform``."""

from __future__ import annotations

import base64
import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from navi_dr_transform import load_converter
from navi_dr_transform.thrift_records import data_record, encode_request, float_tensor
from navi_dr_transform.transform import read_requests

from navi_core import DecodeError
from navi_core.cli.main import run

FIRST = encode_request([data_record(continuous={7: 1.5}), data_record(binary=[5])])
SECOND = encode_request([data_record(discrete={20: 3})])
LONG = encode_request([data_record(tensors={-2: float_tensor(range(201))})])


@pytest.fixture
def version(mapping, tmp_path):
    return mapping.write(tmp_path / "m" / "1")


@pytest.fixture
def transform(version, tmp_path, capsys):
    """Run the command; answers status, what was said, and the arrays."""

    def call(*arguments):
        output = tmp_path / "out.npz"
        status = run(["transform", "--version-dir", str(version), "-o", str(output), *map(str, arguments)])
        said = capsys.readouterr()
        arrays = dict(np.load(output)) if output.exists() else {}
        return SimpleNamespace(status=status, out=said.out, err=said.err, arrays=arrays)

    return call


def write(path, content):
    path.write_bytes(content)
    return path


def lines(*payloads):
    return b"\n".join(base64.b64encode(payload) for payload in payloads)


def test_raw_files_become_the_tensors_that_load_converter_gives(transform, version, tmp_path):
    files = [write(tmp_path / "a", FIRST), write(tmp_path / "b", SECOND)]
    ran = transform(*files)
    assert (ran.status, ran.err) == (0, "")
    expected, row_ends = load_converter(version).convert([FIRST, SECOND])
    assert ran.arrays.keys() == {*expected, "row_ends"}
    for name, array in {**expected, "row_ends": row_ends}.items():
        assert ran.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(ran.arrays[name], array)
    assert "2 requests" in ran.out
    assert "(3, 5293)" in ran.out


def test_lines_of_base64_are_a_request_each(transform, tmp_path):
    file = write(tmp_path / "lines", lines(FIRST, b"", SECOND) + b"\r\n")
    ran = transform(file, "--json")
    assert json.loads(ran.out)["requests"] == 2
    assert json.loads(ran.out)["arrays"]["binary"] == {"dtype": "int64", "shape": [3, 149]}
    assert ran.arrays["row_ends"].tolist() == [2, 3]


def test_standard_input_is_read(transform, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(SECOND)))
    assert transform("-").arrays["discrete"][0, 0] == 3


def test_a_malformed_request_is_refused_with_its_file_and_offset(transform, tmp_path):
    file = write(tmp_path / "lines", lines(FIRST, SECOND[:-1]))
    ran = transform(write(tmp_path / "good", FIRST), file)
    assert (ran.status, ran.out, ran.arrays) == (1, "", {})
    assert ran.err.startswith(f"navi-host: {file} line 2: BatchPredictionRequest: expected more bytes")
    assert f"offset {len(SECOND) - 1}" in ran.err


def test_a_line_that_is_no_base64_is_refused(transform, tmp_path):
    file = write(tmp_path / "lines", lines(FIRST) + b"\nabc\n")
    ran = transform(file)
    assert ran.status == 1
    assert ran.err.startswith(f"navi-host: {file} line 2: expected base64, got something else")


def test_strict_embeddings(transform, tmp_path):
    file = write(tmp_path / "long", LONG)
    assert transform(file).arrays["user_embedding"][0].tolist() == list(range(200))
    ran = transform(file, "--embedding-length", "strict")
    assert ran.status == 1
    assert "expected exactly as many values" in ran.err


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["missing-file"], 2, "missing-file"),
        (["--layout", "away", "{file}"], 1, "layout: expected one of home, segdense, got 'away'"),
        ([], 2, "missing argument"),
        (["--format", "json", "{file}"], 2, "json"),
        (["-o", "/no/such/folder/out.npz", "{file}"], 2, "'/no/such/folder/out.npz' cannot be written"),
    ],
)
def test_wrong_arguments_are_one_sentence(transform, tmp_path, arguments, status, text):
    file = write(tmp_path / "file", FIRST)
    ran = transform(*(argument.format(file=file) for argument in arguments))
    assert ran.status == status
    assert text in ran.err
    assert ran.err.count("\n") == 1


def test_a_missing_mapping_file_is_one_sentence(transform, version, tmp_path):
    (version / "all_config.json").unlink()
    ran = transform(write(tmp_path / "file", FIRST))
    assert ran.status == 1
    assert "expected the mapping file 'all_config.json'" in ran.err


def test_what_a_file_holds():
    text = lines(FIRST, SECOND)
    assert read_requests(FIRST, "auto", "f") == [("f", FIRST)]
    assert read_requests(text, "auto", "f") == [("f line 1", FIRST), ("f line 2", SECOND)]
    assert read_requests(text, "raw", "f") == [("f", text)]
    assert read_requests(b"", "auto", "f") == []
    assert read_requests(b"", "raw", "f") == [("f", b"")]
    with pytest.raises(DecodeError, match="f line 1: expected base64"):
        read_requests(FIRST, "base64", "f")
