"""Configuration files into typed records.

Every error is a :class:`~navi_core.errors.ConfigError` of one line: the file, the place in it, what was
expected, what came. A path in a file is taken as it stands, relative to the working directory, like the
flags of the command line.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from navi_core.config.checks import check_config, check_settings
from navi_core.config.convert import convert, convert_options
from navi_core.config.records import HostConfig, ModelSettings
from navi_core.errors import ConfigError

__all__ = [
    "MODEL_SETTINGS_FILE",
    "config_from_table",
    "convert_options",
    "load_config",
    "load_model_settings",
    "parse_config",
    "parse_model_settings",
]

MODEL_SETTINGS_FILE: Final = "navi.toml"
_MAX_FILE_BYTES: Final = 16 * 1024 * 1024


def config_from_table(table: Mapping[str, Any], path: str = "") -> HostConfig:
    """Return the configuration that plain tables describe.

    Raises
    ------
    ConfigError
        It is wrong; ``path`` of the error says where.
    """
    config = convert(table, HostConfig, path)
    check_config(config, path)
    return config


def parse_config(text: str) -> HostConfig:
    """Return the configuration that a TOML text describes.

    Raises
    ------
    ConfigError
        It is no TOML (with line and column), or it is wrong.
    """
    return config_from_table(_parse_toml(text))


def load_config(path: str | Path) -> HostConfig:
    """Return the configuration of a file: TOML, or JSON where its name ends in ``.json``.

    Raises
    ------
    ConfigError
        The file cannot be read, or is wrong; the text begins with the file's path.
    """
    file = Path(path)
    try:
        return config_from_table(_read(file))
    except ConfigError as error:
        raise _in_file(error, str(file)) from None


def load_model_settings(path: str | Path) -> ModelSettings:
    """Return what ``navi.toml`` in a model or version directory says; nothing where there is none.

    Parameters
    ----------
    path
        The directory, or the file itself.

    Raises
    ------
    ConfigError
        The file cannot be read, or is wrong; the text begins with ``navi.toml``.
    """
    file = Path(path)
    if file.name != MODEL_SETTINGS_FILE:
        if not file.is_dir():
            return ModelSettings()
        file /= MODEL_SETTINGS_FILE
    if not file.exists():
        return ModelSettings()
    try:
        return _settings_from_table(_read(file))
    except ConfigError as error:
        raise _in_file(error, file.name) from None


def parse_model_settings(text: str) -> ModelSettings:
    """Return what the text of a ``navi.toml`` says, for models that are no files.

    Raises
    ------
    ConfigError
        It is wrong; the text begins with ``navi.toml``.
    """
    try:
        return _settings_from_table(_parse_toml(text))
    except ConfigError as error:
        raise _in_file(error, MODEL_SETTINGS_FILE) from None


def _settings_from_table(table: Mapping[str, Any]) -> ModelSettings:
    settings = convert(table, ModelSettings)
    check_settings(settings)
    return settings


def _in_file(error: ConfigError, name: str) -> ConfigError:
    named = ConfigError(error.message, path=name)
    named.path = f"{name}: {error.path}" if error.path else name
    return named


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}") from None
    if len(content) > _MAX_FILE_BYTES:
        raise ConfigError(f"expected at most {_MAX_FILE_BYTES} bytes, got more")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"expected UTF-8, got byte 0x{content[error.start]:02x} (at line {line})") from None
    return _parse_json(text) if file.suffix == ".json" else _parse_toml(text)


def _parse_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"invalid TOML: {error}") from None
    except RecursionError:
        raise ConfigError("invalid TOML: nested too deep") from None
    except ValueError as error:
        # a number of more digits than the interpreter converts
        raise ConfigError(f"invalid TOML: {error}") from None


def _parse_json(text: str) -> dict[str, Any]:
    try:
        table = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"invalid JSON: {error.msg} (at line {error.lineno}, column {error.colno})"
        ) from None
    except RecursionError:
        raise ConfigError("invalid JSON: nested too deep") from None
    except ValueError as error:
        raise ConfigError(f"invalid JSON: {error}") from None
    if not isinstance(table, dict):
        raise ConfigError("invalid JSON: expected an object at the top")
    return table
