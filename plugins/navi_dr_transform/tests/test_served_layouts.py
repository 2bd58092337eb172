"""Models of other layouts than home's, served: every tensor reaches the model, and the page says what was decoded."""

from __future__ import annotations

import json
import re
import urllib.request

import numpy as np
import pytest
from navi_dr_transform._generated.data.ttypes import DataRecord
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.thrift_records import encode_request, float_tensor
from thrift.TSerialization import serialize

from navi_core import Host, HostConfig, ModelConfig, ModelLoadError, TransportSettings

pytest.importorskip("navi_onnx", reason="navi-onnx serves the models")
onnx = pytest.importorskip("onnx", reason="onnx writes the models")
pytestmark = pytest.mark.integration

TYPES = {
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "int64": "INT64",
    "int32": "INT32",
    "bool": "BOOL",
    "string": "STRING",
}

TOML = """
[converter_options]
request = "{request}"
report_continuous_features = ["user.age"]
report_discrete_features = [77]
count_features_every = 1

[[converter_options.layout.tensors]]
name = "dense"
source = "continuous"
features = ["user.age", "tweet.likes"]

[[converter_options.layout.tensors]]
name = "flags"
source = "binary"
dtype = "bool"
width = 3
features = [{{ name = "tweet.has_link", column = 2 }}]

[[converter_options.layout.tensors]]
name = "ids"
source = "discrete"
default = -1
features = [77, "author.id"]

[[converter_options.layout.tensors]]
name = "vector"
source = "tensor"
dtype = "float64"
width = 2
feature = "author.vector"
"""
DENSE = {"dense": ("float32", 2), "flags": ("bool", 3), "ids": ("int64", 2), "vector": ("float64", 2)}


def write_model(folder, inputs, settings):
    """Write a version whose outputs are its inputs."""
    folder.mkdir(parents=True)
    helper = onnx.helper
    of = {name: getattr(onnx.TensorProto, TYPES[dtype]) for name, (dtype, _) in inputs.items()}
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in inputs],
        "echo",
        [
            helper.make_tensor_value_info(name, of[name], ["rows", width])
            for name, (_, width) in inputs.items()
        ],
        [
            helper.make_tensor_value_info(f"{name}_out", of[name], ["rows", width])
            for name, (_, width) in inputs.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(folder / "model.onnx"))
    (folder / "navi.toml").write_text('converter = "bpr"\n' + settings)
    return folder.parent


def serve(model_dir):
    return Host(
        HostConfig(
            models=(ModelConfig(path=str(model_dir), stable_ms=0.0),),
            transports={"http": TransportSettings(port=0)},
            compat_metrics=("navi",),
        )
    )


def strings(*payloads):
    array = np.empty(len(payloads), dtype=object)
    array[:] = payloads
    return {"examples": array}


RECORD = DataRecord(
    continuousFeatures={feature_id("user.age"): 33.0, 5: 1.0},
    binaryFeatures={feature_id("tweet.has_link")},
    discreteFeatures={77: 150},
    tensors={feature_id("author.vector"): float_tensor([0.5, 1.5, 9.0])},
)


def test_a_model_whose_layout_is_written_gets_every_tensor(tmp_path):
    model_dir = write_model(tmp_path / "written" / "1", DENSE, TOML.format(request="batch"))
    with serve(model_dir) as host:
        answer = host.predict("written", strings(encode_request([RECORD, DataRecord()], DataRecord())))
        np.testing.assert_array_equal(answer["dense_out"], np.array([[33, np.nan], [np.nan] * 2], np.float32))
        np.testing.assert_array_equal(answer["flags_out"], [[False, False, True], [False] * 3])
        np.testing.assert_array_equal(answer["ids_out"], [[150, -1], [-1, -1]])
        np.testing.assert_array_equal(answer["vector_out"], [[0.5, 1.5], [0, 0]])
        (address,) = host.addresses["http"]
        with urllib.request.urlopen(f"http://{address.host}:{address.port}/metrics", timeout=60) as response:
            page = response.read().decode()
    target = 'model="written",(?:outcome="[a-z]+",)?signature="serving_default",version="1"'
    values = dict(
        re.findall(rf"^(navi_converter_bpr_\w+)\{{(?:[^}}]*?){target}\}} (\S+)$", page, re.MULTILINE)
    )
    assert float(values["navi_converter_bpr_records_total"]) == 2
    for kind, outcome, count in (
        ("scalar", "matched", 3),
        ("scalar", "unknown", 1),
        ("tensor", "matched", 1),
    ):
        line = rf'^navi_converter_bpr_features_total\{{kind="{kind}",model="written",outcome="{outcome}",.*\}} {count}\.0$'
        assert re.search(line, page, re.MULTILINE)
    assert f':navi:feature_id:continuous_sum{{feature_id="{feature_id("user.age")}"}} 33' in page
    assert ':navi:feature_id:discrete_bucket{feature_id="77",le="150"} 1' in page
    assert ':navi:feature_id:discrete_bucket{feature_id="77",le="140"} 0' in page


VARYING = """
[converter_options]
[[converter_options.layout.tensors]]
name = "language"
source = "string"
default = "en"
features = ["user.language", "tweet.language"]

[[converter_options.layout.tensors]]
name = "countries"
source = "sparse_binary"
feature = "user.countries"
categories = ["us", "jp", "fr"]

[[converter_options.layout.tensors]]
name = "interests"
source = "sparse_continuous"
dtype = "float64"
feature = "user.interests"
categories = ["tea"]
"""


def test_strings_and_categories_reach_the_model(tmp_path):
    inputs = {"language": ("string", 2), "countries": ("int64", 3), "interests": ("float64", 1)}
    model_dir = write_model(tmp_path / "varying" / "1", inputs, VARYING)
    record = DataRecord(
        stringFeatures={feature_id("tweet.language"): "日本語"},
        sparseBinaryFeatures={feature_id("user.countries"): {"jp", "us", "de"}},
        sparseContinuousFeatures={feature_id("user.interests"): {"tea": 0.1, "cats": 9.0}},
    )
    with serve(model_dir) as host:
        answer = host.predict(
            "varying", strings(encode_request([DataRecord(), record]), encode_request([record]))
        )
    assert answer["language_out"].tolist() == [[b"en", b"en"], *[[b"en", "日本語".encode()]] * 2]
    assert answer["countries_out"].tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 0]]
    assert answer["interests_out"].tolist() == [[0.0], [0.1], [0.1]]


def test_single_records_are_served(tmp_path):
    model_dir = write_model(tmp_path / "single" / "1", DENSE, TOML.format(request="record"))
    with serve(model_dir) as host:
        answer = host.predict(
            "single", strings(serialize(RECORD), serialize(DataRecord()), serialize(RECORD))
        )
    np.testing.assert_array_equal(answer["ids_out"], [[150, -1], [-1, -1], [150, -1]])


def test_a_model_whose_layout_is_its_segdense_file_gets_every_tensor(tmp_path, mapping):
    def part(tag, feature_type, length, kind, value):
        return {
            "tag": tag,
            "generic_feature_type": feature_type,
            "feature_identifier": tag,
            "fixed_length": length,
            "default_value": {"type": kind, "value": value},
            "input_features": [],
        }

    document = mapping.segdense()
    document["densification_transform_spec"] = {
        "cont": part("ads_cont", 2, 4, "float", "-1"),
        "binary": part("ads_binary", 1, 3, "int", "0"),
        "discrete": part("ads_discrete", 3, 2, "long", "-7"),
        "string": None,
        "blob": part("", 8, 0, "", ""),
    }
    document["complex_feature_type_transform_spec"] = [
        {**mapping.feature(-2, 9, 0, name="user"), "tensor_shape": [2], "tensor_data_type": 3}
    ]
    inputs = {
        "ads_cont": ("float32", 4),
        "ads_binary": ("int32", 3),
        "ads_discrete": ("int64", 2),
        "user": ("int64", 2),
    }
    model_dir = write_model(tmp_path / "ads" / "1", inputs, '[converter_options]\nlayout = "segdense"\n')
    (model_dir / "1" / "segdense_transform_spec_ads.json").write_text(json.dumps(document))
    record = DataRecord(
        continuousFeatures={8: 2.5},
        binaryFeatures={6},
        discreteFeatures={21: 9},
        tensors={-2: float_tensor([3, 4])},
    )
    with serve(model_dir) as host:
        answer = host.predict("ads", strings(encode_request([record])))
    assert answer["ads_cont_out"].tolist() == [[-1, -1, 2.5, -1]]
    assert answer["ads_binary_out"].tolist() == [[0, 0, 1]]
    assert answer["ads_discrete_out"].tolist() == [[-7, 9]]
    assert answer["user_out"].tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (
            'name = "ids"',
            'name = "idz"',
            r"expected names of layout 'written' only \(dense, flags, idz, vector\).*ids int64",
        ),
        ("default = -1", "default = -0.5", r"layout.tensors\[2\].default: expected an integer .*, got -0.5"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused_when_the_model_loads(tmp_path, before, after, text):
    model_dir = write_model(
        tmp_path / "wrong" / "1", DENSE, TOML.format(request="batch").replace(before, after)
    )
    with pytest.raises(ModelLoadError, match=text), serve(model_dir):
        pass
