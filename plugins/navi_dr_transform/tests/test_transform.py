"""``navi-host transform``."""

from __future__ import annotations

import base64
import io
import json
import sys
from types import SimpleNamespace

import navi_dr_transform.request_files
import navi_dr_transform.transform
import numpy as np
import pytest
from navi_dr_transform import load_converter
from navi_dr_transform._generated.data.ttypes import DataRecord
from navi_dr_transform.npz_file import NpzFile
from navi_dr_transform.request_files import requests_in
from navi_dr_transform.thrift_records import data_record, encode_request, float_tensor

from navi_core import DecodeError, ModelLoadError
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
    assert "payload 1" not in ran.err
    assert " (at offset " in ran.err
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
        (
            ["--layout", "away", "{file}"],
            1,
            'layout: expected one of "home", "segdense" or table, got "away"',
        ),
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


def test_many_requests_are_the_tensors_of_each(transform, version, tmp_path, monkeypatch):
    """Chunks are joined: by number, by bytes, and one request at a time where tensors would be large."""
    payloads = [encode_request([data_record(continuous={7: n})] * (n % 3)) for n in range(20)]
    expected, row_ends = load_converter(version).convert(payloads)
    file = write(tmp_path / "many", lines(*payloads))
    for name, value in (("_MOST_REQUESTS", 3), ("_CHUNK_BYTES", 1), ("_CHUNK_TENSOR_BYTES", 1)):
        monkeypatch.setattr(navi_dr_transform.transform, name, value)
        ran = transform(file)
        assert (ran.status, ran.err) == (0, "")
        np.testing.assert_array_equal(ran.arrays["row_ends"], row_ends)
        np.testing.assert_array_equal(ran.arrays["continuous"], expected["continuous"])


def test_files_without_requests_give_arrays_without_rows(transform, tmp_path):
    ran = transform(write(tmp_path / "blank", b"\n\n"))
    assert (ran.status, ran.arrays["binary"].shape, ran.arrays["row_ends"].shape) == (0, (0, 149), (0,))


def test_an_output_that_fails_stays_as_it_was(transform, tmp_path):
    good = write(tmp_path / "good", FIRST)
    assert transform(good).status == 0
    before = (tmp_path / "out.npz").read_bytes()
    assert transform(good, write(tmp_path / "bad", lines(SECOND[:-1]))).status == 1
    assert (tmp_path / "out.npz").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_models_own_options_count(transform, version, tmp_path):
    (version.parent / "navi.toml").write_text("[converter_options]\nembedding_length = 'strict'\n")
    ran = transform(write(tmp_path / "long", LONG))
    assert ran.status == 1
    assert "expected exactly as many values" in ran.err
    (version / "navi.toml").write_text("[converter_options]\nembedding_length = 'pad'\n")
    ran = transform(write(tmp_path / "long", LONG))
    assert f"{version}: converter_options.embedding_length: expected one of " in ran.err
    assert 'got "pad"' in ran.err
    assert transform(tmp_path / "long", "--embedding-length", "truncate").status == 0
    (version / "navi.toml").write_text("[converter_options.layout]")
    assert (
        f"{version}: converter_options.layout.tensors: expected at least one"
        in transform(tmp_path / "long").err
    )
    (version / "navi.toml").write_text("[converter_options]\nsegdense_file = 'absent'\n")
    with pytest.raises(
        ModelLoadError, match=f"expected the mapping file 'absent' in {version}, got:"
    ) as caught:
        load_converter(version)
    assert (caught.value.model, caught.value.version) == ("", None)
    (version / "navi.toml").write_text("[converter_options")
    assert "navi.toml' is no TOML" in transform(tmp_path / "long").err


def test_what_a_file_holds():
    def requests(content, form):
        used = []
        found = list(requests_in(io.BytesIO(content), form, "f", used.append))
        assert sum(used) in (len(content), len(content) + 1)  # a last line may lack its end
        return found

    text = lines(FIRST, SECOND)
    assert requests(FIRST, "auto") == [("f", FIRST)]
    assert requests(text, "auto") == [("f line 1", FIRST), ("f line 2", SECOND)]
    assert requests(text, "raw") == [("f", text)]
    assert requests(b"", "auto") == []
    assert requests(b"", "raw") == [("f", b"")]
    with pytest.raises(DecodeError, match="f line 1: expected base64"):
        requests(FIRST, "base64")


def test_lines_are_found_whatever_the_blocks(monkeypatch):
    monkeypatch.setattr(navi_dr_transform.request_files, "_HEAD_BYTES", 5)
    monkeypatch.setattr(navi_dr_transform.request_files, "_BLOCK_BYTES", 7)
    text = lines(FIRST, SECOND, FIRST) + b"\r\n"
    found = [payload for _, payload in requests_in(io.BytesIO(text), "auto", "f")]
    assert found == [FIRST, SECOND, FIRST]


def test_strings_of_any_length_are_two_arrays(tmp_path):
    first = np.array([[b"a", b""], [b"\0\0", b"long"]], dtype=object)
    second = np.array([[b"", b"xyz"]], dtype=object)
    with NpzFile(tmp_path / "o.npz") as npz:
        for array in (first, second):
            npz.append({"text": array})
    arrays = np.load(tmp_path / "o.npz")
    whole, ends = arrays["text.bytes"].tobytes(), arrays["text.ends"]
    starts = np.concatenate([[0], ends.ravel()[:-1]])
    found = [whole[start:end] for start, end in zip(starts, ends.ravel(), strict=True)]
    assert ends.shape == (3, 2)
    assert found == [*first.ravel(), *second.ravel()]


def test_a_layout_of_the_models_own_is_converted_with_its_strings(transform, version, tmp_path):
    (version / "navi.toml").write_text(
        """
        [[converter_options.layout.tensors]]
        name = "language"
        source = "string"
        default = "?"
        features = [1, 2]
        """
    )
    payload = encode_request([DataRecord(stringFeatures={2: "ja"}), DataRecord(stringFeatures={1: ""})])
    ran = transform(write(tmp_path / "file", payload))
    assert (ran.status, ran.err) == (0, "")
    assert ran.arrays["language.bytes"].tobytes() == b"?ja?"
    assert ran.arrays["language.ends"].tolist() == [[1, 3], [3, 4]]
    assert ran.arrays["row_ends"].tolist() == [2]
