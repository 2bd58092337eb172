"""What the flags of ``navi-host serve`` mean: flags and a configuration become a configuration. Pure.

Every flag that concerns one model is repeated, and its i-th value belongs to the i-th ``--model-dir``; without
any ``--model-dir``, to the i-th model of the ``--config`` file. Flags override the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from navi_core.config.checks import check_config
from navi_core.config.convert import convert
from navi_core.config.records import (
    BatchingSettings,
    HostConfig,
    ModelConfig,
    TlsSettings,
    TransportSettings,
    VersionPolicySettings,
    overlay,
)
from navi_core.config.wording import show
from navi_core.contracts.serve_flags import LISTENER_FIELDS, ServeFlag
from navi_core.errors import ConfigError, PluginNotFoundError

__all__ = ["BuiltConfig", "PluginValues", "ServeFlags", "build_config"]

DEFAULT_TRANSPORTS: Final = ("grpc", "http")
META_JSON: Final = "META.json"
TLS_FILES: Final = {"key": "server.key", "certificate": "server.crt", "chain": "server.chain"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginValues:
    """What was said with one plugin's own flag.

    Parameters
    ----------
    kind
        ``runtime``, ``converter`` or ``transport``.
    plugin
        The plugin's name.
    flag
        The flag.
    values
        Parsed; one where the flag's scope is the host, else one for each model.
    """

    kind: str
    plugin: str
    flag: ServeFlag
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeFlags:
    """The flags as they were given; None or empty: not given. Names are the flags'."""

    model_dir: tuple[str, ...] = ()
    model_repository: tuple[str, ...] = ()
    port: int | None = None
    rest_port: int | None = None
    prometheus_port: int | None = None
    host: str | None = None
    transport: tuple[str, ...] = ()
    workers: int | None = None
    worker_timeout: float | None = None
    max_workers_loading: int | None = None
    admin: bool | None = None
    admin_token_file: str | None = None
    infer_token_file: str | None = None
    drain_timeout: float | None = None
    max_message_bytes: int | None = None
    memory_budget_bytes: int | None = None
    access_log: bool | None = None
    num_worker_threads: int | None = None
    max_blocking_threads: int | None = None
    max_batch_size: tuple[int, ...] = ()
    batch_time_out_millis: tuple[float, ...] = ()
    batch_drop_millis: float | None = None
    batching: tuple[str, ...] = ()
    model_check_interval_secs: float | None = None
    meta_json_dir: str | None = None
    ssl_dir: str | None = None
    modelsync_cli: str | None = None
    versions_per_model: int | None = None
    customops_lib: str | None = None
    max_warmup_records: int | None = None
    onnx_report_discrete_feature_ids: tuple[str, ...] = ()
    onnx_report_continuous_feature_ids: tuple[str, ...] = ()
    intra_op_parallelism: tuple[int, ...] = ()
    inter_op_parallelism: tuple[int, ...] = ()
    serving_sig: tuple[str, ...] = ()
    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    plugins: tuple[PluginValues, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltConfig:
    """A configuration, and what a person should know about the flags it came from.

    Parameters
    ----------
    config
        Checked.
    ignored
        Flag -> why it has no effect.
    """

    config: HostConfig
    ignored: Mapping[str, str] = field(default_factory=dict)


def build_config(flags: ServeFlags, base: HostConfig, carries: Mapping[str, frozenset[str]]) -> BuiltConfig:
    """Return the configuration that a command line asks for.

    Parameters
    ----------
    flags
        What was given.
    base
        What the ``--config`` file says.
    carries
        Transport name -> what it carries (``rpc``: gRPC; ``http``); tells which transport a port is for.

    Raises
    ------
    ConfigError
        A list of the wrong length, a port that nothing listens on, or a wrong configuration; the text
        begins with the flag or the path.
    """
    config = _with_host_flags(base, flags)
    config = replace(
        config, transports=_transports(config, flags, carries), models=_models(config.models, flags)
    )
    config = _with_plugin_tables(config, flags.plugins)
    if not config.models and not config.admin and not flags.model_repository:
        raise ConfigError(
            "nothing to serve: expected --model-dir, --model-repository, a --config with models, or --admin"
        )
    check_config(config)
    return BuiltConfig(config=config, ignored=_ignored(flags))


# --- flags of the host ------------------------------------------------------------------------------

_HOST_FIELDS: Final = {
    "host": "host",
    "prometheus_port": "prometheus_port",
    "admin": "admin",
    "access_log": "access_log",
    "drain_timeout": "drain_timeout_s",
    "workers": "workers",
    "worker_timeout": "worker_timeout_s",
    "max_workers_loading": "max_workers_loading",
    "max_message_bytes": "max_message_bytes",
    "memory_budget_bytes": "memory_budget_bytes",
    "max_blocking_threads": "run_threads",
    "model_check_interval_secs": "poll_interval_s",
    "modelsync_cli": "modelsync_command",
}
"""Flag -> the field of the configuration that it sets."""

_IGNORED: Final = {
    "num_worker_threads": "one event loop moves all bytes, and models run on --max-blocking-threads threads",
    "customops_lib": "no installed runtime takes it",
    "onnx_report_discrete_feature_ids": "no installed converter takes it",
    "onnx_report_continuous_feature_ids": "no installed converter takes it",
}
"""Flags of Navi's that set nothing here -> why. A plugin may offer a flag of the same name."""


def _ignored(flags: ServeFlags) -> dict[str, str]:
    return {
        _flag(name): reason for name, reason in _IGNORED.items() if getattr(flags, name) not in (None, "", ())
    }


def _with_host_flags(config: HostConfig, flags: ServeFlags) -> HostConfig:
    changes = {
        field: value
        for name, field in _HOST_FIELDS.items()
        if (value := getattr(flags, name)) is not None and value != ""
    }
    tokens = {
        name: value
        for name in ("admin_token_file", "infer_token_file")
        if (value := getattr(flags, name)) is not None
    }
    config = replace(
        config,
        **changes,
        auth=replace(config.auth, **tokens),
        batching=overlay(config.batching, _said_of_batching(flags.batching)),
    )
    if flags.meta_json_dir is not None:
        # a prefix, not a directory: Navi joins the two texts
        return replace(config, meta_json=flags.meta_json_dir + META_JSON)
    if config.meta_json is None and flags.model_dir:
        return replace(config, meta_json=_beside(flags.model_dir[0]) + META_JSON)
    return config


def _said_of_batching(said: Sequence[str]) -> BatchingSettings:
    """Return what ``--batching NAME=VALUE`` says; values are TOML's, and a bare word is a text."""
    table: dict[str, Any] = {}
    for each in said:
        name, separator, value = each.partition("=")
        if not separator:
            raise ConfigError(f"expected NAME=VALUE, got {show(each)}", path="--batching")
        try:
            table[name.strip().replace("-", "_")] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            table[name.strip().replace("-", "_")] = value
    return convert(table, BatchingSettings, "--batching")


def _beside(model_dir: str) -> str:
    """Return the text before the last occurrence of the model's name: ``models/`` of ``models/prod_home``."""
    name = model_dir.rstrip("/").rsplit("/", 1)[-1]
    return model_dir[: model_dir.rindex(name)] if name else model_dir


# --- transports ------------------------------------------------------------------------------------


def _transports(
    config: HostConfig, flags: ServeFlags, carries: Mapping[str, frozenset[str]]
) -> dict[str, TransportSettings]:
    said = [each for each in flags.plugins if each.kind == "transport" and each.values]
    asked = flags.transport or config.transports or DEFAULT_TRANSPORTS
    names = tuple(dict.fromkeys((*asked, *(each.plugin for each in said))))
    for name in names:
        if name not in carries:
            installed = ", ".join(sorted(carries)) or "none"
            where = "" if name in flags.transport else "transports: "  # the file's table
            raise PluginNotFoundError(f"{where}no transport is called '{name}' (installed: {installed})")
    transports = {name: config.transports.get(name, TransportSettings()) for name in names}
    rpc = [name for name in names if "rpc" in carries.get(name, ())]
    http = [name for name in names if name not in rpc and "http" in carries.get(name, ())]
    for flag, port, candidates in (("--port", flags.port, rpc), ("--rest-port", flags.rest_port, http)):
        if port is None:
            continue
        if len(candidates) != 1:
            listed = ", ".join(f"'{name}'" for name in candidates) or "none"
            raise ConfigError(
                f"expected one transport that it is the port of, got {listed} of {', '.join(names)}: "
                "give ports in the --config file",
                path=flag,
            )
        transports[candidates[0]] = replace(transports[candidates[0]], port=port)
    for each in said:
        transports[each.plugin] = _with_listener_flag(
            transports[each.plugin], each.flag.option, each.values[-1]
        )
    if flags.ssl_dir:
        tls = _tls(flags.ssl_dir)
        transports = {name: replace(transport, tls=tls) for name, transport in transports.items()}
    return transports


def _with_listener_flag(settings: TransportSettings, option: str, value: Any) -> TransportSettings:
    if option in LISTENER_FIELDS:
        return replace(settings, **{option: value})
    return replace(settings, options={**settings.options, option: value})


def _tls(folder: str) -> TlsSettings:
    """Return mutual TLS as in Navi: the server's own chain is what client certificates are checked with."""
    files = {role: f"{folder.rstrip('/') or '/'}/{name}" for role, name in TLS_FILES.items()}
    return TlsSettings(**files, client_ca=(files["certificate"], files["chain"]))


# --- models ----------------------------------------------------------------------------------------


_Change: TypeAlias = Callable[[ModelConfig, Any], ModelConfig]
"""Returns a model in which a flag's value is said."""


def _field(name: str) -> _Change:
    return lambda model, value: replace(model, **{name: value})


def _batching(name: str) -> _Change:
    return lambda model, value: replace(model, batching=replace(model.batching, **{name: value}))


def _name_list(name: str) -> _Change:
    """Split a comma list, untrimmed as in Navi; empty: as the model has them."""
    return lambda model, value: replace(model, **{name: tuple(value.split(",")) if value else None})


_MODEL_LISTS: Final[dict[str, _Change]] = {
    "max_batch_size": _batching("max_batch_requests"),
    "batch_time_out_millis": _batching("batch_timeout_ms"),
    "intra_op_parallelism": _field("intra_op_threads"),
    "inter_op_parallelism": _field("inter_op_threads"),
    "serving_sig": lambda model, value: replace(model, signature=value or None),
    "input": _name_list("inputs"),
    "output": _name_list("outputs"),
}
"""Repeated flag -> what one value changes in the model at its position."""

_ALL_MODELS: Final[dict[str, _Change]] = {
    "batch_drop_millis": _batching("batch_drop_ms"),
    "max_warmup_records": lambda model, value: replace(
        model, warmup=replace(model.warmup, max_records=value)
    ),
    "versions_per_model": lambda model, value: replace(model, versions=VersionPolicySettings(latest=value)),
}
"""Flag -> what it changes in every model."""


def _models(configured: Sequence[ModelConfig], flags: ServeFlags) -> tuple[ModelConfig, ...]:
    models, positions = _positions(configured, flags)
    lists = [(_flag(name), getattr(flags, name), change) for name, change in _MODEL_LISTS.items()]
    lists += [
        (said.flag.name, said.values, _plugin_change(said))
        for said in flags.plugins
        if said.flag.scope == "model"
    ]
    for flag, values, change in lists:
        if values and len(values) != len(positions):
            per = "--model-dir" if flags.model_dir else "model of the --config file"
            raise ConfigError(
                f"expected {len(positions)} values, one for each {per}, got {len(values)}", path=flag
            )
        for position, value in zip(positions, values, strict=False):
            models[position] = change(models[position], value)
    for name, change in _ALL_MODELS.items():
        value = getattr(flags, name)
        if value is not None:
            models = [change(model, value) for model in models]
    return tuple(models)


def _positions(configured: Sequence[ModelConfig], flags: ServeFlags) -> tuple[list[ModelConfig], list[int]]:
    """Return all models, and which of them the repeated flags speak of, in order.

    A ``--model-dir`` whose name the file has, too, gives that model another path.
    """
    models = list(configured)
    if not flags.model_dir:
        return models, list(range(len(models)))
    places = {model.model_name: index for index, model in enumerate(models)}
    positions: list[int] = []
    for path in flags.model_dir:
        model = ModelConfig(path=path)
        place = places.get(model.model_name)
        if place is None or place in positions:
            positions.append(len(models))
            models.append(model)
        else:
            positions.append(place)
            models[place] = replace(models[place], path=path)
    return models, positions


# --- flags of plugins ------------------------------------------------------------------------------


def _plugin_change(said: PluginValues) -> _Change:
    table = "runtime_options" if said.kind == "runtime" else "converter_options"

    def change(model: ModelConfig, value: Any) -> ModelConfig:
        return replace(model, **{table: {**getattr(model, table), said.flag.option: value}})

    return change


def _with_plugin_tables(config: HostConfig, plugins: Sequence[PluginValues]) -> HostConfig:
    """Write the values of host-wide plugin flags into the tables of their plugins."""
    tables = {"runtime": dict(config.runtimes), "converter": dict(config.converters)}
    for said in plugins:
        if said.kind in tables and said.flag.scope == "host" and said.values:
            table = tables[said.kind].get(said.plugin, {})
            tables[said.kind][said.plugin] = {**table, said.flag.option: said.values[-1]}
    return replace(config, runtimes=tables["runtime"], converters=tables["converter"])


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
