"""How one model's batching and the host's defaults for all models go together. Pure."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from navi_core.config.records import BatchingSettings, overlay

__all__ = ["with_defaults"]


def with_defaults(own: BatchingSettings, defaults: BatchingSettings) -> BatchingSettings:
    """Return a model's settings, and the defaults for what they do not say.

    Defaults that contradict what the model says are left out: a limit beyond the largest of its allowed row counts,
    allowed row counts that end below its limit, levels that do not go together.
    """
    changes: dict[str, Any] = {}
    allowed, limit = own.allowed_batch_rows, defaults.max_batch_rows
    if allowed and limit is not None and allowed[-1] < limit:
        changes["max_batch_rows"] = None
    allowed, limit = defaults.allowed_batch_rows, own.max_batch_rows
    if allowed and limit is not None and allowed[-1] < limit:
        changes["allowed_batch_rows"] = None
    levels, level = own.priority_levels, defaults.default_priority_level
    if levels is not None and level is not None and level > levels:
        changes["default_priority_level"] = None
    level, levels = own.default_priority_level, defaults.priority_levels
    if levels is not None and level is not None and level > levels:
        changes["priority_levels"] = None
    return overlay(replace(defaults, **changes), own)
