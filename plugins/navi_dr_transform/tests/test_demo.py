"""The demo: its model beside a float64 forward pass, served for real, and the commands as processes."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from navi_dr_transform import load_converter
from navi_dr_transform.converter import BprConverter
from navi_dr_transform.demo.client import predict
from navi_dr_transform.demo.features import EMBEDDING_NAMES, feature_id
from navi_dr_transform.demo.files import MODEL_NAME, write_demo
from navi_dr_transform.demo.requests import make_requests
from navi_dr_transform.demo.tasks import TASKS, WEIGHTS, rank, scores
from navi_dr_transform.layout import HOME, HomeTensor
from navi_dr_transform.thrift_records import data_record, decode_request, encode_request
from onnx import numpy_helper

from navi_core import Artifact, Host, HostConfig, InferenceError, ModelConfig, TransportSettings

NAVI_HOST = [sys.executable, "-m", "navi_core"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    requests = make_requests()
    files = write_demo(tmp_path_factory.mktemp("demo"), requests, "examples")
    return SimpleNamespace(files=files, requests=requests, payloads=[each.payload for each in requests])


# --- the model in float64 numpy, fed from what Apache Thrift decodes ------------------------------------------


def dense_inputs(payload, version_dir):
    """Lay Apache Thrift's records out by the segdense file, in float64."""
    segdense = json.loads((version_dir / HOME.segdense_file).read_text())
    columns = {
        item["feature_id"]: (item["feature_type"], item["index"])
        for (item,) in segdense["input_features_map"].values()
    }
    request = decode_request(payload)
    num_rows = len(request.individualFeaturesList)
    continuous, binary = np.full((num_rows, 5293), np.nan), np.zeros((num_rows, 149))
    embeddings = {name: np.zeros((num_rows, 200)) for name in EMBEDDING_NAMES.values()}
    ids = {
        item["feature_id"]: item["full_feature_name"]
        for item in segdense["complex_feature_type_transform_spec"]
    }
    both = [(slice(None), request.commonFeatures), *enumerate(request.individualFeaturesList)]
    for rows, record in both:
        for each, value in (record.continuousFeatures or {}).items():
            if columns.get(each, (0,))[0] == 2:
                continuous[rows, columns[each][1]] = value
        for each in record.binaryFeatures or ():
            if columns.get(each, (0,))[0] == 1:
                binary[rows, columns[each][1]] = 1.0
        for each, tensor in (record.tensors or {}).items():
            if each in ids:
                embeddings[ids[each]][rows] = tensor.floatTensor.floats[:200]
    order = (HomeTensor.USER_EMBEDDING, HomeTensor.USER_ENG_EMBEDDING, HomeTensor.AUTHOR_EMBEDDING)
    return continuous, binary, [embeddings[EMBEDDING_NAMES[kind]] for kind in order]


def forward(weights, continuous, binary, embeddings):
    """Compute the probabilities as the-algorithm-ml's recap model is described, in float64."""

    def layer_norm(name, x):
        mean, variance = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-5) * weights[f"{name}.scale"] + weights[f"{name}.bias"]

    def linear(name, x):
        return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]

    x = continuous[:, :2117]
    x = np.where(np.isfinite(x), x, 0.0)
    x = np.sign(x) * np.log1p(np.abs(x))
    x = (x - weights["batch_norm.mean"]) / np.sqrt(weights["batch_norm.variance"] + 1e-5)
    x = np.clip(x * weights["batch_norm.scale"] + weights["batch_norm.bias"], -5.0, 5.0)
    dense = layer_norm("norm_dense", np.concatenate([x, binary[:, :59]], axis=1))
    names = ("norm_user_embedding", "norm_user_eng_embedding", "norm_author_embedding")
    normal = [layer_norm(name, embedding) for name, embedding in zip(names, embeddings, strict=True)]
    net = np.concatenate([dense, *normal], axis=1)
    assert net.shape[1] == 2117 + 59 + 600
    blocks = []
    for name in ("block_0", "block_1"):
        mask = linear(f"{name}.mask", np.maximum(linear(f"{name}.aggregate", net), 0.0))
        hidden = linear(f"{name}.hidden", layer_norm(f"{name}.input_norm", net) * mask)
        blocks.append(layer_norm(f"{name}.output_norm", hidden))
    shared = np.maximum(linear("shared", np.concatenate(blocks, axis=1)), 0.0)
    logits = [
        linear(f"task_{task}.output", np.maximum(linear(f"task_{task}.hidden", shared), 0.0))
        for task in range(len(TASKS))
    ]
    return 1.0 / (1.0 + np.exp(-np.concatenate(logits, axis=1)))


@pytest.fixture(scope="module")
def reference(demo):
    model = onnx.load(demo.files.version_dir / "model.onnx")
    weights = {each.name: numpy_helper.to_array(each).astype(np.float64) for each in model.graph.initializer}
    return [forward(weights, *dense_inputs(payload, demo.files.version_dir)) for payload in demo.payloads]


def check_ranking(probabilities, reference):
    """Compare probabilities, and the ranking by the published weights."""
    assert probabilities.shape == reference.shape
    np.testing.assert_allclose(probabilities, reference, rtol=0, atol=1e-5)
    weights = np.array(list(WEIGHTS.values()))
    assert rank(probabilities).tolist() == np.argsort(-(reference @ weights), kind="stable").tolist()


def test_the_model_is_that_of_the_float64_forward_pass(demo, reference):
    arrays, _ = load_converter(demo.files.version_dir).convert(demo.payloads)
    session = onnxruntime.InferenceSession(
        demo.files.version_dir / "model.onnx", providers=["CPUExecutionProvider"]
    )
    wanted = [each.name for each in session.get_inputs()]
    assert wanted == ["continuous", "binary", "user_embedding", "user_eng_embedding", "author_embedding"]
    (probabilities,) = session.run(["probabilities"], {name: arrays[name] for name in wanted})
    check_ranking(probabilities, np.concatenate(reference))
    # the test would be blind if all rows were alike
    assert np.ptp(scores(probabilities)) > 0.5
    assert np.min(-np.diff(np.sort(scores(probabilities))[::-1])) > 1e-5


def test_the_requests_exercise_every_kind_of_feature(demo):
    arrays, row_ends = load_converter(demo.files.version_dir).convert(demo.payloads)
    assert row_ends.tolist() == [8, 16, 24]
    filled = {
        name: float((np.isfinite(a) if name == "continuous" else a != 0).mean(axis=1).min())
        for name, a in arrays.items()
    }
    assert filled["continuous"] > 0.1
    assert filled["binary"] > 0.2
    assert filled["discrete"] > 0.04
    assert min(filled[name] for name in filled if name.endswith("embedding")) > 0.99


def test_the_ids_of_the_embeddings_are_those_that_navi_knows():
    assert feature_id(EMBEDDING_NAMES[HomeTensor.USER_EMBEDDING]) == -2550691008059411095
    assert feature_id("recap.engagement.is_favorited") == 5572643959053003859


def test_a_version_that_is_there_stays_and_requests_are_kept(demo, tmp_path):
    files = write_demo(tmp_path, demo.requests, "request")
    (files.version_dir / "model.onnx").write_bytes(b"mine")
    again = write_demo(tmp_path, demo.requests, "request")
    assert again == files
    assert (files.version_dir / "model.onnx").read_bytes() == b"mine"
    assert [path.read_bytes() for path in files.requests] == demo.payloads
    body = json.loads(files.rest_body.read_text())
    assert base64.b64decode(body["inputs"]["request"][0]["b64"]) == demo.payloads[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recap", "requests"]


# --- served ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def onnx_runtime():
    """Skip where the model cannot be served."""
    if importlib.util.find_spec("navi_onnx") is None:
        pytest.skip("navi-onnx, which serves the demo's model, is not installed")


@pytest.fixture(scope="module")
def host(demo, onnx_runtime):
    config = HostConfig(
        models=(ModelConfig(path=str(demo.files.model_dir), stable_ms=0.0),),
        transports={"grpc": TransportSettings(port=0)},
    )
    with Host(config) as host:
        (address,) = host.addresses["grpc"]
        yield SimpleNamespace(host=host, address=f"{address.host}:{address.port}")


def ask(host, payloads):
    return predict(host.address, MODEL_NAME, "examples", payloads)


@pytest.mark.integration
def test_served_over_grpc_the_ranking_is_that_of_the_float64_forward_pass(demo, reference, host):
    answers = ask(host, demo.payloads)
    for answer, expected in zip(answers, reference, strict=True):
        check_ranking(answer, expected)
    check_ranking(np.concatenate(answers), np.concatenate(reference))


@pytest.mark.integration
def test_several_strings_in_one_request_and_zero_records(demo, reference, host):
    empty = encode_request([], data_record())
    strings = np.array([demo.payloads[0], empty, demo.payloads[1]], dtype=object)
    (probabilities, logits) = (
        host.host.predict(MODEL_NAME, {"examples": strings})[name] for name in ("probabilities", "logits")
    )
    np.testing.assert_allclose(probabilities, np.concatenate(reference[:2]), rtol=0, atol=1e-5)
    assert logits.shape == (16, 10)
    (nothing,) = ask(host, [empty])
    assert nothing.shape == (0, 10)


@pytest.mark.integration
def test_the_models_own_tensors_bypass_the_converter(demo, reference, host):
    arrays, _ = load_converter(demo.files.version_dir).convert(demo.payloads[:1])
    arrays.pop("discrete")
    answer = host.host.predict(MODEL_NAME, arrays)["probabilities"]
    np.testing.assert_allclose(answer, reference[0], rtol=0, atol=1e-5)


@pytest.mark.integration
def test_damaged_requests_are_refused_with_the_offset_and_good_ones_beside_them_answered(
    demo, reference, host
):
    """Truncations and flips in one stream with good requests: each gets its own answer."""
    random = np.random.default_rng(7)
    good = encode_request(decode_request(demo.payloads[0]).individualFeaturesList[:1])
    (expected,) = ask(host, [good])
    for _ in range(40):
        cut = good[: int(random.integers(len(good)))]
        flipped = bytearray(good)
        flipped[int(random.integers(len(flipped)))] ^= 1 << int(random.integers(8))
        for damaged in (cut, bytes(flipped)):
            try:
                answers = ask(host, [damaged])
            except InferenceError as error:
                assert "INVALID_ARGUMENT" in str(error)  # noqa: PT017 - a flip may leave a request good
                assert "offset" in str(error)  # noqa: PT017 - see above
            else:
                assert damaged is not cut
                assert answers[0].shape[1] == 10
        np.testing.assert_array_equal(ask(host, [good])[0], expected)


# --- the commands, as processes ------------------------------------------------------------------------------------


@pytest.mark.integration
def test_demo_once_prints_the_ranking_and_leaves_nothing_behind(onnx_runtime, reference, tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    result = subprocess.run(
        [*NAVI_HOST, "demo", "--once", "--json", "--port", "0", "--rest-port", "0"],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    probabilities = np.concatenate(reference)
    post_ids = [each.post_id for request in make_requests() for each in request.candidates]
    assert [each["post_id"] for each in answer["ranking"]] == [post_ids[row] for row in rank(probabilities)]
    assert [each["rank"] for each in answer["ranking"]] == list(range(1, 25))
    np.testing.assert_allclose(
        [each["score"] for each in answer["ranking"]], scores(probabilities)[rank(probabilities)], atol=5e-3
    )
    assert {address.split(":")[0] for address in answer["addresses"]} == {"grpc", "http"}
    assert list(tmp_path.glob("navi-demo-*")) == []


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_stays_up_until_it_is_told_to_end(onnx_runtime, demo, reference, tmp_path, number):
    process = subprocess.Popen(
        [*NAVI_HOST, "demo", "--port", "0", "--rest-port", "0", "--dir", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        lines = []
        while not lines or "navi-host transform" not in lines[-1]:
            lines.append(process.stderr.readline())
            assert lines[-1], "".join(lines)
        (served,) = (line for line in lines if "is served at" in line)
        address = served.split("grpc://")[1].split()[0]
        answers = predict(address, MODEL_NAME, "examples", demo.payloads)
        check_ranking(np.concatenate(answers), np.concatenate(reference))
        process.send_signal(number)
        out, rest = process.communicate(timeout=240)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, rest
    assert "Candidates, best first" in out
    assert (tmp_path / "recap" / "1" / "model.onnx").is_file()


@pytest.mark.integration
def test_demo_says_what_is_not_installed(tmp_path):
    blocker = tmp_path / "sitecustomize.py"
    blocker.write_text("import sys\nsys.modules['onnx'] = None\n")
    result = subprocess.run(
        [*NAVI_HOST, "demo", "--once"],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr == "navi-host: the demo needs onnx: pip install 'navi-dr-transform[demo]'\n"


def test_the_demos_version_is_recognised_by_the_converter(demo):
    assert BprConverter().recognise(Artifact(name="recap", version=1, path=demo.files.version_dir))
