"""torch's exceptions as navi's errors: one short line, without C++ frames, source or paths of this machine."""

from __future__ import annotations

import re
from typing import Final

from navi_core import ErrorCode, InferenceError, NaviError, RequestError

__all__ = ["clean_text", "run_error"]

_MAX_LENGTH: Final = 400

# What TorchScript adds is before the last "Error: ", what C++ adds is after these.
_FRAMES: Final = re.compile(
    r"\n(?:Exception raised from|C\+\+ CapturedTraceback|frame #\d|While executing ).*", re.DOTALL
)
_RAISED: Final = re.compile(r"^(?:[\w.]+\.)?(?:\w*Error|\w*Exception)(?:: |$)", re.MULTILINE)
_POSITION: Final = re.compile(r"(?:at |\()?(?:/[\w.+@-]+)+/[\w.+-]+(?::\d+|\", line \d+)?\)?,?")
_SOURCE: Final = re.compile(r'File "[^"]*"(?:, line \d+)?(?:, in \S+)?')
_ADVICE: Final = re.compile(
    r"\s*(?:CUDA kernel errors might be|Compile with `?TORCH_USE_CUDA|For debugging consider|See documentation for).*",
    re.DOTALL,
)
_OUT_OF_MEMORY: Final = re.compile(
    r"can't allocate memory|not enough memory|out of memory|bad_alloc|bad allocation|CUBLAS_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_CALLERS_FAULT: Final = re.compile(
    r"index out of range|out of bounds|is out of range|shapes cannot be multiplied|must match the size of tensor"
    r"|is invalid for input of size|Guard failed|expected input\S* to have|Expected (?:more than|\dD|input)"
    r"|Sizes of tensors must match|[Kk]ernel size can't be greater|size of tensor .* must match"
    r"|too large to convert|output size is too small|received an invalid combination"
    r"|Expected \S* ?input .* to be|shape .* is invalid for input|negative dimension|non-negative|maximum size for tensor"
    r"|[Ee]xpected size .* but got|same (?:size|dtype|number of)|index -?\d+ is"
)


def clean_text(text: str, *hidden: str) -> str:
    """Return one short line: what went wrong, without where in torch, and none of the ``hidden`` texts."""
    text = _FRAMES.sub("", text)
    raised = list(_RAISED.finditer(text))
    if raised:
        text = text[raised[-1].end() :] or text[raised[-1].start() :]
    text = _ADVICE.sub("", text)
    for item in sorted(hidden, key=len, reverse=True):
        if len(item) > 1:  # "/" and "." are everywhere
            text = text.replace(f"{item}/", "").replace(item, "the model's directory")
    text = _POSITION.sub("", _SOURCE.sub("", text))
    text = " ".join(text.split())
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."


def run_error(error: Exception, *, model: str, signature: str) -> NaviError:
    """Return navi's error for what a call raised.

    Sizes that do not go together and indices out of bounds are the caller's fault: types and fixed sizes were
    checked before, so that such things come from values and dynamic sizes. Everything else is a failure of the
    model or the machine.
    """
    if isinstance(error, NaviError):
        return error
    text = f"model '{model}': {clean_text(str(error)) or type(error).__name__}"
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(text):
        return InferenceError(
            text, model=model, out_of_memory=True, code=ErrorCode.RESOURCE_EXHAUSTED, reason="out_of_memory"
        )
    if _CALLERS_FAULT.search(text):
        return RequestError(text, model=model, signature=signature)
    return InferenceError(text, model=model)
