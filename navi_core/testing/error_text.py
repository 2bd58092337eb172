"""What an error's text must be, whoever raises it."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

from navi_core.errors import NaviError

__all__ = ["check_text"]


def check_text(error: NaviError) -> None:
    """See that an error's text is one for people: one line, short, no traceback."""
    text = str(error)
    assert text, "an error must have a text"
    assert "\n" not in text, f"an error's text must be one line, got {text!r}"
    assert "Traceback" not in text, f"an error's text must hold no traceback, got {text!r}"
    assert len(text) <= 1000, f"an error's text must be at most 1000 characters, got {len(text)}"
