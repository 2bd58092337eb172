"""Predict, classify and regress over REST: from a call to an answer's body."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from navi_core.contracts.planes import OFF_LOOP_BYTES, DataPlane, ModelHandle, OffLoop
from navi_core.contracts.service import Call
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

T = TypeVar("T")

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
        with ExitStack() as handles:
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
                size_bytes = sum(array.nbytes for array in answer.outputs.values())
                return await self._run(size_bytes, partial(encode, answer))
            finally:
                answer.release()

    async def _run(self, size_bytes: int, work: Callable[[], T]) -> T:
        """Do what takes long elsewhere than on the loop."""
        return await self._run_off_loop(work) if size_bytes >= OFF_LOOP_BYTES else work()

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
        self, call: Call, verb: str, ref: ModelRef, handles: ExitStack, asked: _Asked
    ) -> tuple[ModelHandle, InferenceRequest, Encode]:
        """Return the model's handle, entered in ``handles``, the request, and what makes the answer.

        The model is looked up when the document has been parsed, as in TensorFlow Serving: what is no
        JSON is said first.
        """
        size_bytes = len(call.body)
        parsed = await self._run(size_bytes, partial(parse_json_request, call.body))
        asked.signature = parsed.signature
        handle = handles.enter_context(self._plane.acquire(ref))
        name = parsed.signature or DEFAULT_SIGNATURE
        served = handle.signatures.get(name)
        if served is None:
            raise SignatureNotFoundError(name, model=handle.model, known=tuple(handle.signatures))
        decoded = await self._run(size_bytes, partial(decode_parsed_request, parsed, served.inputs))
        request = self._request(call, verb, decoded.inputs, decoded.signature)

        def encode(answer: InferenceResponse) -> bytes:
            return encode_predictions(answer.outputs, row_form=decoded.row_form)

        return handle, request, encode

    async def _decode_examples(
        self, call: Call, verb: str, ref: ModelRef, handles: ExitStack, asked: _Asked
    ) -> tuple[ModelHandle, InferenceRequest, Encode]:
        method = _METHODS[verb]
        decoded = await self._run(len(call.body), partial(decode_json_examples, call.body))
        asked.signature = decoded.signature
        handle = handles.enter_context(self._plane.acquire(ref))
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
