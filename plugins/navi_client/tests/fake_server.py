"""A gRPC server that answers as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc


class FakeServer:
    """Answers every unary call with the next of ``answers``: bytes, a status code, or a function of both.

    Attributes
    ----------
    calls
        (method, body, metadata, seconds left) of each call, oldest first.
    """

    def __init__(self, credentials=None) -> None:
        self.answers: list[bytes | grpc.StatusCode | Callable] = []
        self.calls: list[tuple[str, bytes, dict[str, str], float | None]] = []
        self.released = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(4), handlers=[self])
        if credentials is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"
        self._server.start()

    def service(self, details):
        if details.method.endswith("ModelStreamInfer"):
            return grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(
            lambda body, context: self._answer(details.method, body, context)
        )

    def _answer(self, method, body, context):
        self.calls.append((method, body, dict(context.invocation_metadata()), context.time_remaining()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, f"words of {answer.name}")
        return answer if isinstance(answer, bytes) else answer(body, context)

    def _stream(self, bodies, context):
        # what ends before a body was read may reach a client of grpc.aio as "Internal error from Core" instead
        next(bodies, None)
        context.abort(grpc.StatusCode.UNAVAILABLE, "no streams today")
        yield b""

    def stop(self) -> None:
        self.released.set()
        self._server.stop(None).wait()
