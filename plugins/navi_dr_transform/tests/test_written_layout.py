"""Layouts that are written in a model's configuration."""

from __future__ import annotations

import math
import tomllib

import msgspec
import pytest
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import HOME, HomeTensor, LayoutTensor, Source
from navi_dr_transform.options import BprOptions
from navi_dr_transform.resolve import resolve_layout
from navi_dr_transform.resolved import ResolvedLayout
from navi_dr_transform.written_layout import NOTHING, written_layout

from navi_core import Artifact, DType, ModelLoadError

HOME_BASE = ResolvedLayout(
    HOME,
    FeatureMap({(Source.BINARY, 1): (Place(HomeTensor.BINARY, 7),)}, {3: -1, 4: -1, 5: 9}),
    {1: "one", 77: "known"},
)


def write(text, base=NOTHING):
    section = msgspec.convert({"layout": tomllib.loads(text)}, BprOptions).layout
    return written_layout(section, base, "layout")


def test_a_layout_can_be_written_with_names_and_no_file():
    resolved = write("""
        [[tensors]]
        name = "dense"
        source = "continuous"
        features = ["a.b", "c.d", 17]

        [[tensors]]
        name = "flags"
        source = "binary"
        dtype = "float32"
        width = 8
        features = [{ name = "e.f", column = 5 }, { id = -3 }, { name = "g.h", column = 0 }]

        [[tensors]]
        name = "author"
        source = "tensor"
        width = 64
        feature = "author.vector"
    """)
    dense, flags, author = resolved.layout.tensors
    assert (dense.name, dense.dtype, dense.width, dense.source) == (
        "dense",
        DType.FLOAT32,
        3,
        Source.CONTINUOUS,
    )
    assert math.isnan(dense.default)
    assert flags == LayoutTensor("flags", DType.FLOAT32, 8, Source.BINARY, 0)
    assert author == LayoutTensor("author", DType.FLOAT32, 64, Source.TENSOR, 0)
    assert resolved.features.columns == {
        (Source.CONTINUOUS, feature_id("a.b")): (Place(0, 0),),
        (Source.CONTINUOUS, feature_id("c.d")): (Place(0, 1),),
        (Source.CONTINUOUS, 17): (Place(0, 2),),
        (Source.BINARY, feature_id("e.f")): (Place(1, 5),),
        (Source.BINARY, -3): (Place(1, 6),),
        (Source.BINARY, feature_id("g.h")): (Place(1, 0),),
    }
    assert resolved.features.embeddings == {2: feature_id("author.vector")}
    assert resolved.names[feature_id("c.d")] == "c.d"
    assert resolved.layout.positions == {3: (0, 1, 2)}


def test_strings_blobs_and_categories_of_sparse_features_have_columns():
    resolved = write("""
        [[tensors]]
        name = "language"
        source = "string"
        default = "en"
        feature = 1

        [[tensors]]
        name = "picture"
        source = "blob"
        feature = 2

        [[tensors]]
        name = "countries"
        source = "sparse_binary"
        feature = 3
        categories = ["us", "jp"]

        [[tensors]]
        name = "interests"
        source = "sparse_continuous"
        default = -1.0
        features = [{ id = 3, category = "tea" }, { id = 4, category = "tea", column = 4 }]
    """)
    assert resolved.layout.tensors == (
        LayoutTensor("language", DType.STRING, 1, Source.STRING, b"en"),
        LayoutTensor("picture", DType.STRING, 1, Source.BLOB, b""),
        LayoutTensor("countries", DType.INT64, 2, Source.SPARSE_BINARY, 0),
        LayoutTensor("interests", DType.FLOAT32, 5, Source.SPARSE_CONTINUOUS, -1.0),
    )
    assert resolved.features.columns[Source.SPARSE_BINARY, 3] == (Place(2, 0, b"us"), Place(2, 1, b"jp"))
    assert resolved.features.columns[Source.SPARSE_CONTINUOUS, 4] == (Place(3, 4, b"tea"),)


def test_one_feature_may_fill_several_tensors():
    resolved = write("""
        tensors = [
            { name = "a", source = "discrete", features = [1] },
            { name = "b", source = "discrete", dtype = "float64", features = [2, 1] },
        ]
    """)
    assert resolved.features.columns[Source.DISCRETE, 1] == (Place(0, 0), Place(1, 1))


def test_tensors_are_laid_over_those_of_the_base():
    resolved = write(
        """
        base = "home"
        order = ["user", "dense"]
        rename = { continuous = "dense", user_embedding = "user" }
        tensors = [
            { name = "user", width = 64, feature = "known" },
            { name = "binary", dtype = "float32", default = 0.5 },
            { name = "new", source = "string", features = [5] },
        ]
        """,
        HOME_BASE,
    )
    names = [tensor.name for tensor in resolved.layout.tensors]
    assert names == ["dense", "binary", "discrete", "user", "user_eng_embedding", "author_embedding", "new"]
    assert resolved.layout.tensors[1] == LayoutTensor("binary", DType.FLOAT32, 149, Source.BINARY, 0.5)
    assert resolved.layout.tensors[3].width == 64
    assert resolved.features.columns == {
        (Source.BINARY, 1): (Place(1, 7),),
        (Source.STRING, 5): (Place(6, 0),),
    }
    assert resolved.features.embeddings == {3: 77, 4: -1, 5: 9}  # the base knows the name's id
    assert resolved.layout.positions == {2: (3, 0)}


def test_features_that_are_said_again_replace_those_of_the_base():
    resolved = write(
        'base = "home"\ntensors = [{ name = "binary", features = [{ id = 5, column = 3 }] }]', HOME_BASE
    )
    assert resolved.features.columns == {(Source.BINARY, 5): (Place(1, 3),)}
    assert resolved.layout.tensors[1].width == 149


CONTINUOUS = 'name = "a", source = "continuous"'


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        ("", r"layout.tensors: expected at least one tensor, got none"),
        ('{ name = "a" }', r"tensors\[0\].source: expected the source of the new tensor 'a', got none"),
        (f"{{ {CONTINUOUS} }}", r"tensors\[0\]: expected 'features' of the new tensor 'a', got none"),
        (f"{{ {CONTINUOUS}, features = [] }}", r"tensors\[0\]: expected at least one feature, got none"),
        (
            f'{{ {CONTINUOUS}, dtype = "int64", features = [1] }}',
            r"tensors\[0\].dtype: expected a type of continuous features \(float32, float64\), got int64",
        ),
        (
            f"{{ {CONTINUOUS}, default = true, features = [1] }}",
            r"tensors\[0\].default: expected a number, which float32 holds, got True",
        ),
        (
            f"{{ {CONTINUOUS}, default = 1e300, features = [1] }}",
            r"tensors\[0\].default: expected a number that float32 holds, got 1e\+300",
        ),
        (
            '{ name = "a", source = "discrete", default = 0.5, features = [1] }',
            r"tensors\[0\].default: expected an integer from .*, got 0.5",
        ),
        (
            '{ name = "a", source = "string", default = 1, features = [1] }',
            r"tensors\[0\].default: expected a text, got 1",
        ),
        (
            f"{{ {CONTINUOUS}, width = 2, features = [1, 2, 3] }}",
            r"tensors\[0\].width: expected more than 2 columns, which the features need, got 2",
        ),
        (
            f'{{ {CONTINUOUS}, features = [1, {{ name = "b", column = 0 }}] }}',
            r"tensors\[0\].features\[1\]: expected a column of its own for 'b', got 0, which 1 has",
        ),
        (
            f"{{ {CONTINUOUS}, features = [1, 1] }}",
            r"tensors\[0\].features\[1\]: expected every feature once, got 1, which has column 0 too",
        ),
        (
            f'{{ {CONTINUOUS}, features = [{{ name = "b", id = 1 }}] }}',
            r"features\[0\]: expected either 'name' or 'id', got both",
        ),
        (
            f"{{ {CONTINUOUS}, features = [{{ column = 1 }}] }}",
            r"features\[0\]: expected either 'name' or 'id', got neither",
        ),
        (
            f"{{ {CONTINUOUS}, feature = 1, features = [1] }}",
            r"tensors\[0\]: expected either 'feature' or 'features', got both",
        ),
        (
            f'{{ {CONTINUOUS}, feature = 1, categories = ["x"] }}',
            r"tensors\[0\].categories: expected one sparse 'feature' that has them, got none",
        ),
        (
            f'{{ {CONTINUOUS}, features = [{{ id = 1, category = "x" }}] }}',
            r"features\[0\].category: expected none, since only sparse features have them, got 'x'",
        ),
        (
            '{ name = "a", source = "sparse_binary", features = [1] }',
            r"features\[0\].category: expected the category of a sparse feature, got None",
        ),
        (
            '{ name = "a", source = "sparse_binary", feature = 1 }',
            r"categories: expected the categories of the sparse feature by column, got none",
        ),
        (
            '{ name = "a", source = "tensor", features = [1] }',
            r"features: expected 'feature', since one tensor fills a whole row, got 'features'",
        ),
        (
            f'{{ {CONTINUOUS}, features = [1] }}, {{ name = "a", features = [2] }}',
            r"tensors\[1\].name: expected another name than 'a', which an earlier tensor has",
        ),
    ],
)
def test_a_section_that_contradicts_itself_is_refused_with_its_path(tensors, text):
    with pytest.raises(ModelLoadError, match=text):
        write(f"tensors = [{tensors}]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'rename = { kontinuous = "c" }',
            r"rename.kontinuous: expected one of .*; did you mean 'continuous'\?",
        ),
        (
            'rename = { continuous = "binary" }',
            r"expected every tensor to have a name of its own, got 'binary' twice",
        ),
        (
            'order = ["binary", "discrete", "binary"]',
            r"order\[2\]: expected every tensor once, got 'binary' again",
        ),
        ('order = ["binary", "dense"]', r"order\[1\]: expected one of continuous, .*, got 'dense'"),
        ('tensors = [{ name = "binry", features = [1] }]', r"did you mean 'binary'\?"),
        (
            'tensors = [{ name = "binary", source = "discrete" }]',
            r"tensors\[0\].source: expected binary, which the base's 'binary' comes from, got discrete",
        ),
        ('tensors = [{ name = "binary", width = 3 }]', r"tensors\[0\].width: expected more than 7 columns"),
        (
            'tensors = [{ name = "continuous", dtype = "int64" }]',
            r"tensors\[0\].dtype: expected a type of continuous features",
        ),
    ],
)
def test_a_section_that_contradicts_its_base_is_refused_with_its_path(text, message):
    with pytest.raises(ModelLoadError, match=message):
        write(f'base = "home"\n{text}', HOME_BASE)


@pytest.mark.parametrize(
    "table",
    [
        {"base": "away"},
        {"tensors": [{"source": "binary"}]},
        {"tensors": [{"name": "a", "source": "int"}]},
        {"tensors": [{"name": "a", "width": 0}]},
        {"tensors": [{"name": "a", "width": 2**30}]},
        {"tensors": [{"name": "a", "features": [2**63]}]},
        {"tensors": [{"name": "a", "features": [{"names": "x"}]}]},
        {"tensor": []},
    ],
)
def test_a_section_of_another_form_is_refused(table):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"layout": table}, BprOptions)


# --- from a version's files ---------------------------------------------------------------------------


def resolve(files, **options):
    artifact = Artifact(name="m", version=3, files=files)
    return resolve_layout(artifact, msgspec.convert(options, BprOptions))


SECTION = {"tensors": [{"name": "a", "source": "binary", "features": ["feature 5", "other"]}]}


def test_a_written_layout_needs_no_files():
    resolved = resolve({}, layout=SECTION)
    assert (Source.BINARY, feature_id("feature 5")) in resolved.features.columns


def test_names_that_a_segdense_file_knows_have_its_ids(mapping, tmp_path):
    path = mapping.write(tmp_path / "1")
    artifact = Artifact(name="m", version=1, path=path)
    options = msgspec.convert({"layout": SECTION, "segdense_file": HOME.segdense_file}, BprOptions)
    resolved = resolve_layout(artifact, options)
    assert list(resolved.features.columns) == [(Source.BINARY, 5), (Source.BINARY, feature_id("other"))]
    assert [tensor.name for tensor in resolved.layout.tensors] == ["a"]


def test_an_error_of_the_section_says_which_version_and_where():
    with pytest.raises(ModelLoadError) as caught:
        resolve({}, layout={"tensors": [{"name": "a"}]})
    assert caught.value.message.startswith(
        "version 3 of model 'm': converter_options.layout.tensors[0].source: expected "
    )


@pytest.mark.parametrize("names", [[], ["segdense_transform_spec_a.json", "segdense_transform_spec_b.json"]])
def test_the_segdense_file_must_be_one(names):
    with pytest.raises(
        ModelLoadError, match=r"expected one mapping file 'segdense_transform_spec\*.json' in .*got "
    ):
        resolve(dict.fromkeys(names, b"{}"), layout="segdense")
