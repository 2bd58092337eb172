"""Words that errors share."""

from __future__ import annotations

import difflib
from collections.abc import Collection

__all__ = ["expected_one_of", "listed"]

_MOST_LISTED = 12


def listed(names: Collection[str]) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(list(names)[:_MOST_LISTED])
    more = len(names) - _MOST_LISTED
    return f"{shown} and {more} more" if more > 0 else shown


def expected_one_of(names: Collection[str], got: str) -> str:
    """Return ``expected one of ..., got ...``, with the name that was meant, perhaps."""
    close = difflib.get_close_matches(got, names, n=1)
    meant = f"; did you mean '{close[0]}'?" if close else ""
    return f"expected one of {listed(names)}, got '{got}'{meant}"
