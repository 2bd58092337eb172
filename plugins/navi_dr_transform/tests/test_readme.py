"""The README's layout example, as it stands there."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from navi_dr_transform import load_converter
from navi_dr_transform._generated.data.ttypes import DataRecord
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.feature_map import Place
from navi_dr_transform.kernel_cache import kernel_files
from navi_dr_transform.layout import DTYPES, LayoutTensor, Source
from navi_dr_transform.options import BprOptions
from navi_dr_transform.resolve import resolve_layout
from navi_dr_transform.thrift_records import encode_request, float_tensor

from navi_core import Artifact, DType

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture(scope="module")
def example():
    """The settings of the example."""
    _, _, after = README.read_text(encoding="utf-8").partition("<!-- layout example -->\n```toml\n")
    return tomllib.loads(after.partition("```")[0])


def test_the_example_is_the_layout_that_it_says(example):
    assert example["converter"] == "bpr"
    options = msgspec.convert(example["converter_options"], BprOptions)
    resolved = resolve_layout(Artifact(name="m", version=1, files={}), options)
    dense, *others = resolved.layout.tensors
    assert (dense.name, dense.dtype, dense.width) == ("dense", DType.FLOAT32, 3)
    assert math.isnan(dense.default)
    assert others == [
        LayoutTensor("flags", DType.FLOAT32, 64, Source.BINARY, 0),
        LayoutTensor("author", DType.FLOAT32, 200, Source.TENSOR, 0),
        LayoutTensor("country", DType.INT64, 2, Source.SPARSE_BINARY, 0),
        LayoutTensor("language", DType.STRING, 1, Source.STRING, b"en"),
    ]
    assert resolved.features.columns[Source.CONTINUOUS, 1812] == (Place(0, 2),)
    assert resolved.features.columns[Source.BINARY, feature_id("tweet.has_link")] == (Place(1, 7),)
    assert resolved.features.embeddings == {2: feature_id("author.embedding")}
    assert resolved.layout.positions == {3: (0, 1, 2)}


def test_the_example_converts_requests(example, tmp_path):
    (tmp_path / "navi.toml").write_text(
        README.read_text(encoding="utf-8")
        .partition("<!-- layout example -->\n```toml\n")[2]
        .partition("```")[0]
    )
    record = DataRecord(
        continuousFeatures={feature_id("tweet.num_likes"): 3.0},
        binaryFeatures={-12},
        stringFeatures={feature_id("user.language"): "ja"},
        sparseBinaryFeatures={feature_id("user.countries"): {"jp", "fr"}},
        tensors={feature_id("author.embedding"): float_tensor([0.5] * 200)},
    )
    arrays, row_ends = load_converter(tmp_path).convert([encode_request([record, DataRecord()])])
    assert row_ends.tolist() == [2]
    np.testing.assert_array_equal(arrays["dense"], np.array([[np.nan, 3, np.nan], [np.nan] * 3], np.float32))
    assert np.argwhere(arrays["flags"]).tolist() == [[0, 9]]
    assert arrays["author"].sum(axis=1).tolist() == [100.0, 0.0]
    assert arrays["country"].tolist() == [[0, 1], [0, 0]]
    assert arrays["language"].tolist() == [[b"ja"], [b"en"]]


def test_every_option_has_a_row():
    text = README.read_text(encoding="utf-8")
    for option in BprOptions.__struct_fields__:
        assert f"`{option}`" in text, option
    for source in DTYPES:
        assert f"`{source.name.lower()}`" in text, source


def test_every_kernel_file_is_listed():
    _, _, develop = README.read_text(encoding="utf-8").partition("## Develop")
    for path in kernel_files():
        assert f"{path.name}`" in develop, path.name
