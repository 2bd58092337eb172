"""Payloads for models with a converter, made by the encoder that the converter's plugin brings."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from navi_core.columns import Records, as_columns
from navi_core.config.convert import convert_options
from navi_core.errors import UnsupportedError
from navi_core.plugins.discovery import discover
from navi_core.plugins.registry import Registry
from navi_core.types import Array

__all__ = ["encode_payloads"]


def encode_payloads(
    converter: str,
    records: Records,
    *,
    options: Mapping[str, Any] | None = None,
    registry: Registry | None = None,
) -> dict[str, Array]:
    """Return the input of a request to a model with a converter: ``predict("model", encode_payloads(...))``.

    Parameters
    ----------
    converter
        The converter's name, or an alias.
    records
        Columns (name -> array or list), rows (a list of mappings), or a data frame.
    options
        The converter's options, as in its table of a configuration.
    registry
        The plugins; None: the installed ones, looked for once.

    Returns
    -------
    inputs
        Name of the string input -> (payloads,) object array of ``bytes``.

    Raises
    ------
    PluginNotFoundError, PluginConflictError, PluginLoadError
        There is no such converter that can be used.
    ConfigError
        It does not take the options.
    UnsupportedError
        It has no encoder.
    RequestError
        The records are none, or the format cannot hold a column.
    """
    found = (_installed() if registry is None else registry).converter(converter)
    path = f"converters.{found.name}"
    encoder = found.encoder(convert_options(found.options_type, options or {}, path))
    if encoder is None:
        raise UnsupportedError(f"converter '{found.name}' has no encoder: its payloads come from elsewhere")
    return {encoder.input_name: encoder.encode(as_columns(records))}


@functools.cache
def _installed() -> Registry:
    return Registry(discover())
