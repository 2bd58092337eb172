"""ServeFlag: a plugin's own flag on ``navi-host serve``, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

__all__ = ["LISTENER_FIELDS", "ServeFlag"]

LISTENER_FIELDS: Final = ("port", "host")
"""Fields of every transport's table ``[transports.NAME]`` that a transport's flag may set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeFlag:
    """One command-line flag that sets one of a plugin's options.

    The host adds it to ``navi-host serve`` when the plugin is installed; both ``--a-b`` and ``--a_b``
    are accepted.

    Parameters
    ----------
    name
        The long form, with dashes: ``--onnx-gpu-ep``.
    option
        The field of the plugin's ``options_type`` that it sets; of a transport, also ``port`` or ``host``.
    help
        One sentence.
    metavar
        What stands for the value in the help.
    parse
        Turns the text into the option's value; a ``ValueError`` is a usage error.
    scope
        ``host``: one value for every model; ``model``: repeated, the i-th goes to the i-th model.
    """

    name: str
    option: str
    help: str
    metavar: str = "TEXT"
    parse: Callable[[str], Any] = str
    scope: Literal["host", "model"] = "host"
