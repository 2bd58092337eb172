"""ONNX Runtime's exceptions as navi's errors: one short line, without paths of this machine."""

from __future__ import annotations

import re
from typing import Final

from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from navi_core import ErrorCode, InferenceError, NaviError, RequestError

__all__ = ["clean_text", "run_error"]

_MAX_LENGTH: Final = 400

_STATUS: Final = re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
# A position is a path and a line, then the function: its whole C++ signature, or just its name.
_SOURCE: Final = re.compile(
    r"(?:[\w./+-]*/)?[\w+-]+\.(?:cc|cpp|cu|h|hpp|inl):\d+ (?:[^()]*\([^()]*\)(?: const)?|[\w:~<>]+) "
)
_NO_NAME: Final = re.compile(r" Name:''")
_OUT_OF_MEMORY: Final = re.compile(
    r"failed to allocate memory|bad allocation|bad_alloc|out of memory|cudaErrorMemoryAllocation|"
    r"available memory of \d+ is smaller",
    re.IGNORECASE,
)


def clean_text(text: str, *hidden: str) -> str:
    """Return one short line: no status prefix, no source positions, none of the ``hidden`` texts."""
    text = _STATUS.sub("", text)
    text = _SOURCE.sub("", text)
    text = _NO_NAME.sub("", text)
    for item in sorted(hidden, key=len, reverse=True):
        if len(item) > 1:  # "/" and "." are everywhere
            text = text.replace(f"{item}/", "").replace(item, "the model's directory")
    text = " ".join(text.split())
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."


def run_error(error: Exception, *, model: str, signature: str) -> NaviError:
    """Return navi's error for what a run raised.

    What ONNX Runtime calls an invalid argument (an index out of bounds...) is the caller's fault, and
    so is a missing input; everything else is a failure of the model or the machine.
    """
    if isinstance(error, NaviError):
        return error
    text = f"model '{model}': {clean_text(str(error)) or type(error).__name__}"
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(text):
        return InferenceError(
            text,
            model=model,
            out_of_memory=True,
            code=ErrorCode.RESOURCE_EXHAUSTED,
            reason="out_of_memory",
        )
    if isinstance(error, UnicodeDecodeError):
        return InferenceError(f"model '{model}': an output holds text that is not UTF-8", model=model)
    if isinstance(error, InvalidArgument | ValueError):
        return RequestError(text, model=model, signature=signature)
    return InferenceError(text, model=model)
