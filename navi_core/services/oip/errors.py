"""navi's errors in the Open Inference Protocol's words and codes: the only place that has either.

The protocol leaves both to the server, so the dialects differ. Where KServe has a text of its own (models that
are unknown or not ready), it is the default; about requests it says nothing, and Triton's texts, which tools
look for, are used in both dialects. KServe's HTTP statuses are the usual ones; ``compat = "triton"`` brings
Triton's codes and its ``[request id: ID]``. ``specs/errors/oip_*.toml`` lists every situation, and tests drive a
call through the service for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from navi_core.contracts.planes import DataPlane
from navi_core.contracts.service import Response
from navi_core.contracts.versions import ServableState
from navi_core.errors import (
    DeadlineExceededError,
    ErrorCode,
    InputNamesError,
    ModelNotFoundError,
    ModelNotReadyError,
    NaviError,
    OutputNamesError,
    QueueFullError,
    RequestTooLargeError,
    StaleRequestError,
    TensorMismatchError,
    VersionNotFoundError,
)
from navi_core.messages import ModelRef
from navi_core.services.oip.options import OipOptions
from navi_core.services.worded import Worded
from navi_core.signature import Signature
from navi_core.tensors import DType
from navi_core.types import Dim
from navi_core.wire.oip_dtypes import datatype_name
from navi_core.wire.statuses import GRPC_STATUS, HTTP_STATUS

__all__ = ["GRPC_STATUS", "HTTP_STATUS", "TRITON_CODE", "TRITON_HTTP_STATUS", "Asked", "Failures"]

TRITON_CODE: Final[Mapping[ErrorCode, ErrorCode]] = {
    **{code: code for code in ErrorCode},
    ErrorCode.DEADLINE_EXCEEDED: ErrorCode.UNAVAILABLE,
    ErrorCode.RESOURCE_EXHAUSTED: ErrorCode.UNAVAILABLE,
    ErrorCode.FAILED_PRECONDITION: ErrorCode.INVALID_ARGUMENT,
    ErrorCode.OUT_OF_RANGE: ErrorCode.INVALID_ARGUMENT,
    ErrorCode.ABORTED: ErrorCode.UNAVAILABLE,
    ErrorCode.DATA_LOSS: ErrorCode.INTERNAL,
}
"""Code -> the one that Triton, which has fewer, would use. Total."""

TRITON_HTTP_STATUS: Final[Mapping[ErrorCode, int]] = {
    **dict.fromkeys(ErrorCode, 400),
    ErrorCode.OK: 200,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.INTERNAL: 500,
    ErrorCode.DATA_LOSS: 500,
    ErrorCode.UNIMPLEMENTED: 501,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.DEADLINE_EXCEEDED: 503,
    ErrorCode.RESOURCE_EXHAUSTED: 503,
    ErrorCode.ABORTED: 503,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.UNAUTHENTICATED: 401,
}
"""Code -> HTTP status, as Triton maps them. Total."""

_MAX_MESSAGE_BYTES: Final = 2048
_TRUNCATED: Final = "..."

_BETWEEN: Final = (ServableState.START, ServableState.LOADING, ServableState.UNLOADING)


@dataclass(slots=True)
class Asked:
    """What a failed call was about, as far as it was understood.

    Parameters
    ----------
    ref
        The model.
    request_id
        An inference request's id, empty if it had none; None: no inference was asked for.
    signature
        The model's signature.
    """

    ref: ModelRef | None = None
    request_id: str | None = None
    signature: Signature | None = None


_NOTHING: Final = Asked()


class Failures:
    """Words errors and makes them responses.

    Parameters
    ----------
    options
        The service's settings.
    plane
        Asked only whether a version that cannot be used is on its way.
    """

    def __init__(self, options: OipOptions, plane: DataPlane) -> None:
        self._is_triton = options.is_triton
        self._plane = plane
        self._http_status = TRITON_HTTP_STATUS if options.is_triton else HTTP_STATUS

    def rpc(self, error: NaviError, asked: Asked = _NOTHING) -> Response:
        """Make the gRPC response for an error."""
        worded = self.word(error, asked)
        return worded.rpc_response(
            GRPC_STATUS[worded.code], max_bytes=_MAX_MESSAGE_BYTES, truncated=_TRUNCATED
        )

    def http(self, error: NaviError, asked: Asked = _NOTHING) -> Response:
        """Make the HTTP response for an error."""
        worded = self.word(error, asked)
        return worded.json_response(self._http_status[worded.code])

    def word(self, error: NaviError, asked: Asked = _NOTHING) -> Worded:
        """Say an error in the protocol's words."""
        code, text = self._code_and_text(error, asked)
        if self._is_triton:
            code = TRITON_CODE[code]
            if asked.request_id is not None:
                text = f"[request id: {asked.request_id or '<id_unknown>'}] {text}"
        return Worded(code, text, error.reason)

    def _code_and_text(self, error: NaviError, asked: Asked) -> tuple[ErrorCode, str]:
        code, text = error.code, error.message
        model = asked.ref.name if asked.ref is not None else ""
        if isinstance(error, ModelNotFoundError | VersionNotFoundError | ModelNotReadyError):
            return self._word_model(error)
        if isinstance(error, InputNamesError):
            text = _word_input_names(error, model)
        elif isinstance(error, OutputNamesError) and not error.duplicate:
            text = f"unexpected inference output '{error.output}' for model '{model}'"
        elif isinstance(error, TensorMismatchError) and not error.message.startswith("output"):
            text = _word_mismatch(error, model, asked.signature)
            if error.what == "elements" and self._is_triton:  # of JSON data alone
                code = ErrorCode.INTERNAL
        elif self._is_triton:
            if isinstance(error, QueueFullError):
                text = "Exceeds maximum queue size"
            elif isinstance(error, StaleRequestError | DeadlineExceededError):
                text = "Request timeout expired"
            elif isinstance(error, RequestTooLargeError):
                code = ErrorCode.INVALID_ARGUMENT
        return code, text

    def _word_model(
        self, error: ModelNotFoundError | VersionNotFoundError | ModelNotReadyError
    ) -> tuple[ErrorCode, str]:
        model, version = error.model, error.version
        is_between = isinstance(error, VersionNotFoundError) and self._is_between(model, error.version)
        if not self._is_triton:
            if is_between or isinstance(error, ModelNotReadyError):
                return ErrorCode.UNAVAILABLE, f"Model with name {model} is not ready."
            of_version = f" and version {version}" if isinstance(error, VersionNotFoundError) else ""
            return ErrorCode.NOT_FOUND, f"Model with name {model}{of_version} does not exist."
        subject = f"Request for unknown model: '{model}'"
        if is_between:
            return ErrorCode.UNAVAILABLE, f"{subject} version {version} is not at ready state"
        if isinstance(error, ModelNotReadyError):
            return ErrorCode.NOT_FOUND, f"{subject} has no available versions"
        if isinstance(error, VersionNotFoundError):
            return ErrorCode.NOT_FOUND, f"{subject} version {version} is not found"
        return ErrorCode.INVALID_ARGUMENT, f"{subject} is not found"

    def _is_between(self, model: str, version: int | None) -> bool:
        """Tell whether a version is about to be available, or about to go."""
        try:
            statuses = self._plane.status(model)
        except ModelNotFoundError:
            return False
        return any(each.version == version and each.state in _BETWEEN for each in statuses)


def _quoted(names: Iterable[str]) -> str:
    return "[" + ",".join(f"'{name}'" for name in names) + "]"


def _word_input_names(error: InputNamesError, model: str) -> str:
    if error.missing:
        return (
            f"expected {len(error.expected)} inputs but got {len(error.got)} inputs for model '{model}'. "
            f"Got input(s) {_quoted(error.got)}, but missing required input(s) {_quoted(error.missing)}. "
            "Please provide all required input(s)."
        )
    return f"unexpected inference input '{error.extra[0]}' for model '{model}'"


def _word_mismatch(error: TensorMismatchError, model: str, signature: Signature | None) -> str:
    name, expected, got = error.tensor, error.expected, error.got
    if error.what == "dtype":
        return (
            f"inference input '{name}' data-type is '{_datatype(got)}', "
            f"but model '{model}' expects '{_datatype(expected)}'"
        )
    if error.what == "shape":
        spec = signature.inputs.get(name) if signature is not None else None
        wanted = _brackets(spec.shape) if spec is not None and spec.shape is not None else expected
        return (
            f"unexpected shape for input '{name}' for model '{model}'. "
            f"Expected {wanted}, got [{got.strip('(),').replace(' ', '')}]"
        )
    if error.what == "size":
        return (
            f"input byte size mismatch for input '{name}' for model '{model}'. Expected {expected}, got {got}"
        )
    if error.what in ("elements", "values"):
        return f"data of input '{name}' does not match its shape: expected {expected} elements, got {got}"
    if error.what == "rank":
        return f"input '{name}' has no shape but model requires batch dimension for '{model}'"
    if error.what == "rows":
        return (
            f"input '{name}' batch size does not match other inputs for '{model}' "
            f"(expected {expected}, got {got})"
        )
    return error.message


def _datatype(dtype: str) -> str:
    return datatype_name(DType(dtype)) if dtype in DType.__members__.values() else dtype


def _brackets(shape: Sequence[Dim]) -> str:
    return f"[{','.join(str(dim) if isinstance(dim, int) else '-1' for dim in shape)}]"
