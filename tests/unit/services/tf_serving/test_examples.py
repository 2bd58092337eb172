"""Classify, Regress and MultiInference, over gRPC and REST."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from calls import body_of, call_http, call_rpc
from fake_plane import context_of
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.clock import ManualClock
from navi_core.services.tf_serving.service import TfServingService
from navi_core.wire import tf_serving
from navi_core.wire.examples_json import decode_json_examples
from navi_core.wire.json_results import encode_classes, encode_values

TWO = "input { example_list { examples {} examples {} } }"
SCORES = np.float32([[0.2, 1.2, 2.2], [3.2, 4.2, 5.2]])


def request(kind, text):
    message = tf_serving.DESCRIPTORS.message_class(kind)()
    pool = tf_serving.DESCRIPTORS.pool
    return text_format.Parse(text, message, descriptor_pool=pool).SerializeToString()


def target(signature):
    return f"model_spec {{ name: 'm' signature_name: '{signature}' }}"


async def classify(service, signature):
    body = request("ClassificationRequest", f"{target(signature)} {TWO}")
    response = await call_rpc(service, "Classify", body)
    assert response.status == 0, response.message
    return tf_serving.ClassificationResponse.FromString(body_of(response))


def classes_of(result):
    return [[(each.label, each.score) for each in row.classes] for row in result.classifications]


@pytest.mark.parametrize("signature", ["classify", "classes", "scores"])
async def test_classify__gives_labels_scores_or_both(service, plane, signature):
    answer = await classify(service, signature)
    labels = ["", "", ""] if signature == "scores" else ["cat", "é", "�"]
    scores = np.zeros_like(SCORES) if signature == "classes" else SCORES
    assert classes_of(answer.result) == [list(zip(labels, row.tolist(), strict=True)) for row in scores]
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 3, signature)
    (asked,) = plane.requests
    assert asked.inputs["examples"].tolist() == [b"", b""]
    assert set(asked.outputs) == {"classify": {"classes", "scores"}}.get(signature, {signature})
    assert (asked.method, asked.service, asked.transport) == ("Classify", "tf_serving", "grpc")
    assert (plane.open_handles, plane.num_released, len(plane.refusals)) == (0, 1, 0)


@pytest.mark.parametrize("signature", ["regress", "regress_flat"])
async def test_regress__gives_a_value_for_each_example(service, signature):
    body = request("RegressionRequest", f"{target(signature)} {TWO}")
    response = await call_rpc(service, "Regress", body)
    assert response.status == 0, response.message
    answer = tf_serving.RegressionResponse.FromString(body_of(response))
    assert [each.value for each in answer.result.regressions] == SCORES[:, 0].tolist()
    assert answer.model_spec.signature_name == signature


async def test_context__is_in_every_example_unless_that_says_otherwise(service, plane):
    def example(**values):
        entries = " ".join(
            f"feature {{ key: '{name}' value {{ int64_list {{ value: {value} }} }} }}"
            for name, value in values.items()
        )
        return f"features {{ {entries} }}"

    body = request(
        "RegressionRequest",
        f"{target('regress')} input {{ example_list_with_context {{"
        f" context {{ {example(a=1, b=2)} }} examples {{ {example(b=3)} }} examples {{}} }} }}",
    )
    assert (await call_rpc(service, "Regress", body)).status == 0
    found = [
        tf_serving.Example.FromString(each).features.feature for each in plane.requests[0].inputs["examples"]
    ]
    assert [{key: list(each[key].int64_list.value) for key in each} for each in found] == [
        {"a": [1], "b": [3]},
        {"a": [1], "b": [2]},
    ]


async def test_multi_inference__answers_in_the_order_of_the_tasks(service, plane):
    tasks = [("regress", "regress"), ("classify", "scores"), ("classify", "classes")]
    text = " ".join(
        f"tasks {{ {target(signature)} method_name: 'tensorflow/serving/{method}' }}"
        for method, signature in tasks
    )
    response = await call_rpc(service, "MultiInference", request("MultiInferenceRequest", f"{text} {TWO}"))
    assert response.status == 0, response.message
    answer = tf_serving.MultiInferenceResponse.FromString(body_of(response))
    kinds = [result.WhichOneof("result") for result in answer.results]
    assert kinds == ["regression_result", "classification_result", "classification_result"]
    assert [result.model_spec.signature_name for result in answer.results] == [name for _, name in tasks]
    assert [result.model_spec.version.value for result in answer.results] == [3, 3, 3]
    assert (plane.open_handles, plane.num_released, len(plane.requests)) == (0, 3, 3)


async def test_multi_inference__fails_as_a_whole(service, plane):
    text = " ".join(
        f"tasks {{ {target(signature)} method_name: 'tensorflow/serving/classify' }}"
        for signature in ("scores", "flat_scores")
    )
    response = await call_rpc(service, "MultiInference", request("MultiInferenceRequest", f"{text} {TWO}"))
    assert (response.status, body_of(response)) == (3, b"")
    assert (plane.open_handles, plane.num_released) == (0, 2)


@pytest.mark.parametrize(
    ("rpc", "signature", "status"), [("Classify", "scores", 3), ("Classify", "classify_made", 0)]
)
async def test_method_names__are_checked_where_that_is_wanted(plane, rpc, signature, status):
    service = TfServingService.create(context_of(plane, table={"check_method_names": True}))
    response = await call_rpc(service, rpc, request("ClassificationRequest", f"{target(signature)} {TWO}"))
    assert response.status == status
    if status:
        assert response.message == (
            "Expected classification signature method_name to be tensorflow/serving/classify. "
            "Was: tensorflow/serving/predict"
        )


# --- REST ---------------------------------------------------------------------------------------


async def post(service, verb, document, **kwargs):
    response = await call_http(
        service, "POST", f"/v1/models/m:{verb}", json.dumps(document).encode(), **kwargs
    )
    assert response.status == 200, body_of(response)
    return body_of(response)


async def test_rest__classify_and_regress_answer_results(service, plane):
    document = {"signature_name": "classify", "examples": [{"f": 1}, {"f": 2}]}
    body = await post(service, "classify", document)
    assert body == (
        b'{"results": [[["cat", 0.2], ["\xc3\xa9", 1.2], ["\xff", 2.2]], '
        b'[["cat", 3.2], ["\xc3\xa9", 4.2], ["\xff", 5.2]]]}'
    )
    document["signature_name"] = "scores"
    assert json.loads(await post(service, "classify", document))["results"][0][0] == ["", 0.2]
    document["signature_name"] = "classes"
    body = await call_http(service, "POST", "/v1/models/m:classify", json.dumps(document).encode())
    assert body_of(body).startswith(b'{"results": [[["cat", 0.0], ')
    document["signature_name"] = "regress"
    assert json.loads(await post(service, "regress", document)) == {"results": [0.2, 3.2]}
    assert plane.requests[-1].method == "regress"
    assert (plane.open_handles, plane.num_released, len(plane.refusals)) == (0, 4, 0)


async def test_rest__examples_have_a_deadline_too(plane):
    service = TfServingService.create(context_of(plane, ManualClock(start=10.0), default_deadline_ms=500))
    await post(service, "regress", {"signature_name": "regress", "examples": [{}]})
    assert plane.requests[0].deadline == 10.5


def features(example):
    feature = tf_serving.Example.FromString(example).features.feature
    found = {}
    for name in feature:
        kind = feature[name].WhichOneof("kind")
        found[name] = (kind, list(getattr(feature[name], kind).value) if kind else [])
    return found


def test_features__have_the_kind_of_their_json():
    document = {
        "signature_name": "s",
        "context": {"c": "text"},
        "examples": [
            {
                "int": 7,
                "ints": [1, True, False],
                "float": 1.5,
                "floats": [1.0, 1e3],
                "bytes": ["é", {"b64": "/w"}],
                "lone": {"b64": "/w=="},
                "none": [],
                "c": "own",
            },
            {},
        ],
    }
    decoded = decode_json_examples(json.dumps(document).encode())
    assert decoded.signature == "s"
    first, second = map(features, decoded.examples)
    assert first == {
        "int": ("int64_list", [7]),
        "ints": ("int64_list", [1, 1, 0]),
        "float": ("float_list", [1.5]),
        "floats": ("float_list", [1.0, 1000.0]),
        "bytes": ("bytes_list", ["é".encode(), b"\xff"]),
        "lone": ("bytes_list", [b"\xff"]),
        "none": (None, []),
        "c": ("bytes_list", [b"own"]),
    }
    assert second == {"c": ("bytes_list", [b"text"])}


def test_features__take_words_that_are_no_json_numbers():
    decoded = decode_json_examples(b'{"examples": [{"f": [NaN, -Infinity, 1.0]}]} and more')
    kind, values = features(decoded.examples[0])["f"]
    assert kind == "float_list"
    assert str(values) == "[nan, -inf, 1.0]"


VALUES = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
    st.lists(st.floats(width=32, allow_nan=False), max_size=5),
    st.lists(st.binary(max_size=5), max_size=5),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), min_size=1, max_size=4))
def test_features__come_through_as_they_were_sent(examples):
    def sent(values):
        return [
            {"b64": base64.b64encode(each).decode()} if isinstance(each, bytes) else each for each in values
        ]

    document = {"examples": [{name: sent(values) for name, values in each.items()} for each in examples]}
    decoded = decode_json_examples(json.dumps(document).encode())
    assert [{name: values for name, (_, values) in features(each).items()} for each in decoded.examples] == (
        examples
    )


def test_results__are_the_shortest_decimals_and_bare_words():
    assert json.loads(encode_values(np.float32([0.1, 2.0, 16777217]))) == {"results": [0.1, 2.0, 16777216.0]}
    assert encode_values(np.float32([np.nan])) == b'{"results": [NaN]}'
    assert encode_classes(None, np.float32([[0.3]])) == b'{"results":[[["",0.3]]]}'
    assert encode_classes(None, np.empty((2, 0), np.float32)) == b'{"results":[[],[]]}'
