"""Every error that navi raises on purpose; each carries a transport-neutral code.

Rules of this file: nothing here knows gRPC, HTTP or a framework. A service words an error for its
protocol and maps its code with a table of its own; the texts below are for logs, for in-process
callers and for protocols that have no text of their own.

The tree::

    NaviError
    ├── ConfigError
    ├── PluginError
    │   ├── PluginLoadError
    │   ├── PluginConflictError
    │   └── PluginNotFoundError
    ├── ModelError
    │   ├── ModelNotFoundError
    │   ├── VersionNotFoundError
    │   ├── LabelNotFoundError
    │   ├── ModelNotReadyError
    │   ├── ModelLoadError
    │   └── ModelConflictError
    ├── RequestError
    │   ├── InvalidRequestError
    │   ├── SignatureNotFoundError
    │   ├── InputNamesError
    │   ├── OutputNamesError
    │   ├── TensorMismatchError
    │   ├── DecodeError
    │   └── UnsupportedError
    ├── OverloadError
    │   ├── QueueFullError
    │   ├── MemoryBudgetError
    │   ├── RequestTooLargeError
    │   ├── StaleRequestError
    │   └── DrainingError
    ├── DeadlineExceededError
    ├── RequestCancelledError
    ├── InferenceError
    ├── RemoteError
    └── LifecycleError

Text style: ``<what failed>: expected <x>, got <y> (<where>)``, lower case, no full stop, never the
payload's own bytes.
"""

from __future__ import annotations

from typing import Any, ClassVar

from navi_core.error_codes import ErrorCode

__all__ = [
    "ConfigError",
    "DeadlineExceededError",
    "DecodeError",
    "DrainingError",
    "ErrorCode",
    "InferenceError",
    "InputNamesError",
    "InvalidRequestError",
    "LabelNotFoundError",
    "LifecycleError",
    "MemoryBudgetError",
    "ModelConflictError",
    "ModelError",
    "ModelLoadError",
    "ModelNotFoundError",
    "ModelNotReadyError",
    "NaviError",
    "OutputNamesError",
    "OverloadError",
    "PluginConflictError",
    "PluginError",
    "PluginLoadError",
    "PluginNotFoundError",
    "QueueFullError",
    "RemoteError",
    "RequestCancelledError",
    "RequestError",
    "RequestTooLargeError",
    "SignatureNotFoundError",
    "StaleRequestError",
    "TensorMismatchError",
    "UnsupportedError",
    "VersionNotFoundError",
]


class NaviError(Exception):
    """The root of every error that navi raises on purpose.

    Parameters
    ----------
    message
        One line for people: what failed, what was expected, what came, where.
    code
        Overrides the class's default code.
    reason
        A short machine-readable word (``queue_rows``, ``draining``...), for metrics and clients.

    Attributes
    ----------
    code
        The transport-neutral kind of failure.
    reason
        See the parameter; empty when there is nothing to add to the code.
    """

    default_code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    default_reason: ClassVar[str] = ""

    def __init__(self, message: str, *, code: ErrorCode | None = None, reason: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.reason = self.default_reason if reason is None else reason

    @property
    def message(self) -> str:
        """The text, without the class's name."""
        return str(self.args[0]) if self.args else ""


# --- set-up -----------------------------------------------------------------------------------


class ConfigError(NaviError):
    """The configuration is wrong; ``path`` says where (``models[0].batching.max_batch_rows``)."""

    default_code = ErrorCode.INVALID_ARGUMENT

    def __init__(self, message: str, *, path: str = "", **kwargs: Any) -> None:
        super().__init__(f"{path}: {message}" if path else message, **kwargs)
        self.path = path


class PluginError(NaviError):
    """Something about a plugin: it is broken, missing, or clashes with another."""

    default_code = ErrorCode.FAILED_PRECONDITION


class PluginLoadError(PluginError):
    """A plugin could not be used.

    Attributes
    ----------
    plugin
        The entry point's name.
    distribution
        The installed package that it came from, with its version.
    """

    def __init__(self, message: str, *, plugin: str, distribution: str = "", **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.plugin = plugin
        self.distribution = distribution


class PluginConflictError(PluginError):
    """Two plugins claim one name, or one artifact with equal priority."""


class PluginNotFoundError(PluginError):
    """Nothing installed provides what the configuration or a model asks for."""


# --- models -----------------------------------------------------------------------------------


class ModelError(NaviError):
    """Something about a model; ``model`` and ``version`` say which."""

    default_code = ErrorCode.NOT_FOUND

    def __init__(self, message: str, *, model: str = "", version: int | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.model = model
        self.version = version


class ModelNotFoundError(ModelError):
    """No model of that name has a version that can be asked for."""

    def __init__(self, model: str, *, version: int | None = None, **kwargs: Any) -> None:
        super().__init__(f"model '{model}' is not served here", model=model, version=version, **kwargs)


class VersionNotFoundError(ModelError):
    """The model is known; the version asked for is not loaded."""

    def __init__(self, model: str, version: int, **kwargs: Any) -> None:
        super().__init__(
            f"version {version} of model '{model}' is not loaded", model=model, version=version, **kwargs
        )


class LabelNotFoundError(ModelError):
    """No version of the model carries the label."""

    default_code = ErrorCode.INVALID_ARGUMENT

    def __init__(self, model: str, label: str, **kwargs: Any) -> None:
        super().__init__(f"model '{model}' has no version labelled '{label}'", model=model, **kwargs)
        self.label = label


class ModelNotReadyError(ModelError):
    """The model is known but none of its versions can answer yet."""

    default_code = ErrorCode.UNAVAILABLE
    default_reason = "not_ready"


class ModelLoadError(ModelError):
    """A version could not be loaded."""

    default_code = ErrorCode.FAILED_PRECONDITION


class ModelConflictError(ModelError):
    """Two models of one name, or an admin operation that contradicts what is configured."""

    default_code = ErrorCode.ALREADY_EXISTS


# --- requests: the caller's fault ---------------------------------------------------------------


class RequestError(NaviError):
    """The caller asked for something that cannot be done; asking again does not help."""

    default_code = ErrorCode.INVALID_ARGUMENT

    def __init__(
        self, message: str, *, model: str = "", signature: str = "", tensor: str = "", **kwargs: Any
    ) -> None:
        super().__init__(message, **kwargs)
        self.model = model
        self.signature = signature
        self.tensor = tensor


class InvalidRequestError(RequestError):
    """The request as a whole is malformed."""


class SignatureNotFoundError(RequestError):
    """The model has no signature of that name."""

    def __init__(self, signature: str, *, model: str, known: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(
            f"signature: expected one of {_names(known)}, got '{signature}' (model '{model}')",
            model=model,
            signature=signature,
            **kwargs,
        )
        self.known = known


class InputNamesError(RequestError):
    """The request's inputs are not those of the signature.

    Attributes
    ----------
    expected, got
        The signature's and the request's input names.
    missing, extra
        Their differences; ``missing`` leaves out what is optional or has a default.
    """

    def __init__(
        self,
        *,
        expected: tuple[str, ...],
        got: tuple[str, ...],
        missing: tuple[str, ...],
        extra: tuple[str, ...],
        model: str = "",
        signature: str = "",
    ) -> None:
        parts = []
        if missing:
            parts.append(f"missing {_names(missing)}")
        if extra:
            parts.append(f"unknown {_names(extra)}")
        super().__init__(
            f"inputs: expected {_names(expected)}, got {_names(got)}: {', '.join(parts)} (model '{model}')",
            model=model,
            signature=signature,
        )
        self.expected = expected
        self.got = got
        self.missing = missing
        self.extra = extra


class OutputNamesError(RequestError):
    """An output was asked for that the signature does not have, or twice."""

    def __init__(
        self,
        output: str,
        *,
        expected: tuple[str, ...],
        duplicate: bool = False,
        model: str = "",
        signature: str = "",
    ) -> None:
        got = f"'{output}' twice" if duplicate else f"'{output}'"
        super().__init__(
            f"outputs: expected some of {_names(expected)}, got {got} (model '{model}')",
            model=model,
            signature=signature,
            tensor=output,
        )
        self.output = output
        self.expected = expected
        self.duplicate = duplicate


class TensorMismatchError(RequestError):
    """One tensor's dtype, shape or row count is not what is expected.

    Attributes
    ----------
    what
        ``dtype``, ``shape``, ``rows`` or ``size``.
    expected, got
        Texts, such as ``float32`` or ``(?, 128)``.
    """

    def __init__(
        self,
        *,
        tensor: str,
        what: str,
        expected: str,
        got: str,
        model: str = "",
        signature: str = "",
        role: str = "input",
    ) -> None:
        where = f" (model '{model}')" if model else ""
        super().__init__(
            f"{role} '{tensor}': expected {what} {expected}, got {got}{where}",
            model=model,
            signature=signature,
            tensor=tensor,
        )
        self.what = what
        self.expected = expected
        self.got = got


class DecodeError(RequestError):
    """Bytes from the wire could not be decoded.

    Attributes
    ----------
    offset
        Position in bytes where decoding stopped; None where the format has none.
    row
        Index of the payload (string) within its tensor; None where there is only one.
    """

    def __init__(
        self, message: str, *, offset: int | None = None, row: int | None = None, **kwargs: Any
    ) -> None:
        where = []
        if row is not None:
            where.append(f"payload {row}")
        if offset is not None:
            where.append(f"offset {offset}")
        super().__init__(f"{message} (at {', '.join(where)})" if where else message, **kwargs)
        self.offset = offset
        self.row = row


class UnsupportedError(RequestError):
    """The request is well-formed but asks for a feature that is not there; the text names it."""

    default_code = ErrorCode.UNIMPLEMENTED


# --- overload: asking again later may help -------------------------------------------------------


class OverloadError(NaviError):
    """The host refuses work to protect what it already took; ``reason`` says which limit."""

    default_code = ErrorCode.RESOURCE_EXHAUSTED


class QueueFullError(OverloadError):
    """The model's queue is at one of its limits.

    Attributes
    ----------
    limit
        ``rows``, ``requests`` or ``bytes``.
    """

    def __init__(self, *, limit: str, maximum: int, model: str = "") -> None:
        super().__init__(
            f"queue of model '{model}' is full: at most {maximum} {limit}", reason=f"queue_{limit}"
        )
        self.limit = limit
        self.maximum = maximum
        self.model = model


class MemoryBudgetError(OverloadError):
    """Bodies in flight would exceed the process's memory budget."""

    default_reason = "memory_budget"


class RequestTooLargeError(OverloadError):
    """One message is larger than the configured limit, compressed or inflated."""

    default_reason = "message_size"


class StaleRequestError(OverloadError):
    """The request waited longer than ``batch_drop_ms`` and was dropped before it cost a run."""

    default_reason = "stale"


class DrainingError(OverloadError):
    """The host is shutting down and takes no new work."""

    default_code = ErrorCode.UNAVAILABLE
    default_reason = "draining"

    def __init__(self, message: str = "draining") -> None:
        super().__init__(message)


class DeadlineExceededError(NaviError):
    """The caller's deadline passed; ``reason`` says where: admission, queue, or run."""

    default_code = ErrorCode.DEADLINE_EXCEEDED


class RequestCancelledError(NaviError):
    """The caller went away."""

    default_code = ErrorCode.CANCELLED


class InferenceError(NaviError):
    """The framework failed while running the model.

    Parameters
    ----------
    message
        The framework's words, without paths, values or tracebacks.
    out_of_memory
        True where repeating the run request by request would only make it worse.
    """

    def __init__(self, message: str, *, model: str = "", out_of_memory: bool = False, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.model = model
        self.out_of_memory = out_of_memory


class RemoteError(NaviError):
    """Another server that was asked answered with an error, or not at all; the code is its own."""

    default_code = ErrorCode.UNKNOWN


class LifecycleError(NaviError):
    """A transition that the lifecycle does not have: a bug of navi's, never of a caller's."""


def _names(names: tuple[str, ...]) -> str:
    return "{" + ", ".join(names) + "}"
