"""Orders: what the launcher hands to the application inside the foreign server, in one environment variable."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

import msgspec

from navi_core.config.records import ModelConfig
from navi_core.logs import LogFormat

__all__ = ["ORDERS_VARIABLE", "ModelChange", "Orders", "orders_from_environment"]

ORDERS_VARIABLE: Final = "NAVI_HOSTED"

_LEAKED: Final = ("LD_PRELOAD", "PYTHONHOME", "PYTHONPATH")
"""What foreign servers need to find the interpreter, and programs that are started from inside do not."""


class Orders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the application is to do.

    Attributes
    ----------
    control_fd
        Its side of the control channel, inherited.
    config_path
        The host's configuration.
    transport
        The name of the transport that it is the inside of.
    log_level, log_format
        As of the launcher, so that both write alike.
    python
        The interpreter's program: inside a foreign server Python does not know it.
    environ
        What the variables that are set for the server's sake were; None: not set.
    extra
        For applications of other kinds.
    """

    control_fd: int
    config_path: str = ""
    transport: str = ""
    log_level: str = "info"
    log_format: LogFormat = "auto"
    python: str = ""
    environ: dict[str, str | None] = {}
    extra: dict[str, str] = {}

    def variables(self) -> Mapping[str, str]:
        """Return the environment that hands these orders over."""
        said = msgspec.structs.replace(
            self, python=sys.executable, environ={name: os.environ.get(name) for name in _LEAKED}
        )
        return {ORDERS_VARIABLE: msgspec.json.encode(said).decode()}


class ModelChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the file of an order to serve other models.

    Attributes
    ----------
    before, after
        The models of the configuration when it was read last, and now.
    """

    before: tuple[ModelConfig, ...]
    after: tuple[ModelConfig, ...]


def orders_from_environment() -> Orders:
    """Take the orders, and undo what the foreign server did to the process's environment.

    Raises
    ------
    RuntimeError
        Nobody gave any.
    """
    said = os.environ.pop(ORDERS_VARIABLE, None)
    if said is None:
        msg = f"{ORDERS_VARIABLE} is not set: this application is started by 'navi-host serve'"
        raise RuntimeError(msg)
    orders = msgspec.json.decode(said, type=Orders)
    if orders.python:
        sys.executable = orders.python
    for name, value in orders.environ.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return orders
