"""What a command line with TensorFlow Serving's flags means.

A line with ``--model-base-path`` or ``--model-config-file`` is one of ``tensorflow_model_server``: it gets that
server's defaults where they differ from navi's. It listens on every address, offers REST only where
``--rest-api-port`` is given, and takes ``--port=0`` for no gRPC at all. Beside navi's own flags, and on
a line without those two, every other flag of the table means what it says, and nothing else changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from navi_core.cli.serve_config import DEFAULT_TRANSPORTS, ServeFlags
from navi_core.cli.tf_serving_files import read_metrics_path, read_tls
from navi_core.cli.tf_serving_flags import TF_SERVING_FLAGS
from navi_core.cli.tf_serving_models import ModelConfigFile, followed_file, model_settings, named_models
from navi_core.config.records import HostConfig, ModelSettings, TransportSettings
from navi_core.errors import ConfigError

__all__ = ["TfServingLine", "read_line"]

SERVICE: Final = "tf_serving"
RPC_TRANSPORT, HTTP_TRANSPORT = DEFAULT_TRANSPORTS

_ANY_ADDRESS: Final = "0.0.0.0"

_SERVICE_SWITCHES: Final = {
    "rest_api_enable_cors_support": "cors",
    "enable_signature_method_name_check": "check_method_names",
    "allow_version_labels_for_unavailable_models": "allow_unavailable_labels",
}
"""Flag -> the option of the service that it sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TfServingLine:
    """What the flags come to.

    Parameters
    ----------
    config
        The configuration with what they say; navi's own flags come after.
    flags
        navi's own flags, with what is said in TensorFlow Serving's words.
    ignored
        Flag -> why it has no effect.
    followed
        A file to be read again; None: there is none.
    """

    config: HostConfig
    flags: ServeFlags
    ignored: Mapping[str, str] = field(default_factory=dict)
    followed: ModelConfigFile | None = None


def read_line(
    said: Mapping[str, Any], config: HostConfig, flags: ServeFlags, make_folder: Callable[[], Path]
) -> TfServingLine:
    """Return what the flags come to; the line itself where there are none.

    Parameters
    ----------
    said
        Flag -> value, those that were given.
    config
        What the ``--config`` file says.
    flags
        navi's own flags.
    make_folder
        Makes a directory that nobody else can read, for keys that have to be in files.

    Raises
    ------
    ConfigError
        The flags contradict each other, or a file that they name cannot be used.
    """
    if not said:
        return TfServingLine(config=config, flags=flags)
    if said.get("use_alts_credentials"):
        raise ConfigError("expected false, got true: there is no ALTS here", path="--use-alts-credentials")
    ignored = {flag.name: flag.meaning for flag in TF_SERVING_FLAGS if flag.is_inert and flag.key in said}
    defaults = model_settings(said, ignored)
    config = replace(
        config,
        models=named_models(said, config, flags.model_dir, defaults, ignored),
        service_options=_service_options(said, config, defaults),
        **_host_fields(said, config),
    )
    is_theirs = bool(said.get("model_base_path") or said.get("model_config_file"))
    config, flags = _listeners(said, config, flags, ignored, is_theirs=is_theirs)
    return TfServingLine(
        config=_grpc_settings(said, config, make_folder),
        flags=flags,
        ignored=ignored,
        followed=followed_file(said, defaults),
    )


# --- the host ----------------------------------------------------------------------------------------


def _host_fields(said: Mapping[str, Any], config: HostConfig) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "rest_api_timeout_in_ms" in said:
        changes["default_deadline_ms"] = float(max(said["rest_api_timeout_in_ms"], 0))
    if "file_system_poll_wait_seconds" in said:
        changes["poll_interval_s"] = float(max(said["file_system_poll_wait_seconds"], 0))
    if said.get("num_load_threads"):
        changes["load_threads"] = said["num_load_threads"]
    if "max_num_load_retries" in said:
        changes["max_load_retries"] = said["max_num_load_retries"]
    if "load_retry_interval_micros" in said:
        changes["load_retry_interval_s"] = max(said["load_retry_interval_micros"], 1) / 1e6
    if said.get("monitoring_config_file"):
        path = read_metrics_path(said["monitoring_config_file"], "--monitoring-config-file")
        if path is not None:
            changes["compat_metrics"] = tuple(dict.fromkeys((*config.compat_metrics, "tensorflow")))
            changes["metrics_paths"] = tuple(dict.fromkeys((*config.metrics_paths, path)))
    return changes


def _service_options(
    said: Mapping[str, Any], config: HostConfig, defaults: ModelSettings
) -> dict[str, dict[str, Any]]:
    table = dict(config.service_options.get(SERVICE, {}))
    table |= {option: said[flag] for flag, option in _SERVICE_SWITCHES.items() if flag in said}
    content = said.get("enable_serialization_as_tensor_content")
    if content is not None:
        table["response_tensors"] = "tensor_content" if content else "values"
    if defaults != ModelSettings():
        table["model_defaults"] = _without_nothing(msgspec.to_builtins(defaults))
    return {**config.service_options, SERVICE: table} if table else dict(config.service_options)


def _without_nothing(table: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not said, so that the table can stand in a file."""
    shown = {
        key: _without_nothing(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }
    return {key: value for key, value in shown.items() if value not in ({}, [])}


# --- listeners ---------------------------------------------------------------------------------------


def _listeners(
    said: Mapping[str, Any],
    config: HostConfig,
    flags: ServeFlags,
    ignored: dict[str, str],
    *,
    is_theirs: bool,
) -> tuple[HostConfig, ServeFlags]:
    rest_port = said.get("rest_api_port")
    if flags.rest_port is None and rest_port:
        flags = dataclasses.replace(flags, rest_port=rest_port)
    if not is_theirs:
        if rest_port == 0:
            ignored["--rest-api-port"] = (
                "it turns REST off only beside --model-base-path or --model-config-file"
            )
        return config, flags
    if flags.host is None and config.host == HostConfig().host:
        config = replace(config, host=_ANY_ADDRESS)
    if flags.transport or config.transports:
        return config, flags
    names: Sequence[str] = DEFAULT_TRANSPORTS
    if flags.rest_port is not None and flags.rest_port == (flags.port or 8500):
        ignored["--rest-api-port"] = "it is the same as --port: REST is not offered"
        flags = dataclasses.replace(flags, rest_port=None)
    if flags.rest_port is None:
        names = [name for name in names if name != HTTP_TRANSPORT]
    if flags.port == 0 and not said.get("grpc_socket_path"):
        names = [name for name in names if name != RPC_TRANSPORT]
        flags = dataclasses.replace(flags, port=None)
    if not names:
        raise ConfigError("expected a port: neither gRPC nor REST would be offered", path="--port")
    return config, dataclasses.replace(flags, transport=tuple(names))


def _grpc_settings(
    said: Mapping[str, Any], config: HostConfig, make_folder: Callable[[], Path]
) -> HostConfig:
    """Return the configuration with what concerns the gRPC transport alone."""
    options: dict[str, Any] = {}
    if said.get("grpc_socket_path"):
        options["unix_socket"] = said["grpc_socket_path"]
    if said.get("grpc_channel_arguments"):
        options["channel_arguments"] = _channel_arguments(said["grpc_channel_arguments"])
    tls = None
    if said.get("ssl_config_file"):
        tls = read_tls(said["ssl_config_file"], "--ssl-config-file", make_folder())
    if not options and tls is None:
        return config
    own = config.transports.get(RPC_TRANSPORT, TransportSettings())
    own = replace(own, options={**own.options, **options}, tls=tls or own.tls)
    # the order of the table is kept: where nothing is configured, the defaults are
    configured = config.transports or {name: TransportSettings() for name in DEFAULT_TRANSPORTS}
    return replace(config, transports={**configured, RPC_TRANSPORT: own})


def _channel_arguments(text: str) -> dict[str, int | str]:
    arguments: dict[str, int | str] = {}
    for each in text.split(","):
        name, separator, value = each.partition("=")
        if not name or not separator:
            raise ConfigError(f"expected NAME=VALUE,..., got '{text}'", path="--grpc-channel-arguments")
        try:
            arguments[name] = int(value)
        except ValueError:
            arguments[name] = value
    return arguments
