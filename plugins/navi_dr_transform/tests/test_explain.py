"""What became of a request, by name."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_dr_transform import wire
from navi_dr_transform._generated.data.ttypes import CompactDataRecord, DataRecord
from navi_dr_transform._generated.prediction_service.ttypes import BatchPredictionRequest, PredictionRequest
from navi_dr_transform.decoder import Decoder
from navi_dr_transform.explain import (
    DefaultColumn,
    Explanation,
    Matched,
    TensorSummary,
    Unknown,
    explain,
)
from navi_dr_transform.explain_show import show
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import HOME, Layout, LayoutTensor, Source
from navi_dr_transform.plain_records import Feature, read_records
from navi_dr_transform.resolved import ResolvedLayout
from navi_dr_transform.thrift_records import data_record, encode_request, float_tensor
from thrift.TSerialization import serialize

from navi_core import DType
from navi_core.cli.main import run

LAYOUT = Layout(
    "l",
    (
        LayoutTensor("dense", DType.FLOAT32, 3, Source.CONTINUOUS),
        LayoutTensor("sparse", DType.INT64, 2, Source.SPARSE_BINARY),
        LayoutTensor("vector", DType.FLOAT32, 2, Source.TENSOR),
        LayoutTensor("other", DType.FLOAT32, 2, Source.TENSOR),
    ),
    {},
    "",
    "",
)
RESOLVED = ResolvedLayout(
    LAYOUT,
    FeatureMap(
        {
            (Source.CONTINUOUS, 1): (Place(0, 0),),
            (Source.CONTINUOUS, 2): (Place(0, 1),),
            (Source.CONTINUOUS, 3): (Place(0, 7),),
            (Source.SPARSE_BINARY, 4): (Place(1, 0, b"us"), Place(1, 1, b"jp")),
        },
        {2: 5, 3: 6},
    ),
    {1: "one", 2: "two", 3: "three", 4: "countries", 9: "nine"},
)
WIDTHS = {0: 3, 1: 2, 2: 2, 3: 2}


def features(*sources_and_ids):
    return [Feature(source, feature_id, 1) for source, feature_id in sources_and_ids]


def test_features_are_matched_unknown_or_missing():
    common = [*features((Source.CONTINUOUS, 1)), Feature(Source.SPARSE_BINARY, 4, None, {b"us": 1, b"fr": 1})]
    records = [
        features((Source.CONTINUOUS, 1), (Source.CONTINUOUS, 3), (Source.TENSOR, 5)),
        features((Source.CONTINUOUS, 9), (Source.BINARY, 1), (Source.CONTINUOUS, 77)),
    ]
    found = explain(records, common, RESOLVED, WIDTHS)
    assert [
        (each.name, each.category, each.tensor, each.column, each.num_rows, each.is_common)
        for each in found.matched
    ] == [
        ("one", "", "dense", 0, 2, True),
        ("countries", "us", "sparse", 0, 2, True),
        ("", "", "vector", None, 1, False),
    ]
    assert [(each.source, each.id, each.name, each.category, each.reason) for each in found.unknown] == [
        ("binary", 1, "one", "", "the layout has it as a continuous feature"),
        ("continuous", 3, "three", "", "its column 7 is outside of the tensor's 3"),
        ("continuous", 9, "nine", "", "known by name, but the layout has no column for it"),
        ("continuous", 77, "", "", "the layout does not know it"),
        ("sparse_binary", 4, "countries", "fr", "the layout has other categories of it"),
    ]
    assert [(each.tensor, each.column, list(each.features)) for each in found.defaults] == [
        ("dense", 1, ["two"]),
        ("sparse", 1, ["countries 'jp'"]),
        ("other", None, ["6"]),
    ]
    assert [(each.name, each.num_mapped, each.num_filled) for each in found.tensors] == [
        ("dense", 2, 1),
        ("sparse", 2, 1),
        ("vector", 1, 1),
        ("other", 1, 0),
    ]


def test_tensors_that_are_not_made_match_nothing():
    found = explain([features((Source.CONTINUOUS, 1))], [], RESOLVED, {1: 2})
    assert [each.reason for each in found.unknown] == ["its tensor is not made"]
    assert {each.tensor for each in found.defaults} == {"sparse"}


IDS = st.sampled_from([7, 8, -9, 5, 6, 20, 21, 99, -2])
RECORDS = st.builds(
    data_record,
    continuous=st.none() | st.dictionaries(IDS, st.floats(1, 2), max_size=4),
    binary=st.none() | st.sets(IDS, max_size=4),
    discrete=st.none() | st.dictionaries(IDS, st.integers(1, 9), max_size=4),
    tensors=st.none()
    | st.dictionaries(st.sampled_from([-2, -3, -4, 7]), st.just(float_tensor([1.0] * 5)), max_size=2),
)


@settings(max_examples=60)
@given(records=st.lists(RECORDS, max_size=3), common=st.none() | RECORDS)
def test_what_is_matched_is_what_the_tensors_hold(features, widths, records, common):
    payload = encode_request(records, common)
    decoder = Decoder(HOME, features, widths, exact_embeddings=False)
    measured = decoder.measure([payload])
    out = decoder.allocate(measured.num_rows)
    decoder.fill(measured, out)
    found = explain(*read_records(payload, "batch"), ResolvedLayout(HOME, features, {}), decoder.widths)
    filled = {}
    for index, array in out.items():
        tensor = HOME.tensors[index]
        differs = ~np.isnan(array) if tensor.source is Source.CONTINUOUS else array != 0
        for column, rows in enumerate(differs.sum(axis=0).tolist()):
            if rows:
                filled[tensor.name, None if tensor.source is Source.TENSOR else column] = rows
    if records:
        assert {(each.tensor, each.column): each.num_rows for each in found.matched} == filled


def sparse(feature_id, *categories):
    return Feature(Source.SPARSE_BINARY, feature_id, None, dict.fromkeys(categories, 1))


def test_a_sparse_feature_of_a_record_replaces_the_common_one_whole():
    found = explain([[sparse(4, b"jp")], [], [sparse(4)]], [sparse(4, b"us")], RESOLVED, WIDTHS)
    assert [(each.category, each.num_rows, each.is_common) for each in found.matched] == [
        ("us", 1, True),
        ("jp", 1, False),
    ]
    found = explain([[sparse(4, b"jp")], [sparse(4)]], [sparse(4, b"us")], RESOLVED, WIDTHS)
    assert [(each.category, each.num_rows) for each in found.matched] == [("jp", 1)]
    assert [(each.category, each.num_rows, each.reason) for each in found.unknown] == [
        ("us", 0, "every record has the feature too, which replaces the common one")
    ]
    assert ("sparse", 0) in [(each.tensor, each.column) for each in found.defaults]


CATEGORY_SETS = st.sets(st.sampled_from(["us", "jp", "fr", "5"]), max_size=3)
SPARSE_RECORDS = st.builds(
    CompactDataRecord,
    sparseBinaryFeatures=st.none() | st.dictionaries(st.just(4), CATEGORY_SETS),
    sparseBinaryFeaturesWith16bSparseKey=st.none()
    | st.dictionaries(st.just(4), st.sets(st.just(5), max_size=1)),
)


@settings(max_examples=60)
@given(records=st.lists(SPARSE_RECORDS, min_size=1, max_size=3), common=st.none() | SPARSE_RECORDS)
def test_categories_that_match_are_those_that_the_tensors_hold(records, common):
    layout = Layout("l", (LayoutTensor("sparse", DType.INT64, 3, Source.SPARSE_BINARY),), {}, "", "")
    places = tuple(Place(0, column, category) for column, category in enumerate((b"us", b"jp", b"5")))
    features_of_layout = FeatureMap({(Source.SPARSE_BINARY, 4): places}, {})
    payload = serialize(BatchPredictionRequest(records, common))
    decoder = Decoder(layout, features_of_layout, {0: 3}, exact_embeddings=False)
    measured = decoder.measure([payload])
    out = decoder.allocate(measured.num_rows)
    decoder.fill(measured, out)
    resolved = ResolvedLayout(layout, features_of_layout, {})
    found = explain(*read_records(payload, "batch"), resolved, decoder.widths)
    filled = {column: rows for column, rows in enumerate(out[0].sum(axis=0).tolist()) if rows}
    assert {each.column: each.num_rows for each in found.matched} == filled


RECORD = {
    "binaryFeatures": {1},
    "discreteFeatures": {3: 4},
    "stringFeatures": {4: "text"},
    "sparseBinaryFeatures": {5: {"a"}},
}
PLAIN = DataRecord(
    **RECORD,
    continuousFeatures={2: 0.5},
    sparseContinuousFeatures={6: {"b": 1.5}},
    blobFeatures={7: b"blob"},
    tensors={8: float_tensor([1])},
)
COMPACT = CompactDataRecord(
    **RECORD,
    continuousFeatures={2: 0x3F000000},
    sparseContinuousFeatures={6: {"b": 0x3FC00000}},
    sparseBinaryFeaturesWith16bSparseKey={9: {-3}},
    blobFeatures={7: b"blob"},
    tensors={8: float_tensor([1])},
)
FOUND = {
    Feature(Source.BINARY, 1, 1),
    Feature(Source.CONTINUOUS, 2, 0.5),
    Feature(Source.DISCRETE, 3, 4),
    Feature(Source.STRING, 4, b"text"),
    Feature(Source.BLOB, 7, b"blob"),
    Feature(Source.TENSOR, 8, None),
}


def split(record):
    sparse = {(each.source, each.id): each.categories for each in record if each.categories is not None}
    return {each for each in record if each.categories is None}, sparse


@pytest.mark.parametrize(
    ("form", "payload"),
    [
        ("record", serialize(PLAIN)),
        ("prediction", serialize(PredictionRequest(PLAIN))),
        ("batch", serialize(BatchPredictionRequest([PLAIN, DataRecord()]))),
        ("record", serialize(COMPACT)),
        ("batch", serialize(BatchPredictionRequest([COMPACT]))),
    ],
)
def test_every_form_of_request_is_read(form, payload):
    records, common = read_records(payload, form)
    assert common == []
    plain, sparse = split(records[0])
    assert plain == FOUND
    compact = sparse.pop((Source.SPARSE_BINARY, 9), None)
    assert sparse == {(Source.SPARSE_BINARY, 5): {b"a": 1}, (Source.SPARSE_CONTINUOUS, 6): {b"b": 1.5}}
    assert compact in (None, {b"-3": 1})


def test_common_features_are_read():
    payload = encode_request([data_record()], data_record(binary=[7]))
    assert read_records(payload, "batch") == ([[]], [Feature(Source.BINARY, 7, 1)])
    assert wire.REQUEST_COMMON == 2


# --- the command --------------------------------------------------------------------------------------

REQUEST = encode_request(
    [data_record(continuous={7: 1.0, 99: 2.0}), data_record(binary=[5])],
    data_record(discrete={20: 3}, tensors={-2: float_tensor([0.0] * 200)}),
)


@pytest.fixture
def ask(mapping, tmp_path, capsys):
    version = mapping.write(tmp_path / "m" / "1")
    file = tmp_path / "requests"
    file.write_bytes(b"\n".join(base64.b64encode(payload) for payload in (REQUEST, REQUEST[:-1])))

    def call(*arguments):
        status = run(["transform", "--version-dir", str(version), str(file), *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def test_the_command_shows_tables_by_name(ask):
    status, out, err = ask("--explain")
    assert (status, err) == (0, "")
    for words in ("2 records", "4 matched", "feature 7", "user", "1 unknown", "99", "stayed default"):
        assert words in out


NAME = "recommendations.earlybird.some.long.feature.name_of_a_thing"
REASON = "known by name, but the layout has no column for it"
LONG = Explanation(
    1,
    [Matched("sparse_continuous", -1234567890123456789, NAME, "c", "user_eng_embedding", None, 12345, True)],
    [Unknown("sparse_continuous", -1234567890123456789, NAME, "c", 12345, REASON)],
    [DefaultColumn("user_eng_embedding", 5, [NAME])],
    [TensorSummary("user_eng_embedding", "float32", "sparse_continuous", 5293, 5000, 5000)],
)


def test_tables_cut_no_words_in_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    show(LONG, "file", as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [[cell.strip() for cell in line.split("│")] for line in lines if line.startswith("│")]
    text = "".join("".join(cells) for cells in zip(*(row for row in rows if len(row) == 9), strict=True))
    for word in ("user_eng_embedding", "float32", "sparse_continuous", "5293"):
        assert word in text
    text = "".join("".join(cells) for cells in zip(*(row for row in rows if len(row) == 7), strict=True))
    for word in (NAME, "-1234567890123456789", "sparse_continuous", REASON.replace(" ", "")):
        assert word in text.replace(" ", "")
    assert "…" not in text


def test_tables_in_a_file_are_as_wide_as_they_need(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    show(LONG, "file", as_json=False)
    out = capsys.readouterr().out
    assert out.count(f"{NAME} 'c' ") == 2
    assert REASON in out
    assert max(map(len, out.splitlines())) < 250
    assert "1 column stayed default" in out
    assert "file: 1 record\n" in "\n".join(map(str.rstrip, out.splitlines()))


def test_the_command_shows_everything_as_json(ask):
    _, out, _ = ask("--explain", "--json")
    found = json.loads(out)
    assert found["num_records"] == 2
    assert {
        (each["name"], each["tensor"], each["column"], each["num_rows"]) for each in found["matched"]
    } == {
        ("feature 7", "continuous", 0, 1),
        ("feature 5", "binary", 1, 1),
        ("feature 20", "discrete", 0, 2),
        ("user", "user_embedding", None, 2),
    }
    assert [each["id"] for each in found["unknown"]] == [99]
    assert {"tensor": "continuous", "column": 2, "features": ["feature 8"]} in found["defaults"]


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--explain", "--number", "2"], 1, "line 2: BatchPredictionRequest: expected more bytes"),
        (["--explain", "--number", "3"], 1, "expected at least 3 requests in the files, got fewer"),
        (["--explain", "-o", "x.npz"], 2, "expected no --output beside it"),
        ([], 2, "expected --output"),
    ],
)
def test_what_cannot_be_explained_is_one_sentence(ask, arguments, status, text):
    found, out, err = ask(*arguments)
    assert (found, out) == (status, "")
    assert text in err
    assert err.count("\n") == 1
