"""navi's errors in TensorFlow Serving's words and codes: the only place that has either.

The texts are TensorFlow Serving's where it has one; what it leaves out (the tensor, the model)
follows in parentheses. ``specs/errors/tf_serving_*.toml`` lists every situation, and tests drive a
call through the service for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from navi_core.contracts.service import Response
from navi_core.errors import (
    DecodeError,
    ErrorCode,
    InputNamesError,
    LabelNotFoundError,
    ModelNotFoundError,
    ModelNotReadyError,
    NaviError,
    OutputNamesError,
    QueueFullError,
    SignatureNotFoundError,
    StaleRequestError,
    TensorMismatchError,
    VersionNotFoundError,
)
from navi_core.messages import ModelRef
from navi_core.services.tf_serving.options import TfServingOptions
from navi_core.tensors import DType
from navi_core.wire.tf_dtypes import tf_type_name

__all__ = ["GRPC_STATUS", "HTTP_STATUS", "Failures", "Worded", "tensor_parsing_error"]

GRPC_STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.OK: 0,
    ErrorCode.CANCELLED: 1,
    ErrorCode.UNKNOWN: 2,
    ErrorCode.INVALID_ARGUMENT: 3,
    ErrorCode.DEADLINE_EXCEEDED: 4,
    ErrorCode.NOT_FOUND: 5,
    ErrorCode.ALREADY_EXISTS: 6,
    ErrorCode.PERMISSION_DENIED: 7,
    ErrorCode.RESOURCE_EXHAUSTED: 8,
    ErrorCode.FAILED_PRECONDITION: 9,
    ErrorCode.ABORTED: 10,
    ErrorCode.OUT_OF_RANGE: 11,
    ErrorCode.UNIMPLEMENTED: 12,
    ErrorCode.INTERNAL: 13,
    ErrorCode.UNAVAILABLE: 14,
    ErrorCode.DATA_LOSS: 15,
    ErrorCode.UNAUTHENTICATED: 16,
}
"""Code -> gRPC status number; also the numbers of ``tensorflow.error.Code``. Total."""

HTTP_STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.OK: 200,
    ErrorCode.CANCELLED: 499,
    ErrorCode.UNKNOWN: 500,
    ErrorCode.INVALID_ARGUMENT: 400,
    ErrorCode.DEADLINE_EXCEEDED: 504,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.ALREADY_EXISTS: 409,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.RESOURCE_EXHAUSTED: 429,
    ErrorCode.FAILED_PRECONDITION: 400,
    ErrorCode.ABORTED: 409,
    ErrorCode.OUT_OF_RANGE: 400,
    ErrorCode.UNIMPLEMENTED: 501,
    ErrorCode.INTERNAL: 500,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.DATA_LOSS: 500,
    ErrorCode.UNAUTHENTICATED: 401,
}
"""Code -> HTTP status, as TensorFlow Serving's REST server maps them. Total."""

_MAX_MESSAGE_BYTES: Final = 1024
_TRUNCATED: Final = "...TRUNCATED"

_RETRY_AFTER_S: Final = "1"
"""Overload of a model server passes within a second, or not at all."""

InputNames = Callable[[ModelRef, str], Iterable[str]]
"""Gives the input names of a model's signature, in order; none where they cannot be had."""


@dataclass(frozen=True, slots=True)
class Worded:
    """An error as the client gets it."""

    code: ErrorCode
    text: str
    reason: str = ""


class Failures:
    """Words errors and makes them responses.

    Parameters
    ----------
    options
        The service's settings.
    input_names
        Asked only to say which argument had the wrong type.
    """

    def __init__(self, options: TfServingOptions, input_names: InputNames) -> None:
        self._options = options
        self._input_names = input_names

    def rpc(self, error: NaviError, ref: ModelRef | None = None) -> Response:
        """Make the gRPC response for an error; ``ref`` is what was asked for, where that is known."""
        worded = self.word(error, ref)
        text = worded.text.encode("utf-8", "replace")
        message = text.decode()
        if len(text) > _MAX_MESSAGE_BYTES:
            message = text[:_MAX_MESSAGE_BYTES].decode("utf-8", "ignore") + _TRUNCATED
        trailers = (("navi-reason", worded.reason),) if worded.reason else ()
        return Response(status=GRPC_STATUS[worded.code], message=message, trailers=trailers)

    def http(self, error: NaviError, ref: ModelRef | None = None) -> Response:
        """Make the HTTP response for an error."""
        worded = self.word(error, ref, over_http=True)
        headers = [("content-type", "application/json")]
        if worded.reason:
            headers.append(("navi-reason", worded.reason))
        status = HTTP_STATUS[worded.code]
        if status in (429, 503):
            headers.append(("retry-after", _RETRY_AFTER_S))
        text = worded.text.encode("utf-8", "replace").decode()
        return Response(status=status, headers=headers, body=msgspec.json.encode({"error": text}))

    def word(self, error: NaviError, ref: ModelRef | None = None, *, over_http: bool = False) -> Worded:
        """Say an error in TensorFlow Serving's words.

        Parameters
        ----------
        error
            What was raised.
        ref
            What was asked for, where that is known.
        over_http
            The REST API has another code and text for an unknown signature.
        """
        code, text = error.code, error.message
        if isinstance(error, SignatureNotFoundError):
            if over_http:
                text = f'Serving signature name: "{error.signature}" not found in signature def'
            else:
                code = ErrorCode.FAILED_PRECONDITION
                text = f'Serving signature key "{error.signature}" not found.'
        elif isinstance(error, ModelNotFoundError | VersionNotFoundError | LabelNotFoundError):
            code, text = _word_not_found(error, ref)
        elif isinstance(error, ModelNotReadyError):
            code = self._options.not_ready
            text = f"Servable not found for request: {_request(error.model, error.version, ref)}"
            if code is not ErrorCode.NOT_FOUND:
                text += f" ({error.message})"
        elif isinstance(error, InputNamesError):
            text = _word_input_names(error)
        elif isinstance(error, OutputNamesError):
            text = _word_output_names(error)
        elif isinstance(error, TensorMismatchError) and error.what == "dtype":
            text = self._word_dtype(error, ref)
        elif isinstance(error, QueueFullError | StaleRequestError):
            code = self._options.overload
        return Worded(code, text, error.reason)

    def _word_dtype(self, error: TensorMismatchError, ref: ModelRef | None) -> str:
        names = list(self._input_names(ref, error.signature)) if ref else []
        index = names.index(error.tensor) if error.tensor in names else 0
        return (
            f"Expects arg[{index}] to be {_type_word(error.expected)} but {_type_word(error.got)} is provided "
            f"({error.message})"
        )


def tensor_parsing_error(error: DecodeError) -> DecodeError:
    """Say in TensorFlow Serving's words that a tensor of a request could not be decoded."""
    return DecodeError(f"tensor parsing error: {error.tensor} ({error.message})", tensor=error.tensor)


def _request(model: str, version: int | None, ref: ModelRef | None) -> str:
    """Write what was asked for as TensorFlow Serving prints a servable request."""
    if ref is not None and ref.label is None:
        model, version = ref.name, ref.version
    return f"Latest({model})" if version is None else f"Specific({model}, {version})"


def _word_not_found(
    error: ModelNotFoundError | VersionNotFoundError | LabelNotFoundError, ref: ModelRef | None
) -> tuple[ErrorCode, str]:
    label = ref.label if ref else None
    if isinstance(error, LabelNotFoundError):
        label = error.label
    # A label of an unknown model is an unknown label; one of a version that is gone is a version not found.
    if label is not None and not isinstance(error, VersionNotFoundError):
        return ErrorCode.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}"
    return ErrorCode.NOT_FOUND, f"Servable not found for request: {_request(error.model, error.version, ref)}"


def _set(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def _word_input_names(error: InputNamesError) -> str:
    expected, got = set(error.expected), set(error.got)
    # What was left out without being missed has a default.
    defaults = expected - got - set(error.missing)
    if len(got) > len(expected) or (len(got) < len(expected) and not defaults):
        return (
            f"input size does not match signature: {len(got)}!={len(expected)} "
            f"len({{{_set(got)}}}) != len({{{_set(expected)}}}). "
            f"Sent extra: {{{_set(got - expected)}}}. Missing but required: {{{_set(expected - got)}}}."
        )
    if error.missing:
        alias = min(error.missing)
        return (
            f"Signature input alias: {alias}(feed name: {alias}) not found in request and no default value "
            f"provided. Inputs expected to be in the request {{{_set(got)}}}, "
            f"or default input alias set: {_set(defaults)}"
        )
    return f"Inputs contains invalid name. Used request inputs: {_set(got & expected)}, request input: {_set(got)}"


def _word_output_names(error: OutputNamesError) -> str:
    if error.duplicate:
        return f"duplicate output tensor alias: {error.output}"
    return (
        f"output tensor alias not found in signature: {error.output} "
        f"Outputs expected to be in the set {{{_set(error.expected)}}}."
    )


def _type_word(dtype: str) -> str:
    return tf_type_name(DType(dtype)) if dtype in DType.__members__.values() else dtype
