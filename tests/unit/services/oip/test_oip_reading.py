"""What is asked of the server besides inference: health, metadata, configuration, statistics."""

from __future__ import annotations

import pytest
from oip_calls import ask, body_of, call_http, get
from oip_plane import FakePlane, Model, context_of, signature, spec

from navi_core.errors import ConfigError
from navi_core.services.oip.metadata import EXTENSIONS
from navi_core.services.oip.service import OipService
from navi_core.wire.message_dict import message_dict

READY_MODELS = {name: model for name, model in FakePlane().served.items() if name in ("m", "two", "half")}


# --- health ---------------------------------------------------------------------------------------------------


async def test_live(service):
    assert (await ask(service, "ServerLive")).live is True
    assert await get(service, "/v2/health/live") == (200, {"live": True})


@pytest.mark.parametrize("draining", [False, True])
async def test_ready(draining):
    service = OipService.create(context_of(FakePlane(dict(READY_MODELS), draining=draining)))
    assert (await ask(service, "ServerReady")).ready is not draining
    assert await get(service, "/v2/health/ready") == (503 if draining else 200, {"ready": not draining})


async def test_ready__while_a_model_is_loading_is_not(service):
    assert (await ask(service, "ServerReady")).ready is False


@pytest.mark.parametrize(
    ("model", "version", "is_ready"),
    [("m", "", True), ("m", "2", True), ("m", "4", False), ("loading", "", False)],
)
async def test_model_ready(service, triton, model, version, is_ready):
    assert (await ask(service, "ModelReady", f"name: '{model}' version: '{version}'")).ready is is_ready
    path = f"/v2/models/{model}{f'/versions/{version}' if version else ''}/ready"
    assert await get(service, path) == (200 if is_ready else 503, {"name": model, "ready": is_ready})
    answer = (200, None) if is_ready else (400, {"error": "Model version not ready"})
    assert await get(triton, path) == answer


async def test_model_ready__of_what_is_unknown(service, triton):
    for request in ("name: 'nobody'", "name: 'm' version: '9'"):
        assert (await ask(service, "ModelReady", request)).status == 5
        assert (await ask(triton, "ModelReady", request)).ready is False


@pytest.mark.parametrize(("draining", "status"), [(False, 200), (True, 400)])
async def test_health__as_triton_is_a_bare_status(draining, status):
    plane = FakePlane(dict(READY_MODELS), draining=draining)
    service = OipService.create(context_of(plane, table={"compat": "triton"}))
    assert await get(service, "/v2/health/live") == (200, None)
    assert await get(service, "/v2/health/ready") == (status, None)


# --- metadata -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
async def test_server_metadata(service, path):
    status, shown = await get(service, path)
    assert status == 200
    assert shown == message_dict(await ask(service, "ServerMetadata"))
    assert shown["name"] == "navi"
    assert shown["version"]
    assert shown["extensions"] == list(EXTENSIONS)


def test_extensions__that_are_not_there_are_not_advertised():
    absent = ("sequence", "shared_memory", "trace", "logging")
    assert not [name for name in EXTENSIONS if any(word in name for word in absent)]


async def test_model_metadata(service):
    expected = {
        "name": "m",
        "versions": ["2", "3"],
        "platform": "fake_kind",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "z", "datatype": "INT64", "shape": [-1]},
        ],
    }
    assert await get(service, "/v2/models/m") == (200, expected)
    assert await get(service, "/v2/models/m/versions/2") == (200, expected)
    assert message_dict(await ask(service, "ModelMetadata", "name: 'm'")) == expected


async def test_model_metadata__of_types_and_ranks_that_the_protocol_has_no_word_for(service):
    _, shown = await get(service, "/v2/models/to_complex")
    assert shown["outputs"] == [{"name": "c", "datatype": "COMPLEX64", "shape": [-1]}]
    _, shown = await get(service, "/v2/models/text")
    assert shown["inputs"] == [{"name": "x", "datatype": "BYTES", "shape": [-1]}]


async def test_models(service, plane):
    assert await get(service, "/v2/models") == (200, {"models": list(plane.served)})


# --- configuration --------------------------------------------------------------------------------------------


async def test_model_config__of_a_model_that_batches_shows_one_row(service):
    status, config = await get(service, "/v2/models/m/config")
    assert status == 200
    assert (config["name"], config["platform"], config["backend"]) == ("m", "fake_kind", "fake")
    assert config["max_batch_size"] == 32
    assert "dynamic_batching" in config
    assert config["version_policy"] == {"specific": {"versions": [2, 3]}}
    (x,) = config["input"]
    assert (x["name"], x["data_type"], x["dims"], x["optional"]) == ("x", "TYPE_FP32", [2], False)
    assert [(each["name"], each["data_type"], each["dims"]) for each in config["output"]] == [
        ("y", "TYPE_FP32", [2]),
        ("z", "TYPE_INT64", []),
    ]
    message = await ask(service, "ModelConfig", "name: 'm' version: '2'")
    assert message_dict(message.config) == config


async def test_model_config__shows_the_levels_that_requests_may_ask_for(service, plane):
    _, config = await get(service, "/v2/models/m/config")
    assert (config["dynamic_batching"].get("priority_levels", 0)) == 0
    plane.priorities = (3, 2)
    message = await ask(service, "ModelConfig", "name: 'm'")
    batching = message.config.dynamic_batching
    assert (batching.priority_levels, batching.default_priority_level) == (3, 2)


async def test_model_config__of_a_model_that_does_not_batch_shows_whole_shapes(service):
    _, config = await get(service, "/v2/models/optional/config")
    assert config["max_batch_size"] == 0
    assert "dynamic_batching" not in config
    assert [(each["name"], each["dims"], each["optional"]) for each in config["input"]] == [
        ("a", [-1], False),
        ("b", [-1], True),
    ]


async def test_model_config__inputs_that_belong_to_the_whole_request_have_no_rows():
    model = Model(
        signature(
            [spec("x", "float32"), spec("k", "int64", (), optional=True)],
            [spec("y", "float32")],
            batchable=True,
        )
    )
    service = OipService.create(context_of(FakePlane({"k": model})))
    _, config = await get(service, "/v2/models/k/config")
    assert [each["dims"] for each in config["input"]] == [[], []]


# --- statistics -----------------------------------------------------------------------------------------------


async def test_statistics(service):
    status, shown = await get(service, "/v2/models/m/versions/3/stats")
    assert status == 200
    (stats,) = shown["model_stats"]
    assert {
        key: stats[key] for key in ("name", "version", "last_inference", "inference_count", "execution_count")
    } == {
        "name": "m",
        "version": "3",
        "last_inference": 1_700_000_000_123,
        "inference_count": 6,
        "execution_count": 2,
    }
    assert stats["inference_stats"] == {
        "success": {"count": 4, "ns": 4000},
        "fail": {"count": 1, "ns": 70},
        "queue": {"count": 4, "ns": 400},
        "compute_input": {"count": 4, "ns": 40},
        "compute_infer": {"count": 4, "ns": 2000},
        "compute_output": {"count": 4, "ns": 10},
        "cache_hit": {"count": 0, "ns": 0},
        "cache_miss": {"count": 0, "ns": 0},
    }
    assert [(each["batch_size"], each["compute_infer"]) for each in stats["batch_stats"]] == [
        (2, {"count": 1, "ns": 300}),
        (4, {"count": 1, "ns": 900}),
    ]
    message = await ask(service, "ModelStatistics", "name: 'm' version: '3'")
    assert message_dict(message) == shown


async def test_statistics__of_a_model_and_of_all(service):
    _, of_model = await get(service, "/v2/models/m/stats")
    assert [each["version"] for each in of_model["model_stats"]] == ["2", "3"]
    _, of_all = await get(service, "/v2/models/stats")
    assert of_all == of_model  # no other model has any
    assert message_dict(await ask(service, "ModelStatistics")) == of_all


# --- set-up ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (
            {"compat": "mlserver"},
            'service_options.oip.compat: expected one of "kserve", "triton", got "mlserver"',
        ),
        ({"compatt": 1}, "service_options.oip.compatt: unknown key, did you mean 'compat'?"),
        ({"max_json_depth": 0}, "service_options.oip.max_json_depth: expected int >= 1 and <= 500, got 0"),
    ],
)
def test_options__that_are_wrong_are_refused(plane, table, text):
    with pytest.raises(ConfigError) as caught:
        OipService.create(context_of(plane, table=table))
    assert caught.value.message == text


@pytest.mark.parametrize(
    "path", ["/v2/nothing", "/v2/models/m/infer/", "/v2/models/a/b/infer", "/v2/models/"]
)
async def test_paths__that_are_none_are_the_transports_to_refuse(service, path):
    assert await call_http(service, "GET", path) is None


async def test_answers__are_json(service):
    response = await call_http(service, "GET", "/v2/models/m")
    assert dict(response.headers) == {"content-type": "application/json"}
    assert body_of(response).startswith(b"{")
