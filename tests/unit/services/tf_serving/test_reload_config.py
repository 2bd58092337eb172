"""HandleReloadConfigRequest: what it refuses, what it asks the host for, and what it answers."""

from __future__ import annotations

import dataclasses

import pytest
from calls import body_of
from fake_plane import FakeAdmin, FakePlane, context_of
from google.protobuf import text_format

from navi_core.config.records import BatchingSettings, ModelConfig, VersionPolicySettings
from navi_core.contracts.service import Call, Operation
from navi_core.errors import ConfigError, ModelLoadError
from navi_core.services.tf_serving.errors import GRPC_STATUS
from navi_core.services.tf_serving.service import TfServingService
from navi_core.wire import tf_serving

PATH = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
PAGE = '# TYPE x counter\n:tensorflow:serving:request_count{{model_name="m"}} {}\nnavi_loads_total {}.0\n'


class CountingPlane(FakePlane):
    def __init__(self):
        super().__init__()
        self.pages = 0

    async def render_metrics(self, accept=""):
        self.pages += 1
        return "text/plain", PAGE.format(self.pages * 3, self.pages).encode()


async def reload(text, admin=None, plane=None, table=None):
    admin = admin if admin is not None else FakeAdmin()
    context = dataclasses.replace(context_of(plane or FakePlane(), table=table), admin=admin)
    service = TfServingService.create(context)
    message = text_format.Parse(
        text, tf_serving.ReloadConfigRequest(), descriptor_pool=tf_serving.DESCRIPTORS.pool
    )
    method = service.rpc_methods()[PATH]
    assert method.operation is Operation.ADMIN
    response = await method.handler(Call(path=PATH, body=message.SerializeToString(), transport="grpc"))
    return response, admin


def listed(*models):
    return f"config {{ model_config_list {{ {' '.join(f'config {{ {each} }}' for each in models)} }} }}"


async def test_the_list_becomes_the_whole_configuration():
    text = listed(
        "name: 'm' base_path: '/models/m' model_platform: 'tensorflow' "
        "model_version_policy { specific { versions: [2, 3] } } "
        "version_labels { key: 'stable' value: 3 } version_labels { key: 'old' value: 2 }",
        "name: 'n' base_path: 'gs://bucket/n' model_type: TENSORFLOW model_version_policy { all {} }",
    )
    table = {"model_defaults": {"batching": {"enabled": False}}}
    response, admin = await reload(text, table=table)
    assert response.status == 0, response.message
    assert admin.applied == [
        ModelConfig(
            path="/models/m",
            name="m",
            versions=VersionPolicySettings(specific=(2, 3)),
            labels={"stable": 3, "old": 2},
            batching=BatchingSettings(max_batch_rows=7),  # the list does not speak of it
        ),
        ModelConfig(
            path="gs://bucket/n",
            name="n",
            versions=VersionPolicySettings(all=True),
            batching=BatchingSettings(enabled=False),
        ),
    ]
    answer = tf_serving.ReloadConfigResponse.FromString(body_of(response))
    assert answer.HasField("status")
    assert answer.status.error_code == 0


async def test_versions_and_labels_that_are_not_listed_again_are_gone():
    _, admin = await reload(listed("name: 'm' base_path: '/models/m' model_platform: 'tensorflow'"))
    assert (admin.applied[0].labels, admin.applied[0].versions) == ({}, VersionPolicySettings())


async def test_an_empty_list_unloads_everything():
    response, admin = await reload("config { model_config_list {} }")
    assert (response.status, admin.applied) == (0, [])


@pytest.mark.parametrize(
    ("label", "version", "allow", "status"),
    [
        ("stable", 3, False, 0),
        ("stable", 1, False, 9),
        ("new", 8, False, 9),
        ("new", 8, True, 0),
        ("stable", 8, True, 9),
    ],
)
async def test_labels_point_to_what_can_answer(label, version, allow, status):
    model = (
        "name: 'm' base_path: '/models/m' model_platform: 'tensorflow' "
        f"version_labels {{ key: '{label}' value: {version} }}"
    )
    response, admin = await reload(listed(model), table={"allow_unavailable_labels": allow})
    assert response.status == status
    assert (admin.applied is None) == (status != 0)
    if status:
        assert response.message == (
            f"Request to assign label to version {version} of model m, "
            f"which is not currently available for inference (label '{label}')"
        )


NO_LIST = (
    "ServerModelConfig type not supported by HandleReloadConfigRequest. "
    "Only ModelConfigList is currently supported"
)
PLATFORM = "model_platform: 'tensorflow'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            NO_LIST,
        ),
        ("config { custom_model_config {} }", "ServerModelConfig type not supported by"),
        (listed("base_path: '/a'"), "expected a name for every model"),
        (
            listed(f"name: 'a' base_path: '/a' {PLATFORM}", f"name: 'a' base_path: '/b' {PLATFORM}"),
            "Illegal to list model a multiple times in config list",
        ),
        (
            listed(f"name: 'a' base_path: 'b/a' {PLATFORM}"),
            "Expected model a to have an absolute path or URI; got base_path()=b/a",
        ),
        (
            listed("name: 'a' base_path: '/a'"),
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ",
        ),
        (
            listed(f"name: 'a' base_path: '/a' model_type: TENSORFLOW {PLATFORM}"),
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ",
        ),
        (
            listed("name: 'a' base_path: '/a' model_platform: 'other'"),
            "Model a requests unsupported platform other (expected 'tensorflow', whatever its files are)",
        ),
        (
            listed("name: 'a' base_path: '/a' model_type: OTHER"),
            "ModelServerConfig::model_type choice 2 not supported.",
        ),
        (listed(f"name: 'a/b' base_path: '/a' {PLATFORM}"), "model a/b: Expected `str` matching regex"),
    ],
)
async def test_what_is_refused_as_a_whole(text, message):
    response, admin = await reload(text)
    assert response.message.startswith(message)
    assert (response.status, admin.applied) == (3, None)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (
            ModelLoadError("no model.onnx", model="n", version=4),
            "UNKNOWN",
            (
                "1 model(s) did not become available: "
                "{{{name: n version: 4} due to error: FAILED_PRECONDITION: no model.onnx}, }"
            ),
        ),
        (
            ModelLoadError("no versions", model="n"),
            "UNKNOWN",
            "1 model(s) did not become available: {{{name: n} due to error: FAILED_PRECONDITION: no versions}, }",
        ),
        (ConfigError("wrong", path="models[0].labels"), "INVALID_ARGUMENT", "models[0].labels: wrong"),
    ],
)
async def test_what_fails_on_the_host(error, status, message):
    text = listed(f"name: 'n' base_path: '/n' {PLATFORM}")
    response, _ = await reload(text, FakeAdmin(error=error))
    assert (response.status, response.message) == (GRPC_STATUS[status], message)


async def test_counters_are_read_before_and_after():
    text = f"{listed()} metric_names: ['/tensorflow/serving/request_count', 'navi_loads_total', 'unknown']"
    response, _ = await reload(text, plane=CountingPlane())
    metrics = tf_serving.ReloadConfigResponse.FromString(body_of(response)).metric
    assert [(each.name, each.int64_value_increase) for each in metrics] == [
        ("/tensorflow/serving/request_count", 3),
        ("navi_loads_total", 1),
    ]
