"""A model that a list names: its configuration as it is, or the defaults, with what the list says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from navi_core.config.records import ModelConfig, ModelSettings
from navi_core.errors import ConfigError

__all__ = ["listed_config"]


def listed_config(said: Mapping[str, Any], base: ModelConfig | None, defaults: ModelSettings) -> ModelConfig:
    """Return the configuration of one listed model.

    Parameters
    ----------
    said
        ``name``, ``path``, ``versions`` and ``labels``, which the list replaces as a whole.
    base
        The model's present configuration, of which everything else stays; None: the model is new.
    defaults
        What a new model's configuration says besides.

    Raises
    ------
    ConfigError
        The name is none, or a number is out of range.
    """
    kept = msgspec.to_builtins(base if base is not None else defaults)
    try:
        return msgspec.convert({**kept, **said}, ModelConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error), path=f"model {said['name']}") from None
