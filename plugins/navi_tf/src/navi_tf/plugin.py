"""Hooks only: what this package adds to a navi host."""

from __future__ import annotations

from collections.abc import Sequence

from navi_core import Runtime, hookimpl
from navi_tf.runtime import TensorFlowRuntime

__all__ = ["navi_register_runtimes"]


@hookimpl
def navi_register_runtimes() -> Sequence[type[Runtime]]:
    """Register the runtime ``tensorflow``."""
    return [TensorFlowRuntime]
