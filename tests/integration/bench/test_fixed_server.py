"""The server of ``benchmarks/serving`` that does next to nothing answers both protocols as their clients want it."""

from __future__ import annotations

import contextlib
import http.client
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

SOURCE = Path(__file__).resolve().parents[3] / "benchmarks" / "serving" / "programs" / "fixed.c"
ANSWER = b"x" * 64
SIZES = [0, 3, 20_000, 3_000_000]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("fixed") / "fixed"
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-O1", "-o", str(found), str(SOURCE)], check=True)
    return found


def _free_port() -> int:
    """Return a port that nobody listens at, of those that no connection is given by itself meanwhile."""
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


@pytest.fixture
def port(program: Path) -> Iterator[int]:
    port = _free_port()
    process = subprocess.Popen([str(program), str(port), "64"])
    try:
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.01)
        yield port
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_answers_grpc(port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/any.Service/Any")
        for size in SIZES:
            assert call(b"q" * size, timeout=30) == ANSWER
        waiting = [call.future(b"q" * 100, timeout=30) for _ in range(50)]
        assert all(each.result() == ANSWER for each in waiting)


def test_answers_http(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for size in SIZES:
        connection.request("POST", "/any", b"q" * size)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, ANSWER)
    connection.close()


def test_answers_each_request_of_pieces_and_of_several_at_once(port: int) -> None:
    request = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nPRI *"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        for place in range(0, len(request), 7):
            one.sendall(request[place : place + 7])
        one.sendall(request * 2 + request[:-1])
        one.sendall(request[-1:])
        found = b""
        while found.count(ANSWER) < 4:
            found += one.recv(65536)
    assert found.count(b"HTTP/1.1 200 OK\r\n") == 4
    assert found.endswith(ANSWER)


@pytest.mark.parametrize("arguments", [[], ["0", "64"], ["80000", "64"], ["1234", "0"], ["1234", "100000"]])
def test_refuses_other_arguments(program: Path, arguments: list[str]) -> None:
    ended = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert "usage" in ended.stderr
