"""TensorFlow's exceptions as navi's errors: one short line without node names, paths or values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from navi_core import ErrorCode, InferenceError, LifecycleError, NaviError, RequestError
from navi_tf.framework import tf

__all__ = ["LoadRefusedError", "clean_text", "closed_error", "run_error"]

_MAX_LENGTH: Final = 400

_INTERPOLATED: Final = re.compile(r"\A(?:Graph execution error|Detected at node)\b")
# Where the operator was defined; without its stack the error's own words follow at once.
_TRACE: Final = re.compile(
    r"^(?:Graph execution error:?|Detected at node .*|<stack traces unavailable>|  +.*)$", re.MULTILINE
)
_NODE: Final = re.compile(r"\[\[\{\{.*?\}\}[^\]]*\]\]|\{\{.*?\}\}|\[Op:[^\]]*\]", re.DOTALL)
# What follows is a copy of what a client sent: ``value: '...'`` of a tf.Example that does not parse, the text
# that is no number, the tensors of an assertion.
_CONTENT: Final = re.compile(
    r",? ?(?<![\w-])(?:value|(?<=convert )string): .*|(?<=assertion failed): .*", re.DOTALL
)
_QUOTED: Final = re.compile(r"'.*'|\".*\"")
_ALLOCATOR: Final = re.compile(r" on /job:\S+( by allocator \S+)?")
_VARIABLE: Final = re.compile(
    r"(?i)\b(?P<what>(?:uninitialized value|variable|resource|container|table)) (?!of\b|has\b|is\b|name\b)[\w./:-]*[\w/]"
)
_DEBUG: Final = re.compile(r" ?(?:Debug info|Hint|To inspect available|In TF1,|This could mean).*", re.DOTALL)
_PATH: Final = re.compile(r"(?<![\w.<])(?:[a-z0-9]+:/)?/[^\s;,:'\")\]]+")
_HOST: Final = re.compile(r" in binary running on \S+?(?=\.? |\.?$)")

_CODES: Final = {
    tf.errors.UnimplementedError: ErrorCode.UNIMPLEMENTED,
    tf.errors.UnavailableError: ErrorCode.UNAVAILABLE,
    tf.errors.AbortedError: ErrorCode.ABORTED,
    tf.errors.DeadlineExceededError: ErrorCode.DEADLINE_EXCEEDED,
    tf.errors.DataLossError: ErrorCode.DATA_LOSS,
}
"""What goes to clients under its own code; NOT_FOUND, say, would read as if the model were not there."""


class LoadRefusedError(ValueError):
    """The model or the configuration is refused before, or in place of, TensorFlow's own words; one line."""


def clean_text(error: BaseException, hidden: Sequence[str] = (), *, keep_names: bool = False) -> str:
    """Return what an exception says as one short line.

    Parameters
    ----------
    error
        TensorFlow's, or any.
    hidden
        The model's directory, in all its spellings.
    keep_names
        Leave quoted names, variables and values in: for whoever loads a model, never for clients of one.
    """
    text = error.message or "" if isinstance(error, tf.errors.OpError) else str(error)
    if _INTERPOLATED.match(text):  # where the operator was defined, then what went wrong
        parts = [_TRACE.sub("", part).strip() for part in text.split("\n\n")]
        text = next((part for part in reversed(parts) if _NODE.sub("", part).strip()), "")
    text = _NODE.sub("", text).strip()
    text = _DEBUG.sub("", text.splitlines()[0] if text else "")
    for item in sorted(hidden, key=len, reverse=True):
        if len(item) > 1:  # "/" and "." are everywhere
            text = text.replace(f"{item}/", "").replace(item, "the model's directory")
    text = _HOST.sub("", text)
    if not keep_names:
        text = _QUOTED.sub("'...'", _CONTENT.sub("", text))
        text = _VARIABLE.sub(lambda match: match["what"], text)
    text = _PATH.sub("<path>", _ALLOCATOR.sub("", text))
    text = " ".join(text.split()).rstrip(" .:;|")
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."


def run_error(error: Exception, *, model: str, signature: str) -> NaviError:
    """Return navi's error for what a run raised.

    What TensorFlow calls an invalid argument or out of range is the caller's fault; everything else is a
    failure of the model or the machine.
    """
    if isinstance(error, NaviError):
        return error
    text = f"model '{model}': {clean_text(error) or type(error).__name__}"
    if isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
        return InferenceError(
            text,
            model=model,
            out_of_memory=True,
            code=ErrorCode.RESOURCE_EXHAUSTED,
            reason="out_of_memory",
        )
    if isinstance(error, tf.errors.InvalidArgumentError):
        return RequestError(text, model=model, signature=signature)
    if isinstance(error, tf.errors.OutOfRangeError):
        return RequestError(text, model=model, signature=signature, code=ErrorCode.OUT_OF_RANGE)
    return InferenceError(text, model=model, code=_CODES.get(type(error)))


def closed_error(model: str) -> LifecycleError:
    """Return what a run of a closed servable raises."""
    return LifecycleError(f"model '{model}' was run after it was closed")
