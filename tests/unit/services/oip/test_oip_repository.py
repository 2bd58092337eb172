"""The model repository: index, load, unload, in both dialects."""

from __future__ import annotations

import base64

import pytest
from oip_calls import ask, call_rpc, get, post

from navi_core.contracts.service import Operation
from navi_core.wire import oip

LOAD, UNLOAD = "/v2/repository/models/{}/load", "/v2/repository/models/{}/unload"


async def index(service, **document):
    status, shown = await post(service, "/v2/repository/index", document or None)
    assert status == 200
    return shown


async def state_of(service, model):
    return [(each.get("version"), each.get("state"), each.get("reason")) for each in await index(service)
            if each["name"] == model]  # fmt: skip


async def test_index(service, plane):
    shown = [each for each in await index(service) if each["name"] in ("m", "loading")]
    assert shown == [
        {"name": "m", "version": "1", "state": "UNAVAILABLE", "reason": "no model.onnx"},
        {"name": "m", "version": "2", "state": "READY"},
        {"name": "m", "version": "3", "state": "READY"},
        {"name": "m", "version": "4", "state": "LOADING"},
        {"name": "loading", "version": "1", "state": "LOADING"},
    ]
    message = await ask(service, "RepositoryIndex")
    assert [each.name for each in message.models] == [each["name"] for each in await index(service)]


async def test_index__of_what_is_ready(service):
    ready = await index(service, ready=True)
    assert {each["state"] for each in ready} == {"READY"}
    message = await ask(service, "RepositoryIndex", "ready: true")
    assert [(each.name, each.version) for each in message.models] == [
        (each["name"], each["version"]) for each in ready
    ]
    assert await index(service, ready=False) == await index(service)


@pytest.mark.parametrize("body", [{"ready": 1}, {"ready": "yes"}])
async def test_index__wants_a_boolean(service, body):
    assert await post(service, "/v2/repository/index", body) == (
        400,
        {"error": "request JSON: ready: expected a boolean"},
    )


async def test_unload_and_load__find_the_model_again(service, plane, admin):
    assert await post(service, UNLOAD.format("m")) == (200, {"name": "m", "unload": True})
    assert "m" not in plane.served
    assert await state_of(service, "m") == [(None, "UNAVAILABLE", "unloaded")]
    assert await post(service, UNLOAD.format("m")) == (200, {"name": "m", "unload": True})  # it is so already
    assert await post(service, LOAD.format("m")) == (200, {"name": "m", "load": True})
    assert admin.calls == [("unload", "m"), ("load", "m", "/models/m")]
    assert len(await state_of(service, "m")) == 4


async def test_unload__of_an_unknown_model(service, triton):
    assert await post(service, UNLOAD.format("nobody")) == (
        404,
        {"error": "Model with name nobody does not exist."},
    )
    assert await post(triton, UNLOAD.format("nobody")) == (200, None)


async def test_load__of_what_serves_looks_for_newer_versions(service, admin):
    assert await post(service, LOAD.format("m")) == (200, {"name": "m", "load": True})
    assert admin.calls == [("rescan", "m")]


async def test_load__of_what_does_not_answer_begins_anew_and_is_waited_for(service, plane, admin):
    admin.known["loading"] = plane.served["m"]
    status, answer = await post(service, LOAD.format("loading"))
    assert (status, answer["error"]) == (400, "load failed for model 'loading': the file is cut short")
    assert admin.calls == [
        ("rescan", "loading"),
        ("unload", "loading"),
        ("load", "loading", "/models/loading"),
    ]
    assert await state_of(service, "loading") == [(None, "UNAVAILABLE", "the file is cut short")]


async def test_load__of_files_serves_the_newest_of_them_from_memory(service, admin):
    files = {"file:1/model.onnx": b"one", "file:2/model.onnx": b"two", "file:2/weights/w.bin": b"w"}
    parameters = {name: base64.b64encode(data).decode() for name, data in files.items()}
    parameters["config"] = '{"name": "new", "backend": "onnxruntime", "input": [], "max_batch_size": 0}'
    assert await post(service, LOAD.format("new"), {"parameters": parameters}) == (
        200,
        {"name": "new", "load": True},
    )
    assert admin.calls == [("replace", "new", 2, {"model.onnx": b"two", "weights/w.bin": b"w"})]
    assert await state_of(service, "new") == [("2", "READY", None)]


async def test_load__of_files_over_grpc(service, admin):
    text = "model_name: 'new' parameters { key: 'file:7/model.onnx' value { bytes_param: '\\001' } }"
    assert await ask(service, "RepositoryModelLoad", text) == oip.RepositoryModelLoadResponse()
    assert admin.calls == [("replace", "new", 7, {"model.onnx": b"\x01"})]


async def test_load__without_files_goes_back_to_where_the_model_is_configured(service, admin):
    await ask(
        service,
        "RepositoryModelLoad",
        "model_name: 'm' parameters { key: 'file:9/a' value { bytes_param: 'a' } }",
    )
    await ask(
        service,
        "RepositoryModelLoad",
        "model_name: 'm' parameters { key: 'file:10/a' value { bytes_param: 'b' } }",
    )
    assert await state_of(service, "m") == [("10", "READY", None)]
    await ask(service, "RepositoryModelLoad", "model_name: 'm'")
    assert admin.calls[2:] == [("unload", "m"), ("load", "m", "/models/m")]
    assert len(await state_of(service, "m")) == 4


async def test_files__in_memory_are_gone_once_unloaded(service, admin):
    text = "model_name: 'new' parameters { key: 'file:1/a' value { bytes_param: 'a' } }"
    await ask(service, "RepositoryModelLoad", text)
    await ask(service, "RepositoryModelLoad", "model_name: 'new'")  # nothing newer is to be found
    await ask(service, "RepositoryModelUnload", "model_name: 'new'")
    assert await state_of(service, "new") == []
    response = await ask(service, "RepositoryModelLoad", "model_name: 'new'")
    assert (response.status, response.message) == (5, "Model with name new does not exist.")


async def test_files__that_fail_leave_what_serves(service, admin):
    text = "model_name: 'm' parameters { key: 'file:9/a' value { bytes_param: 'broken' } }"
    response = await ask(service, "RepositoryModelLoad", text)
    assert response.message == "load failed for model 'm': model.onnx: expected an ONNX model"
    assert len(await state_of(service, "m")) == 4
    await ask(service, "RepositoryModelLoad", "model_name: 'm'")
    assert admin.calls[-1] == ("rescan", "m")


async def test_kserves_dialect__has_the_model_in_field_1_and_gets_an_answer(service, admin):
    unloaded = await ask(service, "RepositoryModelUnload", "repository_name: 'm'")
    assert (unloaded.model_name, unloaded.isUnloaded) == ("m", True)
    loaded = await ask(service, "RepositoryModelLoad", "repository_name: 'm'")
    assert (loaded.model_name, loaded.isLoaded) == ("m", True)
    assert unloaded.SerializeToString() == b"\x0a\x01m\x10\x01"


async def test_tritons_dialect__gets_empty_answers(service, triton):
    response = await call_rpc(service, "RepositoryModelUnload", b"\x12\x01m")
    assert (response.status, response.body) == (0, b"")
    response = await call_rpc(service, "RepositoryModelLoad", b"\x12\x01m")
    assert (response.status, response.body) == (0, b"")
    assert await post(triton, UNLOAD.format("m"), {"parameters": {"unload_dependents": True}}) == (200, None)


async def test_unload_dependents__must_be_a_boolean(service, triton, admin):
    for parameters in ({"unload_dependents": {}}, {"unload_dependents": None}, {"unload_dependents": 1}):
        for each in (service, triton):
            status, answer = await post(each, UNLOAD.format("m"), {"parameters": parameters})
            assert (status, answer["error"]) == (
                400,
                "unload parameter 'unload_dependents': expected a boolean",
            )
    text = "model_name: 'm' parameters { key: 'unload_dependents' value { int64_param: 1 } }"
    response = await ask(service, "RepositoryModelUnload", text)
    assert (response.status, response.message) == (
        3,
        "unload parameter 'unload_dependents': expected a boolean",
    )
    assert admin.calls == []
    text = "model_name: 'm' parameters { key: 'unload_dependents' value { bool_param: true } }"
    assert (await ask(service, "RepositoryModelUnload", text)).SerializeToString() == b""
    assert admin.calls == [("unload", "m")]


def test_operations__that_change_models_are_admin_ones(service):
    admin = {path.rpartition("/")[2] for path, method in service.rpc_methods().items()
             if method.operation is Operation.ADMIN}  # fmt: skip
    assert admin == {"RepositoryModelLoad", "RepositoryModelUnload"}
    routes = [route for route in service.http_routes() if route.operation is Operation.ADMIN]
    assert sorted(route.pattern.pattern.rpartition("/")[2] for route in routes) == ["load", "unload"]


async def test_what_was_unloaded__is_unknown_to_requests(service):
    await post(service, UNLOAD.format("m"))
    assert (await get(service, "/v2/models/m"))[0] == 404
