"""What tract says, for people: one short line, without backtraces and without numbers of a request."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["failed_node", "load_text", "panic_text"]

_MAX_LENGTH: Final = 400
_BACKTRACE: Final = re.compile(r"\n+Stack backtrace:.*", re.DOTALL)
_CAUSED_BY: Final = re.compile(r"\s*\n+Caused by:\s*")
_CAUSE: Final = re.compile(r"\n\s*(?:\d+: )?")
_PATH: Final = re.compile(r"\"/[^\"\n]*/([^\"/\n]*)\"")
_UNIMPLEMENTED: Final = re.compile(r"\"([^\"]{0,100})\" Unimplemented\((\w{1,60})\)")
_NODE: Final = re.compile(r"Evaluating #\d+ \"([^\"]{0,100})\" (\w{1,60})")
_PANIC: Final = re.compile(r"panicked at (?:\S*/src/index[^/]*/[^/]*/)?(\S+\.rs):\d+:\d+:\n([^\n]{0,200})")


def load_text(message: str, *hidden: str) -> str:
    """Return why tract refused a model: its words and their causes, without the ``hidden`` paths.

    A model that is loaded has seen no request, so nothing here is a caller's.
    """
    missing = _UNIMPLEMENTED.search(message)
    if missing is not None:
        return f"tract has no operator {missing[2]} (node '{missing[1]}')"
    text = _BACKTRACE.sub("", message)
    text = _CAUSED_BY.sub(": ", text)
    text = _CAUSE.sub(": ", text)
    for item in sorted(hidden, key=len, reverse=True):
        if len(item) > 1:  # "/" and "." are everywhere
            text = text.replace(f"{item}/", "").replace(item, "the model's directory")
    text = " ".join(_PATH.sub(r'"\1"', text).split())
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."


def failed_node(message: str) -> str:
    """Return which operator of a run failed, and nothing else: tract's texts hold the tensors' numbers."""
    match = _NODE.search(message)
    return f"operator {match[2]} '{match[1]}' failed" if match else "the run failed"


def panic_text(stderr: str) -> str:
    """Return where and why a process that ended itself did so; empty where it left no word."""
    match = _PANIC.search(stderr)
    return f"{match[2].strip()} ({match[1]})" if match else ""
