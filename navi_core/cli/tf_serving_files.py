"""The files that TensorFlow Serving's flags name, read into navi's settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from navi_core.config.listed import listed_config
from navi_core.config.records import ModelConfig, ModelSettings, TlsSettings
from navi_core.errors import ConfigError, InvalidRequestError
from navi_core.wire import tf_serving
from navi_core.wire.batching_parameters import BatchingTable, parse_batching
from navi_core.wire.model_server_config import listed_models
from navi_core.wire.text_config import parse_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

__all__ = [
    "read_batching_parameters",
    "read_metrics_path",
    "read_models",
    "read_text",
    "read_tls",
    "unused_settings",
]

_MAX_FILE_BYTES: Final = 16 * 1024 * 1024

_METRICS_PATH: Final = "/monitoring/prometheus/metrics"
"""Where TensorFlow Serving shows its metrics if the file does not say."""

M = TypeVar("M", bound="Message")


def read_text(file: str, flag: str) -> str:
    """Return a file's text.

    Raises
    ------
    ConfigError
        It cannot be read, is too long, or is no UTF-8; with flag and file.
    """
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(_MAX_FILE_BYTES + 1)
        if len(content) > _MAX_FILE_BYTES:
            raise ConfigError(f"{file}: expected at most {_MAX_FILE_BYTES} bytes, got more", path=flag)
        return content.decode()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}", path=flag) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file}: expected UTF-8, got something else at byte {error.start}", path=flag
        ) from None


def _read(kind: type[M], file: str, flag: str, text: str | None = None) -> M:
    try:
        return parse_text(kind, read_text(file, flag) if text is None else text)
    except InvalidRequestError as error:
        raise ConfigError(f"{file}: {error.message}", path=flag) from None


def read_models(
    file: str, flag: str, text: str, known: Mapping[str, ModelConfig], defaults: ModelSettings
) -> list[ModelConfig]:
    """Read a ModelServerConfig.

    Parameters
    ----------
    file, flag
        The file, and the flag that names it, for errors.
    text
        What it says.
    known
        Name -> a model's present configuration, of which stays what the file does not speak of.
    defaults
        What the configuration of every other model says besides.

    Raises
    ------
    ConfigError
        The file cannot be used.
    """
    message = _read(tf_serving.ModelServerConfig, file, flag, text)
    if message.WhichOneof("config") is None:
        return []
    try:
        listed = listed_models(message)
    except InvalidRequestError as error:
        raise ConfigError(f"{file}: {error.message}", path=flag) from None
    return [listed_config(model.table(), known.get(model.name), defaults) for model in listed]


def unused_settings(file: str, flag: str, text: str) -> dict[str, str]:
    """Return what a ModelServerConfig says without effect: the setting -> why; raises ConfigError."""
    models = _read(tf_serving.ModelServerConfig, file, flag, text).model_config_list.config
    if any(model.HasField("logging_config") for model in models):
        return {f"{flag}: logging_config": "requests are not logged to files"}
    return {}


def read_batching_parameters(file: str, flag: str) -> BatchingTable:
    """Read BatchingParameters.

    Raises
    ------
    ConfigError
        The file cannot be used.
    """
    try:
        return parse_batching(read_text(file, flag))
    except InvalidRequestError as error:
        raise ConfigError(f"{file}: {error.message}", path=flag) from None


def read_metrics_path(file: str, flag: str) -> str | None:
    """Return where a MonitoringConfig wants TensorFlow Serving's metrics; None: it does not.

    Raises
    ------
    ConfigError
        The file cannot be used.
    """
    prometheus = _read(tf_serving.MonitoringConfig, file, flag).prometheus_config
    if not prometheus.enable:
        return None
    path = prometheus.path or _METRICS_PATH
    if not path.startswith("/"):
        raise ConfigError(f"{file}: path: expected one that begins with '/', got '{path}'", path=flag)
    return path


def read_tls(file: str, flag: str, folder: Path) -> TlsSettings:
    """Write the PEM texts of an SSLConfig to files of their own.

    Parameters
    ----------
    file, flag
        The file, and the flag that names it.
    folder
        Where to: a directory that nobody else can read.

    Raises
    ------
    ConfigError
        The file cannot be used.
    """
    config = _read(tf_serving.SSLConfig, file, flag)
    for name in ("server_key", "server_cert"):
        if not getattr(config, name):
            raise ConfigError(f"{file}: {name}: missing", path=flag)
    if config.client_verify and not config.custom_ca:
        raise ConfigError(
            f"{file}: custom_ca: missing: expected the certificates that clients' are checked with "
            "(client_verify)",
            path=flag,
        )
    return TlsSettings(
        key=_write(folder / "server.key", config.server_key),
        certificate=_write(folder / "server.crt", config.server_cert),
        client_ca=(_write(folder / "ca.crt", config.custom_ca),) if config.client_verify else (),
    )


def _write(path: Path, text: str) -> str:
    unfinished = path.with_name(f".{path.name}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    unfinished.replace(path)  # in one step: a listener reads it again when it changes
    return str(path)
