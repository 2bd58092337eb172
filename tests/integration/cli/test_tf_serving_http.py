"""The core's client over HTTP against servers that answer oddly: every end is a RemoteError with a code."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time

import numpy as np
import pytest

from navi_core.clients.tf_serving_http import TfServingHttpClient
from navi_core.contracts.client import Endpoint, RemoteVersion
from navi_core.errors import ErrorCode, RemoteError
from navi_core.messages import ModelRef

pytestmark = pytest.mark.integration

M = ModelRef("m")
X = {"x": np.ones(2, np.float32)}


class Server:
    """Answers each request on its one connection with the next of ``answers``: pieces, ``pause_s`` apart."""

    def __init__(self, *answers: list[bytes], pause_s: float = 0.0) -> None:
        self.requests: list[bytes] = []
        self._answers = answers
        self._pause_s = pause_s
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError), self._socket, self._socket.accept()[0] as connection:
            for pieces in self._answers:
                self.requests.append(self._request(connection))
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(self._pause_s)

    @staticmethod
    def _request(connection) -> bytes:
        with connection.makefile("rb") as stream:
            head = b"".join(iter(stream.readline, b"\r\n"))
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            return head + (stream.read(int(length[1])) if length else b"")

    def join(self) -> None:
        self._thread.join(60)


def answer(body, status="200 OK", close=False):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n" + "Connection: close\r\n" * close
    return [head.encode() + b"\r\n" + content]


@pytest.fixture
def ask():
    with contextlib.ExitStack() as stack:

        def connect(*answers, timeout_s=60.0, token=None, **options):
            server = Server(*answers, **options)
            stack.callback(server.join)
            endpoint = Endpoint(host="127.0.0.1", port=server.port, timeout_s=timeout_s, token=token)
            return stack.enter_context(TfServingHttpClient.connect(endpoint)), server

        yield connect


def metadata(**outputs):
    tensors = {
        name: {"dtype": dtype, "tensor_shape": {"unknown_rank": True}} for name, dtype in outputs.items()
    }
    definition = {"inputs": {"x": {"dtype": "DT_FLOAT"}}, "outputs": tensors}
    return {"metadata": {"signature_def": {"signature_def": {"serving_default": definition}}}}


def test_one_connection_for_metadata_and_prediction(ask):
    client, server = ask(answer(metadata(y="DT_FLOAT")), answer({"outputs": [1, 2]}), token="t")
    with client:
        answered = client.predict(ModelRef("m", version=3), X, "serving_default")
    np.testing.assert_array_equal(answered.outputs["y"], [1, 2])
    assert answered.version == 3
    first, second = server.requests
    assert first.startswith(b"GET /v1/models/m/versions/3/metadata HTTP/1.1\r\n")
    assert second.endswith(b'{"inputs": {"x": [1.0, 1.0]}}')
    assert b"authorization: Bearer t\r\n" in second


def test_an_answer_in_pieces_and_a_connection_that_closes(ask):
    whole = answer({"models": [{"name": "m", "model_version_status": []}]}, close=True)[0]
    client, _ = ask([whole[:40], whole[40:60], whole[60:]], pause_s=0.01)
    assert client.models(()) == [RemoteVersion("m", None, "no version yet")]


CODES = {
    "400 Bad Request": ErrorCode.INVALID_ARGUMENT,
    "404 Not Found": ErrorCode.NOT_FOUND,
    "429 Too Many Requests": ErrorCode.RESOURCE_EXHAUSTED,
    "503 Service Unavailable": ErrorCode.UNAVAILABLE,
    "418 Teapot": ErrorCode.UNKNOWN,
}


@pytest.mark.parametrize(("status", "code"), CODES.items())
def test_a_status_is_a_code(ask, status, code):
    client, server = ask(answer({"error": "no"}, status))
    with pytest.raises(RemoteError) as caught:
        client.models(["m"])
    assert caught.value.code is code
    assert caught.value.message == f"127.0.0.1:{server.port} answered {status}: no"


ODD = {
    "no JSON": (b"<html>", "expected JSON, got something else"),
    "a list": ([1], "expected an object, got something else"),
    "no metadata": ({"x": 1}, "expected metadata, got something else"),
    "a wrong shape": (
        {"metadata": {"signature_def": {"signature_def": {"s": {"inputs": 3}}}}},
        "expected metadata, got something else",
    ),
    "a type that nobody has": (metadata(y="DT_NOBODY"), "element type number 0"),
    "a type that navi has not": (metadata(y="DT_VARIANT"), "element type number 21"),
}


@pytest.mark.parametrize(("body", "text"), ODD.values(), ids=ODD)
def test_odd_metadata(ask, body, text):
    client, _ = ask(answer(body))
    with pytest.raises(RemoteError) as caught:
        client.signatures(M)
    assert caught.value.code is ErrorCode.INTERNAL
    assert text in caught.value.message


def test_odd_answers(ask):
    for body, text in (
        ({"predictions": [1]}, "expected a prediction"),
        ({"outputs": ["a"]}, "expected outputs as"),
    ):
        client, _ = ask(answer(metadata(y="DT_FLOAT")), answer(body))
        with pytest.raises(RemoteError, match=text):
            client.predict(M, X, "serving_default")
    client, _ = ask(answer({"model_version_status": [{"version": "x"}]}))
    with pytest.raises(RemoteError, match="expected states of versions"):
        client.models(["m"])


def test_a_server_that_drips__ends_at_the_deadline(ask):
    pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *[b"x"] * 900]
    client, _ = ask(pieces, pause_s=0.05, timeout_s=0.3)
    begin = time.monotonic()
    with pytest.raises(RemoteError, match="cannot be asked: timed out") as caught:
        client.models(["m"])
    assert caught.value.code is ErrorCode.DEADLINE_EXCEEDED
    assert time.monotonic() - begin < 30, "it waited for the whole answer, which takes 45 s"


@pytest.mark.parametrize(
    "pieces",
    [[b""], [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}"]],
    ids=["nothing", "an answer cut short"],
)
def test_a_server_that_breaks_off(ask, pieces):
    client, _ = ask(pieces)
    with pytest.raises(RemoteError, match="cannot be asked: ") as caught:
        client.models(["m"])
    assert caught.value.code is ErrorCode.UNAVAILABLE


@pytest.mark.parametrize(
    "sent", [b"SSH-2.0-x\r\n", b"\0\0\x18\4\0\0\0\0\0\0\4\0\x40\0\0"], ids=["SSH", "HTTP/2, as gRPC"]
)
def test_a_server_of_another_protocol__its_bytes_stay_off_the_terminal(ask, sent):
    client, _ = ask([sent])
    with pytest.raises(RemoteError) as caught:
        client.models(["m"])
    assert caught.value.code is ErrorCode.UNAVAILABLE
    assert caught.value.message.endswith(
        "cannot be asked: it answers, but not over HTTP (is it a port for gRPC?)"
    )
