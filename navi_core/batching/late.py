"""What a caller is told whose deadline has passed, wherever its request was found."""

from __future__ import annotations

from typing import Final, Literal

from navi_core.errors import DeadlineExceededError

__all__ = ["late"]

_TEXTS: Final = {
    "admission": "before it was queued",
    "queue": "while it was queued",
    "run": "while it was running",
}


def late(where: Literal["admission", "queue", "run"]) -> DeadlineExceededError:
    """Return the error of a request that is late; ``where`` is also its machine-readable reason."""
    return DeadlineExceededError(f"the request's deadline passed {_TEXTS[where]}", reason=where)
