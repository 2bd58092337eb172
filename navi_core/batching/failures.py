"""What a caller is told when a run raised something."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from navi_core.errors import ErrorCode, InferenceError, NaviError
from navi_core.types import NamedArrays

__all__ = ["as_navi_error", "check_computed"]

log = structlog.get_logger(__name__)


def as_navi_error(error: BaseException, model: str) -> NaviError:
    """Return a typed error; what is not one already is logged and hidden behind an opaque text."""
    if isinstance(error, NaviError):
        return error
    if isinstance(error, MemoryError):
        return InferenceError(
            f"out of memory while running model '{model}'",
            model=model,
            out_of_memory=True,
            code=ErrorCode.RESOURCE_EXHAUSTED,
            reason="out_of_memory",
        )
    log.error("run_failed", model=model, exc_info=error)
    return InferenceError(f"running model '{model}' failed: {type(error).__name__}", model=model)


def check_computed(outputs: Sequence[str], result: NamedArrays, model: str) -> None:
    """See that a run answered with what it was asked for.

    Raises
    ------
    InferenceError
        An output is missing.
    """
    for name in outputs:
        if name not in result:
            msg = f"the runtime did not compute output '{name}' (model '{model}')"
            raise InferenceError(msg, model=model)
