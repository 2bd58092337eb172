"""Predict, classify and regress over REST: from a call to an answer's body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from navi_core.contracts.planes import DataPlane, ModelHandle
from navi_core.contracts.service import Call
from navi_core.contracts.service_context import OFF_LOOP_BYTES, OffLoop
from navi_core.errors import ErrorCode, NaviError, SignatureNotFoundError
from navi_core.messages import InferenceRequest, InferenceResponse, ModelRef
from navi_core.services.tf_serving.examples import (
    ExampleMethod,
    class_rows,
    find_signature,
    regressed_values,
)
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.types import Array, NamedArrays
from navi_core.wire.examples_json import decode_json_examples
from navi_core.wire.json_predictions import encode_predictions
from navi_core.wire.json_results import encode_classes, encode_values
from navi_core.wire.tensor_json import decode_parsed_request, parse_json_request

__all__ = ["RestInference"]

Encode = Callable[[InferenceResponse], bytes]
"""Makes the body of an answer; raises InvalidRequestError."""

_METHODS: Final = {"classify": ExampleMethod.CLASSIFY, "regress": ExampleMethod.REGRESS}
"""Verb -> what it asks for; ``predict`` is the third."""


@dataclass(slots=True)
class _Asked:
    """What a call asked for beside its path, as far as it was understood; ``signature`` as sent, None: not known."""

    signature: str | None = None


class RestInference:
    """Answers inference calls.

    Parameters
    ----------
    plane
        Answers requests.
    service
        The service's name, for metrics.
    now
        The monotonic clock, in seconds.
    default_deadline_ms
        Deadline of requests that bring none; 0 or less: none.
    run_off_loop
        Where large bodies are read and written.
    check_method_names
        Refuse signatures that were made for something else.
    """

    def __init__(
        self,
        plane: DataPlane,
        *,
        service: str,
        now: Callable[[], float],
        default_deadline_ms: float,
        run_off_loop: OffLoop,
        check_method_names: bool = False,
    ) -> None:
        self._plane = plane
        self._service = service
        self._now = now
        self._default_deadline_ms = default_deadline_ms
        self._run_off_loop = run_off_loop
        self._check_method_names = check_method_names

    async def answer(self, call: Call, verb: str, ref: ModelRef) -> bytes:
        """Answer one call.

        Parameters
        ----------
        call
            The call.
        verb
            ``predict``, ``classify`` or ``regress``.
        ref
            What it asks for.

        Returns
        -------
        body
            JSON text.

        Raises
        ------
        NaviError
            The request is refused, which is counted here, or it failed.
        """
        asked = _Asked()
        handles: list[ModelHandle] = []  # one, once the model is known
        try:
            try:
                decode = self._decode_tensors if verb == "predict" else self._decode_examples
                handle, request, encode = await decode(call, verb, ref, handles, asked)
            except NaviError as error:
                self._refused(ref, error, call, verb, asked)
                raise
            except Exception:
                raise
            except BaseException:  # the client went while its body was read
                gone = NaviError("the client has gone", code=ErrorCode.CANCELLED)
                self._refused(ref, gone, call, verb, asked)
                raise
            answer = await handle.infer(request)
            try:
                if sum([array.nbytes for array in answer.outputs.values()]) < OFF_LOOP_BYTES:
                    return encode(answer)
                return await self._run_off_loop(partial(encode, answer))
            finally:
                answer.release()
        finally:
            for handle in handles:
                handle.__exit__(None, None, None)

    def _refused(self, ref: ModelRef, error: NaviError, call: Call, verb: str, asked: _Asked) -> None:
        self._plane.refused(
            ref,
            error,
            service=self._service,
            transport=call.transport,
            method=verb,
            signature=asked.signature,
        )

    async def _decode_tensors(
        self, call: Call, verb: str, ref: ModelRef, handles: list[ModelHandle], asked: _Asked
    ) -> tuple[ModelHandle, InferenceRequest, Encode]:
        """Return the model's handle, which is in ``handles`` to be given back, the request, and what makes the answer.

        The model is looked up when the document has been parsed, as in TensorFlow Serving: what is no
        JSON is said first.
        """
        body = call.body
        is_small = len(body) < OFF_LOOP_BYTES
        if is_small:
            parsed = parse_json_request(body)
        else:
            parsed = await self._run_off_loop(partial(parse_json_request, body))
        asked.signature = parsed.signature
        handle = self._plane.acquire(ref).__enter__()
        handles.append(handle)
        name = parsed.signature or DEFAULT_SIGNATURE
        served = handle.signatures.get(name)
        if served is None:
            raise SignatureNotFoundError(name, model=handle.model, known=tuple(handle.signatures))
        if is_small:
            decoded = decode_parsed_request(parsed, served.inputs)
        else:
            decoded = await self._run_off_loop(partial(decode_parsed_request, parsed, served.inputs))
        request = self._request(call, verb, decoded.inputs, decoded.signature)

        def encode(answer: InferenceResponse) -> bytes:
            return encode_predictions(answer.outputs, row_form=decoded.row_form)

        return handle, request, encode

    async def _decode_examples(
        self, call: Call, verb: str, ref: ModelRef, handles: list[ModelHandle], asked: _Asked
    ) -> tuple[ModelHandle, InferenceRequest, Encode]:
        method = _METHODS[verb]
        if len(call.body) < OFF_LOOP_BYTES:
            decoded = decode_json_examples(call.body)
        else:
            decoded = await self._run_off_loop(partial(decode_json_examples, call.body))
        asked.signature = decoded.signature
        handle = self._plane.acquire(ref).__enter__()
        handles.append(handle)
        signature = find_signature(
            handle.signatures, decoded.signature, method, check_method_name=self._check_method_names
        )
        request = self._request(
            call, verb, {signature.input_name: decoded.examples}, signature.name, signature.outputs
        )

        def encode(answer: InferenceResponse) -> bytes:
            return _encoded(method, answer.outputs, decoded.examples)

        return handle, request, encode

    def _request(
        self, call: Call, verb: str, inputs: NamedArrays, signature: str, outputs: tuple[str, ...] = ()
    ) -> InferenceRequest:
        deadline = call.deadline
        if deadline is None and self._default_deadline_ms > 0:
            deadline = self._now() + self._default_deadline_ms / 1000
        return InferenceRequest(
            inputs=inputs,
            signature=signature,
            outputs=outputs,
            deadline=deadline,
            body_bytes=len(call.body),
            service=self._service,
            transport=call.transport,
            method=verb,
        )


def _encoded(method: ExampleMethod, outputs: NamedArrays, examples: Array) -> bytes:
    if method is ExampleMethod.CLASSIFY:
        rows = class_rows(outputs, len(examples))
        return encode_classes(rows.labels, rows.scores)
    return encode_values(regressed_values(outputs, len(examples)))
