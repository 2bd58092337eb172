"""navi's errors in TensorFlow Serving's words and codes: the only place that has either.

The texts are TensorFlow Serving's where it has one; what it leaves out (the tensor, the model)
follows in parentheses. Its codes, ``tensorflow.error.Code``, have gRPC's numbers, and its REST
server answers with the usual HTTP statuses. ``specs/errors/tf_serving_*.toml`` lists every
situation, and tests drive a call through the service for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

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
from navi_core.services.worded import Worded
from navi_core.tensors import DType
from navi_core.wire.statuses import GRPC_STATUS, HTTP_STATUS
from navi_core.wire.tf_dtypes import tf_type_name

__all__ = ["GRPC_STATUS", "HTTP_STATUS", "Failures", "tensor_parsing_error"]

_MAX_MESSAGE_BYTES: Final = 1024
_TRUNCATED: Final = "...TRUNCATED"

InputNames = Callable[[ModelRef, str], Iterable[str]]
"""Gives the input names of a model's signature, in order; none where they cannot be had."""


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
        return worded.rpc_response(
            GRPC_STATUS[worded.code], max_bytes=_MAX_MESSAGE_BYTES, truncated=_TRUNCATED
        )

    def http(self, error: NaviError, ref: ModelRef | None = None) -> Response:
        """Make the HTTP response for an error."""
        worded = self.word(error, ref, over_http=True)
        return worded.json_response(HTTP_STATUS[worded.code])

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
