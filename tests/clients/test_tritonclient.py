"""Triton's own clients, unchanged: gRPC and HTTP, JSON and binary, asyncio, threads, streams, errors."""

from __future__ import annotations

import asyncio
import queue
import threading

import numpy as np
import pytest

utils = pytest.importorskip("tritonclient.utils", reason="tritonclient is not installed")
triton_grpc, triton_grpc_aio, triton_http, triton_http_aio = (
    pytest.importorskip(f"tritonclient.{name}") for name in ("grpc", "grpc.aio", "http", "http.aio")
)

# gevent, which the HTTP client is made of, warns at import and when its sockets are collected
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

X = np.arange(6, dtype=np.float32).reshape(3, 2)
Y = [[0, 2], [6, 12], [20, 30]]
KINDS = ["grpc", "http"]
IDENTITIES = ("FLOAT", "FLOAT16", "DOUBLE", "BOOL", "STRING", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)))  # fmt: skip
"""ONNX's names of the element types for which there is a model."""


def module_of(kind):
    return {"grpc": triton_grpc, "http": triton_http}[kind]


@pytest.fixture(params=KINDS)
def client(request, managed):
    kind = request.param
    with module_of(kind).InferenceServerClient(getattr(managed, kind)) as client:
        client.kind = kind
        yield client


def tensor(module, array, name="X", **kwargs):
    made = module.InferInput(name, array.shape, utils.np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array, **kwargs)
    return made


def inputs(client, array=X, name="X", **kwargs):
    return [tensor(module_of(client.kind), array, name, **kwargs)]


def plain(shown):
    """Return a message of the gRPC client as the HTTP one has it."""
    if isinstance(shown, dict | list):
        return shown
    from google.protobuf import json_format

    return json_format.MessageToDict(shown, preserving_proto_field_name=True)


def test_the_readme(readme):
    assert readme("tritonclient")["y"].tolist() == [2.5, 3.0, 4.5]


# --- the server -----------------------------------------------------------------------------------------------


def test_health(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("mul_1")
    assert client.is_model_ready("mul_1", "3")


def test_health__of_what_is_not_there(managed):
    with triton_http.InferenceServerClient(managed.http) as client:
        assert not client.is_model_ready("nobody")
        assert not client.is_model_ready("mul_1", "9")


def test_metadata(client):
    server = plain(client.get_server_metadata())
    assert server["name"] == "navi"
    assert "binary_tensor_data" in server["extensions"]
    model = plain(client.get_model_metadata("mul_1", "3"))
    assert (model["name"], model["versions"], model["platform"]) == ("mul_1", ["3"], "onnx_onnx")
    assert [(each["name"], each["datatype"], list(map(int, each["shape"]))) for each in model["inputs"]] == [
        ("X", "FP32", [3, 2])
    ]


def test_configuration(client):
    config = plain(client.get_model_config("same_int64"))
    config = config.get("config", config)
    assert config["name"] == "same_int64"
    assert config["max_batch_size"] > 0
    assert [(each["data_type"], list(map(int, each["dims"]))) for each in config["input"]] == [
        ("TYPE_INT64", [2])
    ]


def test_statistics(client):
    client.infer("mul_1", inputs(client))
    (stats,) = plain(client.get_inference_statistics("mul_1"))["model_stats"]
    assert (stats["name"], stats["version"]) == ("mul_1", "3")
    assert int(stats["inference_count"]) == int(stats["inference_stats"]["success"]["count"]) >= 1
    assert int(stats["inference_stats"]["compute_infer"]["ns"]) > 0
    assert int(stats["last_inference"]) > 1_600_000_000_000


# --- inference --------------------------------------------------------------------------------------------------


def test_infer(client):
    answer = client.infer("mul_1", inputs(client), request_id="seven", model_version="3")
    assert answer.as_numpy("Y").tolist() == Y
    shown = plain(answer.get_response())
    assert (shown["id"], shown["model_name"], shown["model_version"]) == ("seven", "mul_1", "3")
    assert answer.as_numpy("Z") is None


@pytest.mark.parametrize("binary_input", [True, False])
@pytest.mark.parametrize("binary_output", [True, False, None])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_infer__over_http_in_every_form(managed, binary_input, binary_output, compression):
    outputs = None
    if binary_output is not None:
        outputs = [triton_http.InferRequestedOutput("Y", binary_data=binary_output)]
    with triton_http.InferenceServerClient(managed.http) as client:
        answer = client.infer(
            "mul_1",
            [tensor(triton_http, X, binary_data=binary_input)],
            outputs=outputs,
            request_compression_algorithm=compression,
            response_compression_algorithm=compression,
        )
    assert answer.as_numpy("Y").tolist() == Y
    assert ("data" in answer.get_response()["outputs"][0]) == (binary_output is False)


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_infer__over_compressed_grpc(managed, compression):
    with triton_grpc.InferenceServerClient(managed.grpc) as client:
        answer = client.infer("mul_1", [tensor(triton_grpc, X)], compression_algorithm=compression)
    assert answer.as_numpy("Y").tolist() == Y


def values(name):
    if name == "STRING":
        return np.array([["日本".encode(), "é".encode()], [b"", b"text"]], object)
    kind = {"FLOAT": "float32", "DOUBLE": "float64"}.get(name, name.lower())
    return np.array([[0, 1], [1, 100]]).astype(kind)


@pytest.mark.parametrize("name", IDENTITIES)
def test_every_type__comes_back_as_it_went(client, name):
    array = values(name)
    answer = client.infer(f"same_{name.lower()}", inputs(client, array, "x"))
    got = answer.as_numpy("y")
    assert got.dtype == array.dtype
    assert got.tolist() == array.tolist()


@pytest.mark.parametrize("name", [name for name in IDENTITIES if name != "FLOAT16"])
def test_every_type__comes_back_through_json(managed, name):
    array = values(name) if name != "STRING" else np.array([["é", "text"]], object)
    module = triton_http
    with module.InferenceServerClient(managed.http) as client:
        answer = client.infer(
            f"same_{name.lower()}",
            [tensor(module, array, "x", binary_data=False)],
            outputs=[module.InferRequestedOutput("y", binary_data=False)],
        )
    got = answer.as_numpy("y")
    expected = (
        array.tolist() if name != "STRING" else [[each.encode() for each in row] for row in array.tolist()]
    )
    assert [
        [each.encode() if isinstance(each, str) else each for each in row] for row in got.tolist()
    ] == expected


def test_rows__without_end_and_none(client):
    for rows in (0, 1, 5000):
        array = np.arange(2 * rows, dtype=np.int64).reshape(rows, 2)
        answer = client.infer("same_int64", inputs(client, array, "x"))
        np.testing.assert_array_equal(answer.as_numpy("y"), array)


def test_classification(client):
    module = module_of(client.kind)
    answer = client.infer("mul_1", inputs(client), outputs=[module.InferRequestedOutput("Y", class_count=2)])
    assert answer.as_numpy("Y").tolist() == [b"30.000000:5", b"20.000000:4"]


def test_parameters_and_timeout(client):
    answer = client.infer(
        "mul_1", inputs(client), timeout=10_000_000, priority=1, parameters={"a": 1, "b": "c"}
    )
    assert answer.as_numpy("Y").tolist() == Y


# --- asynchronous -----------------------------------------------------------------------------------------------


def test_async_infer__of_the_http_client(managed):
    with triton_http.InferenceServerClient(managed.http, concurrency=4) as client:
        pending = [client.async_infer("mul_1", [tensor(triton_http, X)], request_id=str(n)) for n in range(8)]
        answers = [each.get_result() for each in pending]
    assert [each.get_response()["id"] for each in answers] == [str(n) for n in range(8)]
    assert all(each.as_numpy("Y").tolist() == Y for each in answers)


def test_async_infer__of_the_grpc_client(managed):
    done: queue.Queue = queue.Queue()
    with triton_grpc.InferenceServerClient(managed.grpc) as client:
        for model in ("mul_1", "nobody"):
            client.async_infer(
                model, [tensor(triton_grpc, X)], lambda result, error: done.put((result, error))
            )
        ended = [done.get(timeout=60) for _ in range(2)]
    (answer,) = [result for result, error in ended if error is None]
    (error,) = [error for result, error in ended if error is not None]
    assert answer.as_numpy("Y").tolist() == Y
    assert error.status() == "StatusCode.NOT_FOUND"


async def test_asyncio(managed):
    async with (
        triton_grpc_aio.InferenceServerClient(managed.grpc) as by_grpc,
        triton_http_aio.InferenceServerClient(managed.http) as by_http,
    ):
        assert await by_grpc.is_server_ready()
        assert await by_http.is_server_ready()
        answers = await asyncio.gather(
            *(by_grpc.infer("mul_1", [tensor(triton_grpc, X)]) for _ in range(4)),
            *(by_http.infer("mul_1", [tensor(triton_http, X)]) for _ in range(4)),
        )
        assert all(each.as_numpy("Y").tolist() == Y for each in answers)
        with pytest.raises(utils.InferenceServerException, match="Model with name nobody does not exist"):
            await by_http.infer("nobody", [tensor(triton_http, X)])


# --- streams ----------------------------------------------------------------------------------------------------


def test_stream(managed):
    ended: queue.Queue = queue.Queue()
    with triton_grpc.InferenceServerClient(managed.grpc) as client:
        client.start_stream(lambda result, error: ended.put((result, error)))
        for request_id, model in enumerate(("mul_1", "nobody", "mul_1", "mul_1")):
            client.async_stream_infer(
                model, [tensor(triton_grpc, X)], request_id=str(request_id), enable_empty_final_response=True
            )
        got = [ended.get(timeout=60) for _ in range(4)]
        client.stop_stream()
    assert [error is None for _, error in got] == [True, False, True, True]
    assert got[1][1].message() == "Model with name nobody does not exist."
    answers = [result for result, error in got if error is None]
    assert [answer.get_response().id for answer in answers] == ["0", "2", "3"]
    assert all(answer.as_numpy("Y").tolist() == Y for answer in answers)
    assert all(answer.get_response().parameters["triton_final_response"].bool_param for answer in answers)


async def test_stream__of_asyncio_ends_when_the_client_has_sent_all(managed):
    async def requests():
        for request_id in range(3):
            yield {"model_name": "mul_1", "inputs": [tensor(triton_grpc, X)], "request_id": str(request_id)}

    async with triton_grpc_aio.InferenceServerClient(managed.grpc) as client:
        got = [(answer.get_response().id, error) async for answer, error in client.stream_infer(requests())]
    assert got == [("0", None), ("1", None), ("2", None)]


def test_stream__of_many_requests_is_answered_in_their_order(managed):
    ended: queue.Queue = queue.Queue()
    with triton_grpc.InferenceServerClient(managed.grpc) as client:
        client.start_stream(lambda result, error: ended.put((result, error)))
        for number in range(200):
            values = [tensor(triton_grpc, X + number)]
            client.async_stream_infer("mul_1", values, request_id=str(number), priority=number % 3)
        got = [ended.get(timeout=60) for _ in range(200)]
        client.stop_stream()
    assert not [error for _, error in got if error is not None]
    assert [result.get_response().id for result, _ in got] == [str(number) for number in range(200)]
    factors = np.array(Y)[:, 1] / X[:, 1]
    for number, (result, _) in enumerate(got):
        np.testing.assert_allclose(result.as_numpy("Y")[:, 1], (X + number)[:, 1] * factors)
        assert result.get_response().parameters["triton_final_response"].bool_param


def test_priority_and_timeout__are_taken(client):
    answer = client.infer("mul_1", inputs(client), priority=1, timeout=5_000_000)
    assert answer.as_numpy("Y").tolist() == Y
    with pytest.raises(utils.InferenceServerException) as caught:
        client.infer("mul_1", inputs(client), timeout=1)  # of microseconds
    assert caught.value.status().removeprefix("StatusCode.") == code(client, "DEADLINE_EXCEEDED")


# --- errors -----------------------------------------------------------------------------------------------------


def failure(client, *arguments, **kwargs):
    with pytest.raises(utils.InferenceServerException) as caught:
        client.infer(*arguments, **kwargs)
    return caught.value.status().removeprefix("StatusCode."), caught.value.message()


CODES = {"NOT_FOUND": "404", "INVALID_ARGUMENT": "400", "UNIMPLEMENTED": "501", "DEADLINE_EXCEEDED": "504"}


def code(client, name):
    return name if client.kind == "grpc" else CODES[name]


def test_errors__have_code_and_text(client):
    module = module_of(client.kind)
    assert failure(client, "nobody", inputs(client)) == (
        code(client, "NOT_FOUND"),
        "Model with name nobody does not exist.",
    )
    assert failure(client, "mul_1", inputs(client), model_version="7") == (
        code(client, "NOT_FOUND"),
        "Model with name mul_1 and version 7 does not exist.",
    )
    invalid = code(client, "INVALID_ARGUMENT")
    assert failure(client, "mul_1", inputs(client, X[:2])) == (
        invalid,
        "unexpected shape for input 'X' for model 'mul_1'. Expected [3,2], got [2,2]",
    )
    assert failure(client, "mul_1", inputs(client, X.astype(np.float64))) == (
        invalid,
        "inference input 'X' data-type is 'FP64', but model 'mul_1' expects 'FP32'",
    )
    assert failure(client, "mul_1", inputs(client, name="W"))[1].startswith(
        "expected 1 inputs but got 1 inputs"
    )
    assert failure(client, "mul_1", inputs(client), outputs=[module.InferRequestedOutput("Z")]) == (
        invalid,
        "unexpected inference output 'Z' for model 'mul_1'",
    )


def test_errors__of_what_is_not_there_name_it(client):
    found = failure(client, "mul_1", inputs(client), sequence_id=7, sequence_start=True)
    assert found[0] == code(client, "UNIMPLEMENTED")
    assert "sequences are not supported" in found[1]
    module = module_of(client.kind)
    shared = module.InferInput("X", [3, 2], "FP32")
    shared.set_shared_memory("region", 24)
    assert failure(client, "mul_1", [shared]) == (
        code(client, "UNIMPLEMENTED"),
        "shared memory is not supported (input 'X')",
    )
    for call, feature in (
        (client.get_system_shared_memory_status, "system shared memory"),
        (client.get_cuda_shared_memory_status, "CUDA shared memory"),
        (client.get_trace_settings, "trace settings"),
        (client.get_log_settings, "log settings"),
    ):
        with pytest.raises(utils.InferenceServerException, match=feature) as caught:
            call()
        assert caught.value.status().removeprefix("StatusCode.") == code(client, "UNIMPLEMENTED")


def test_errors__of_a_timeout(client):
    assert failure(client, "mul_1", inputs(client), timeout=1)[0] == code(client, "DEADLINE_EXCEEDED")


def test_errors__of_half_floats_as_json(managed):
    with triton_http.InferenceServerClient(managed.http) as client:
        client.kind = "http"
        half = inputs(client, values("FLOAT16"), "x")
        found = failure(
            client, "same_float16", half, outputs=[triton_http.InferRequestedOutput("y", binary_data=False)]
        )
    assert found[0] == "400"
    assert found[1].startswith("sending FP16 data via JSON is not supported")


# --- the repository ---------------------------------------------------------------------------------------------


def states(client):
    shown = plain(client.get_model_repository_index())
    entries = shown if isinstance(shown, list) else shown["models"]
    return {each["name"]: (each.get("version"), each["state"], each.get("reason")) for each in entries}


def test_repository__unload_and_load(client):
    client.unload_model("same_double")
    assert states(client)["same_double"] == (None, "UNAVAILABLE", "unloaded")
    client.load_model("same_double")
    assert states(client)["same_double"] == ("3", "READY", None)
    assert client.is_model_ready("same_double")


def test_repository__files_come_over_the_wire(client, managed):
    model = managed.models["same_int8"].read_bytes()
    name = f"fresh_{client.kind}"
    client.load_model(name, config='{"backend": "onnxruntime"}', files={"file:4/model.onnx": model})
    array = np.array([[1, -2]], np.int8)
    answer = client.infer(name, inputs(client, array, "x"), model_version="4")
    assert answer.as_numpy("y").tolist() == array.tolist()
    client.unload_model(name)
    assert name not in states(client)


def test_repository__what_fails_says_why(client):
    for name, arguments, text in (
        (
            "broken",
            {"config": "{}", "files": {"file:1/model.onnx": b"none"}},
            "load failed for model 'broken'",
        ),
        ("nobody", {}, "Model with name nobody does not exist."),
        ("mul_1", {"config": '{"max_batch_size": 4}'}, "overriding 'max_batch_size' is not supported"),
    ):
        with pytest.raises(utils.InferenceServerException, match=text):
            client.load_model(name, **arguments)
    assert "broken" not in states(client)


def test_repository__is_closed_to_clients_of_a_host_without_admin(server):
    for kind in KINDS:
        with module_of(kind).InferenceServerClient(getattr(server, kind)) as client:
            assert client.get_model_repository_index()
            with pytest.raises(utils.InferenceServerException, match="--admin") as caught:
                client.unload_model("mul_1")
            assert caught.value.status() in ("403", "StatusCode.PERMISSION_DENIED")


def test_threads__may_share_a_grpc_client(managed):
    with triton_grpc.InferenceServerClient(managed.grpc) as client:
        got = []

        def ask():
            for _ in range(20):
                got.append(client.infer("mul_1", [tensor(triton_grpc, X)]).as_numpy("Y").tolist())

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert got == [Y] * 80
