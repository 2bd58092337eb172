"""The converter as the host uses it: bound to a model's version, under the shared conformance suite."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from navi_dr_transform import load_converter
from navi_dr_transform.converter import BprConverter
from navi_dr_transform.layout import HOME
from navi_dr_transform.options import BprOptions
from navi_dr_transform.thrift_records import data_record, encode_request, float_tensor

from navi_core import Artifact, DecodeError, DType, ModelLoadError, Signature, TensorSpec
from navi_core.testing import ConverterConformance
from navi_core.testing.imports import assert_import_light

WIDTHS = {
    "continuous": 4,
    "binary": 3,
    "discrete": 2,
    "user_embedding": 2,
    "user_eng_embedding": 3,
    "author_embedding": 1,
}
OUTPUTS = {"score": TensorSpec(name="score", dtype=DType.FLOAT32, shape=("rows", 1))}
SIGNATURE = Signature(
    inputs={
        tensor.name: TensorSpec(name=tensor.name, dtype=tensor.dtype, shape=("rows", WIDTHS[tensor.name]))
        for tensor in HOME.tensors
    },
    outputs=OUTPUTS,
    batchable=True,
)
FIRST = encode_request(
    [
        data_record(continuous={7: 1.5, 99: 1.0}, binary=[5], discrete={20: 4}),
        data_record(tensors={-2: float_tensor([1, 2]), -3: float_tensor([3, 4, 5, 6])}),
    ],
    data_record(continuous={7: 9.0, -9: 2.5}, tensors={-4: float_tensor([7])}),
)
SECOND = encode_request([data_record(binary=[6])])
THIRD = encode_request([data_record(continuous={7: 1.5}), data_record()])
EMPTY = encode_request([], data_record(binary=[6]))
NAN = np.nan


def tensors(continuous, binary, discrete, user, user_eng, author):
    arrays = (continuous, binary, discrete, user, user_eng, author)
    return {
        tensor.name: np.array(array, dtype=tensor.dtype.value).reshape(-1, WIDTHS[tensor.name])
        for tensor, array in zip(HOME.tensors, arrays, strict=True)
    }


OF_FIRST = tensors(
    [[1.5, NAN, NAN, 2.5], [9.0, NAN, NAN, 2.5]],
    [[0, 1, 0], [0, 0, 0]],
    [[4, 0], [0, 0]],
    [[0, 0], [1, 2]],
    [[0, 0, 0], [3, 4, 5]],
    [[7], [7]],
)
OF_SECOND = tensors([[NAN] * 4], [[0, 0, 1]], [[0, 0]], [[0, 0]], [[0, 0, 0]], [[0]])


def strings(*payloads):
    return {"examples": np.array(payloads, dtype=object)}


@pytest.fixture(scope="module")
def artifact(mapping, tmp_path_factory):
    return Artifact(name="m", version=3, path=mapping.write(tmp_path_factory.mktemp("m") / "3"))


class TestBprConverter(ConverterConformance):
    plugin_module = "navi_dr_transform.plugin"
    heavy_modules = ("numba", "thrift", "onnx", "onnxruntime", "grpc", "mmh3")

    @pytest.fixture
    def bind(self, artifact):
        return lambda: BprConverter().bind(artifact, SIGNATURE, BprOptions())

    @pytest.fixture
    def good_inputs(self):
        return [strings(FIRST), strings(SECOND, EMPTY, SECOND), strings(EMPTY)]

    @pytest.fixture
    def expected(self):
        twice = {name: np.concatenate([array, array]) for name, array in OF_SECOND.items()}
        return [OF_FIRST, twice, {name: array[:0] for name, array in OF_SECOND.items()}]

    @pytest.fixture
    def encoder(self):
        return BprConverter().encoder(BprOptions())

    @pytest.fixture
    def columns(self):
        def objects(*values):
            array = np.empty(len(values), dtype=object)
            array[:] = values
            return array

        first = {
            "7": np.array([1.5, 9.0]),
            "continuous:-9": objects(np.float32(2.5), np.float32(2.5)),
            "5": np.array([True, False]),
            "discrete:20": objects(np.int64(4), None),
            "-2": objects(None, np.array([1.0, 2.0])),
            "-3": objects(None, np.array([3, 4, 5, 6])),
            "-4": np.array([[7.0], [7.0]], np.float32),
        }
        return [first, {"6": np.array([True, True])}, {"6": np.empty(0, np.bool_)}]


def test_recognises_a_version_with_both_mapping_files(artifact, tmp_path):
    assert BprConverter().recognise(artifact)
    (tmp_path / HOME.segdense_file).touch()
    assert not BprConverter().recognise(Artifact(name="m", version=1, path=tmp_path))


def test_a_string_of_more_records_than_are_allowed_is_refused(artifact):
    bound = BprConverter().bind(artifact, SIGNATURE, BprOptions(max_records=2))
    assert bound.plan({"examples": np.array([FIRST, THIRD], dtype=object)}).num_rows == 4
    three = encode_request([data_record()] * 3)
    text = r"BatchPredictionRequest: expected at most 2 records \(max_records\), got 3 \(at payload 1\)"
    with pytest.raises(DecodeError, match=text):
        bound.plan({"examples": np.array([FIRST, three], dtype=object)})


def test_binding_gives_what_clients_send(artifact):
    signature = BprConverter().bind(artifact, SIGNATURE, BprOptions(input_name="request")).signature
    assert [(spec.name, spec.dtype) for spec in signature.inputs.values()] == [("request", DType.STRING)]
    assert signature.outputs == OUTPUTS
    assert signature.source == "converter"


def test_options_are_the_defaults_when_there_are_none(artifact):
    assert list(BprConverter().bind(artifact, SIGNATURE, None).signature.inputs) == ["examples"]


@pytest.mark.parametrize("shape", [(), (2,), (1, 2)])
def test_the_strings_may_have_any_shape(artifact, shape):
    bound = BprConverter().bind(artifact, SIGNATURE, BprOptions())
    values = np.empty(shape, dtype=object)
    values[...] = SECOND
    plan = bound.plan({"examples": values})
    assert plan.num_rows == values.size
    assert plan.row_ends.tolist() == list(range(1, values.size + 1))


def test_a_plan_says_how_much_memory_the_rows_take(artifact):
    """An empty record is one byte on the wire and a whole row in memory: limits must see the latter."""
    bound = BprConverter().bind(artifact, SIGNATURE, BprOptions())
    plan = bound.plan(strings(encode_request([data_record()] * 1000)))
    assert plan.size_bytes == 1000 * (4 * 4 + 3 * 8 + 2 * 8 + 6 * 4)


def test_inputs_bound_by_position_get_their_names(artifact):
    names = ["a", "b", "u", "e", "w"]
    kinds = [tensor for tensor in HOME.tensors if tensor.name != "discrete"]
    signature = Signature(
        inputs={
            name: TensorSpec(name=name, dtype=tensor.dtype, shape=(None, WIDTHS[tensor.name]))
            for name, tensor in zip(names, kinds, strict=True)
        },
        outputs=OUTPUTS,
    )
    bound = BprConverter().bind(artifact, signature, BprOptions())
    plan = bound.plan(strings(FIRST))
    out = {name: np.empty((2, *row.shape), row.dtype.value) for name, row in plan.rows.items()}
    bound.fill(plan, out)
    for name, tensor in zip(names, kinds, strict=True):
        np.testing.assert_array_equal(out[name], OF_FIRST[tensor.name])


def test_strict_embeddings_are_refused_when_planned(artifact):
    bound = BprConverter().bind(artifact, SIGNATURE, BprOptions(embedding_length="strict"))
    with pytest.raises(DecodeError, match=r"expected exactly as many values .* \(at payload 0, offset \d+\)"):
        bound.plan(strings(FIRST))


@pytest.mark.parametrize("missing", [HOME.segdense_file, HOME.all_config_file])
def test_a_missing_mapping_file_is_a_load_error_that_names_it(artifact, missing, tmp_path, mapping):
    path = mapping.write(tmp_path / "1")
    (path / missing).unlink()
    with pytest.raises(ModelLoadError, match=f"expected the mapping file '{missing}' in {path}"):
        BprConverter().bind(Artifact(name="m", version=1, path=path), SIGNATURE, BprOptions())
    in_memory = {name: artifact.read(name) for name in artifact.names() if name != missing}
    with pytest.raises(ModelLoadError, match=f"'{missing}' in 1 files in memory"):
        BprConverter().bind(Artifact(name="m", version=1, files=in_memory), SIGNATURE, BprOptions())


def test_mapping_files_may_have_other_names_and_lie_in_memory(artifact):
    files = {"s.json": artifact.read(HOME.segdense_file), "a.json": artifact.read(HOME.all_config_file)}
    options = BprOptions(segdense_file="s.json", all_config_file="a.json")
    bound = BprConverter().bind(Artifact(name="m", version=1, files=files), SIGNATURE, options)
    assert bound.plan(strings(FIRST)).num_rows == 2


def test_a_mapping_file_that_is_wrong_is_a_load_error_with_its_path(tmp_path, mapping):
    document = mapping.segdense({"key": mapping.feature("7", 2, 0)})
    path = mapping.write(tmp_path / "1", segdense=document)
    with pytest.raises(
        ModelLoadError, match=r"home_recap_2022.json: \$.input_features_map\['key'\]\[0\].feature_id"
    ):
        BprConverter().bind(Artifact(name="m", version=1, path=path), SIGNATURE, BprOptions())


@pytest.mark.parametrize(
    "table",
    [
        {"layout": "away"},
        {"embedding_length": "pad"},
        {"input_name": ""},
        {"widths": {"continuous": 0}},
        {"widths": [1]},
        {"wdiths": {}},
    ],
)
def test_wrong_options_are_refused(table):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table, BprOptions)


def test_navis_flag_sets_the_layout():
    flag = next(flag for flag in BprConverter.serve_flags if flag.name == "--onnx-use-converter")
    assert msgspec.convert({flag.option: flag.parse("anything")}, BprOptions) == BprOptions()


def test_importing_the_package_imports_nothing_heavy():
    assert_import_light("navi_dr_transform", TestBprConverter.heavy_modules)
    assert_import_light("navi_dr_transform.commands", TestBprConverter.heavy_modules)


# --- without a host ---------------------------------------------------------------------------------------


def test_load_converter_gives_every_tensor_of_the_layout(artifact):
    converter = load_converter(artifact.path)
    arrays, row_ends = converter.convert([SECOND, EMPTY, THIRD])
    assert row_ends.tolist() == [1, 1, 3]
    assert {name: (str(a.dtype), a.shape) for name, a in arrays.items()} == {
        "continuous": ("float32", (3, 5293)),
        "binary": ("int64", (3, 149)),
        "discrete": ("int64", (3, 320)),
        "user_embedding": ("float32", (3, 200)),
        "user_eng_embedding": ("float32", (3, 200)),
        "author_embedding": ("float32", (3, 200)),
    }
    assert arrays["continuous"][1, 0] == 1.5
    assert np.isnan(arrays["continuous"][1, 1:]).all()


def test_load_converter_takes_widths_and_strictness(artifact):
    arrays, _ = load_converter(str(artifact.path), widths=WIDTHS).convert([FIRST])
    for name, expected in OF_FIRST.items():
        np.testing.assert_array_equal(arrays[name], expected)
    with pytest.raises(DecodeError):
        load_converter(artifact.path, widths=WIDTHS, embedding_length="strict").convert([FIRST])


def test_tensors_that_would_be_too_large_are_refused_before_memory_is_taken(artifact):
    converter = load_converter(artifact.path)
    payload = encode_request([data_record()] * 200_000)
    with pytest.raises(DecodeError, match="expected at most 4294967296 bytes of tensors, got 200000 rows"):
        converter.convert([payload])
    with pytest.raises(DecodeError, match="expected at most 1000 bytes"):
        converter.convert([SECOND], max_size_bytes=1000)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"layout": "away"},
            'converter_options.layout: expected one of "home", "segdense" or table, got "away"',
        ),
        ({"layout": 7}, 'converter_options.layout: expected one of "home", "segdense" or table, got 7'),
        (
            {"layout": {"tensors": [{"name": "a", "colour": 1}]}},
            "converter_options.layout.tensors[0].colour: unknown key, expected one of ",
        ),
        ({"embedding_length": "pad"}, 'embedding_length: expected one of "strict", "truncate", got "pad"'),
        (
            {"widths": {"binary": -1}},
            "converter_options.widths.binary: expected int >= 1 and <= 16777216, got -1",
        ),
        ({"widths": {1: 1}}, "converter_options.widths: expected "),
        ({"widths": {"x": 1}}, "option 'widths': expected one of continuous, "),
    ],
)
def test_load_converter_refuses_wrong_options(artifact, options, text):
    with pytest.raises(ModelLoadError) as caught:
        load_converter(artifact.path, **options)
    assert caught.value.message.startswith(f"{artifact.path}: ")
    assert text in caught.value.message
