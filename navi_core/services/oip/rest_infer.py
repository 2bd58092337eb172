"""Inference over REST: JSON, and the binary tensor data extension."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from navi_core.contracts.service import Call, Headers, HttpRoute, Operation, Response
from navi_core.contracts.service_context import OFF_LOOP_BYTES, OffLoop, run_at_once
from navi_core.errors import NaviError
from navi_core.services.oip.errors import Asked, Failures
from navi_core.services.oip.inference import Answered, FailedRequest, Inference
from navi_core.services.oip.options import OipOptions
from navi_core.services.oip.rest_paths import INFER, target_of
from navi_core.wire.oip_json_request import HEADER_LENGTH, json_length, parse_json_infer_request
from navi_core.wire.oip_json_response import EncodedAnswer, encode_json_infer_response
from navi_core.wire.oip_request import ParsedInferRequest

__all__ = ["RestInference"]

_JSON: Final = (("content-type", "application/json"),)
_BINARY: Final = "application/octet-stream"
_BINARY_DATA: Final = "binary_data"


class RestInference:
    """The route of inference requests.

    Parameters
    ----------
    inference
        Answers requests.
    failures
        Words errors.
    options
        The service's settings.
    now
        The monotonic clock, in seconds.
    default_deadline_ms
        Deadline of requests that bring none; 0 or less: none.
    run_off_loop
        Where long documents are read and written.
    """

    def __init__(
        self,
        inference: Inference,
        failures: Failures,
        options: OipOptions,
        *,
        now: Callable[[], float],
        default_deadline_ms: float,
        run_off_loop: OffLoop,
    ) -> None:
        self._inference = inference
        self._failures = failures
        self._options = options
        self._now = now
        self._default_deadline_ms = default_deadline_ms
        self._run_off_loop = run_off_loop

    def route(self) -> HttpRoute:
        """Return the route."""
        return HttpRoute(verb="POST", pattern=INFER, handler=self._infer, operation=Operation.INFER)

    async def _infer(self, call: Call) -> Response:
        deadline = call.deadline
        if deadline is None and self._default_deadline_ms > 0:
            deadline = self._now() + self._default_deadline_ms / 1000

        try:
            answered = await self._inference.answer(
                partial(self._parse, call),
                call,
                body_bytes=len(call.body),
                method="infer",
                target=target_of(call.match),
                deadline=deadline,
                run=self._run(_document_bytes(call)),
            )
        except FailedRequest as failed:
            return self._failures.http(failed.error, failed.asked)
        release = answered.response.release
        binary = self._binary_outputs(answered)
        size_bytes = sum([array.nbytes for name, array in answered.outputs.items() if name not in binary])
        try:
            if size_bytes < OFF_LOOP_BYTES:
                encoded = self._encode(answered, binary)
            else:
                encoded = await self._run_off_loop(partial(self._encode, answered, binary))
        except NaviError as error:
            release()
            return self._failures.http(error, Asked(request_id=answered.request.id))
        except BaseException:
            release()
            raise
        headers: Headers = _JSON
        if encoded.json_bytes is not None:
            headers = (("content-type", _BINARY), (HEADER_LENGTH, str(encoded.json_bytes)))
        if encoded.has_views:  # the buffers are in use until the transport has written them
            return Response(status=200, headers=headers, body=encoded.pieces, on_written=release)
        release()
        return Response(status=200, headers=headers, body=encoded.pieces)

    def _encode(self, answered: Answered, binary: set[str]) -> EncodedAnswer:
        return encode_json_infer_response(
            answered.outputs,
            model=answered.response.model,
            version=answered.response.version,
            request_id=answered.request.id,
            binary=binary,
            nan_tokens=self._options.nan_tokens,
        )

    def _parse(self, call: Call) -> ParsedInferRequest:
        return parse_json_infer_request(
            call.body,
            json_length(call.metadata.get(HEADER_LENGTH), len(call.body)),
            max_json_bytes=self._options.max_json_bytes,
            max_depth=self._options.max_json_depth,
        )

    def _run(self, size_bytes: int) -> OffLoop:
        """Return where to read or write a document: what takes long elsewhere than on the loop."""
        return self._run_off_loop if size_bytes >= OFF_LOOP_BYTES else run_at_once

    def _binary_outputs(self, answered: Answered) -> set[str]:
        """Return the outputs that follow the document.

        The request's own default counts for outputs that do not say; in Triton, only if it lists none.
        """
        terms, names = answered.request.terms, set(answered.outputs)
        if terms.is_raw_binary:
            return names
        default = answered.settings.binary_output
        if not terms.outputs:
            return names if default else set()
        if self._options.is_triton:
            default = False
        return {each.name for each in terms.outputs if each.parameters.get(_BINARY_DATA, default) is True}


def _document_bytes(call: Call) -> int:
    """Return how long a request's document is; 0 where its length is not told rightly, which the parser refuses."""
    try:
        length = json_length(call.metadata.get(HEADER_LENGTH), len(call.body))
    except NaviError:
        return 0
    return len(call.body) if length is None else length
