"""ModelInfer and ModelStreamInfer."""

from __future__ import annotations

from functools import partial
from typing import Final

from navi_core.contracts.service import Call, Response, StreamError
from navi_core.contracts.service_context import AnswerStream
from navi_core.errors import NaviError
from navi_core.services.oip.errors import GRPC_STATUS, Asked, Failures
from navi_core.services.oip.inference import Answered, FailedRequest, Inference
from navi_core.types import Bytes
from navi_core.wire.oip_infer_request import parse_infer_request
from navi_core.wire.oip_infer_response import (
    encode_infer_response,
    encode_stream_error,
    encode_stream_response,
)

__all__ = ["ModelInferRpc", "ModelStreamInferRpc"]

_FINAL: Final = {"triton_final_response": True}
"""Every answer of a stream says so in Triton, asked or not: there may be models with several."""

_GRPC_ERRORS: Final = "triton_grpc_error"
"""Metadata with which a client asks for the stream to end with the first error's status."""


def _encode(answered: Answered, *, always_raw: bool, is_stream: bool = False) -> tuple[list[Bytes], bool]:
    return encode_infer_response(
        answered.outputs,
        model=answered.response.model,
        version=answered.response.version,
        request_id=answered.request.id,
        parameters=_FINAL if is_stream else None,
        typed=answered.request.terms.typed and not always_raw,
    )


class ModelInferRpc:
    """The handler of ``ModelInfer``.

    Parameters
    ----------
    inference
        Answers requests.
    failures
        Words errors.
    always_raw
        Answer with raw contents (Triton's way) even where the request had typed ones.
    """

    def __init__(self, inference: Inference, failures: Failures, *, always_raw: bool) -> None:
        self._inference = inference
        self._failures = failures
        self._always_raw = always_raw

    async def __call__(self, call: Call) -> Response:
        """Answer one request."""
        body = call.body
        try:
            answered = await self._inference.answer(
                partial(parse_infer_request, body),
                call,
                body_bytes=len(body),
                method="ModelInfer",
                deadline=call.deadline,
            )
        except FailedRequest as failed:
            return self._failures.rpc(failed.error, failed.asked)
        release = answered.response.release
        try:
            pieces, has_views = _encode(answered, always_raw=self._always_raw)
        except NaviError as error:
            release()
            return self._failures.rpc(error, Asked(request_id=answered.request.id))
        if has_views:  # the buffers are in use until the transport has written them
            return Response(status=0, body=pieces, on_written=release)
        release()
        return Response(status=0, body=pieces)


class ModelStreamInferRpc:
    """The handler of ``ModelStreamInfer``.

    Requests of one stream run side by side, so that they share batches, and are answered in their order, as
    Triton does for models with one answer to a request. An error is an answer like any other: the stream goes on.

    Parameters
    ----------
    inference, failures, always_raw
        See `ModelInferRpc`.
    answer_ahead
        Answers the messages of a stream side by side.
    max_ahead
        Requests of one stream that have been read and whose answers are not written yet.
    """

    def __init__(
        self,
        inference: Inference,
        failures: Failures,
        *,
        always_raw: bool,
        answer_ahead: AnswerStream,
        max_ahead: int,
    ) -> None:
        self._inference = inference
        self._failures = failures
        self._always_raw = always_raw
        self._answer_ahead = answer_ahead
        self._max_ahead = max_ahead

    async def __call__(self, call: Call) -> Response:
        """Answer every request of the stream until the client has sent its last one."""
        answers = self._answer_ahead(call.messages, partial(self._answer, call), limit=self._max_ahead)
        return Response(status=0, stream=answers)

    async def _answer(self, call: Call, message: Bytes) -> bytes:
        try:
            return await self._infer(call, message)
        except FailedRequest as failed:
            worded = self._failures.word(failed.error, failed.asked)
            if call.metadata.get(_GRPC_ERRORS) in ("true", b"true"):
                raise StreamError(GRPC_STATUS[worded.code], worded.text) from None
            text = worded.text.encode("utf-8", "replace").decode()
            return encode_stream_error(text, failed.asked.request_id or "", parameters=_FINAL)

    async def _infer(self, call: Call, message: Bytes) -> bytes:
        answered = await self._inference.answer(
            partial(parse_infer_request, message),
            call,
            body_bytes=len(message),
            method="ModelStreamInfer",
            deadline=call.deadline,
        )
        try:
            pieces, _ = _encode(answered, always_raw=self._always_raw, is_stream=True)
            return encode_stream_response(pieces)
        except NaviError as error:
            raise FailedRequest(error, Asked(request_id=answered.request.id)) from None
        finally:
            answered.response.release()
