"""What a command line with TensorFlow Serving's flags says of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from navi_core.cli.tf_serving_files import (
    read_batching_parameters,
    read_models,
    read_text,
    unused_settings,
)
from navi_core.config.records import (
    BatchingSettings,
    HostConfig,
    ModelConfig,
    ModelSettings,
    WarmupSettings,
    overlay,
)
from navi_core.errors import ConfigError
from navi_core.wire.batching_parameters import BATCHING_FILE, default_batching

__all__ = ["ModelConfigFile", "followed_file", "model_settings", "named_models"]

_DEFAULT_NAME: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfigFile:
    """A file of models that is read again while the host runs.

    Parameters
    ----------
    path, text
        The file, and what it said when it was read first.
    names
        The models that it had then.
    poll_wait_s
        Seconds between two readings.
    defaults
        What the configuration of a new model says besides.
    """

    path: str
    text: str
    names: frozenset[str]
    poll_wait_s: float
    defaults: ModelSettings


def model_settings(said: Mapping[str, Any], ignored: dict[str, str]) -> ModelSettings:
    """Return what the flags say of every model.

    Parameters
    ----------
    said
        Flag -> value, those that were given.
    ignored
        Gets what has no effect, with the reason.

    Raises
    ------
    ConfigError
        The flags contradict each other, or a file that they name cannot be used.
    """
    session, intra, inter = (
        said.get(f"tensorflow_{name}_parallelism", 0) for name in ("session", "intra_op", "inter_op")
    )
    if session and intra and inter:
        raise ConfigError(
            "expected at most two of --tensorflow-session-parallelism, --tensorflow-intra-op-parallelism and "
            "--tensorflow-inter-op-parallelism, got all three",
            path="--tensorflow-session-parallelism",
        )
    iterations = said.get("num_request_iterations_for_warmup", 0)
    warmup = WarmupSettings(
        records=False if said.get("enable_model_warmup") is False else None,
        iterations=iterations if iterations > 0 else None,
    )
    return ModelSettings(
        batching=_batching(said, ignored),
        warmup=warmup,
        intra_op_threads=intra or session or None,
        inter_op_threads=inter or session or None,
    )


def _batching(said: Mapping[str, Any], ignored: dict[str, str]) -> BatchingSettings:
    file, per_model = said.get("batching_parameters_file"), said.get("enable_per_model_batching_parameters")
    enabled = said.get("enable_batching")
    if not enabled:
        for key, value in (
            ("--batching-parameters-file", file),
            ("--enable-per-model-batching-parameters", per_model),
        ):
            if value:
                raise ConfigError("expected --enable-batching, too", path=key)
        return BatchingSettings(enabled=enabled)
    flag = "--batching-parameters-file"
    found = read_batching_parameters(file, flag) if file else default_batching()
    ignored |= {f"{flag}: {parameter}": reason for parameter, reason in found.notes.items()}
    table = dict(found.table)
    if per_model:  # only what concerns threads is for all models
        threads = {key: table[key] for key in ("max_concurrent_batches",) if key in table}
        table = {"parameters_file": BATCHING_FILE, **threads}
    return msgspec.convert(table, BatchingSettings)


def named_models(
    said: Mapping[str, Any],
    config: HostConfig,
    folders: Sequence[str],
    defaults: ModelSettings,
    ignored: dict[str, str],
) -> tuple[ModelConfig, ...]:
    """Return all models, in order: configured ones, those of ``folders``, and those that the flags name.

    Parameters
    ----------
    said
        Flag -> value, those that were given.
    config
        What the ``--config`` file says.
    folders
        Those of navi's own ``--model-dir``.
    defaults
        What the flags say of every model.
    ignored
        Gets what has no effect, with the reason.

    Raises
    ------
    ConfigError
        The file of models cannot be used.
    """
    configured = {model.model_name: overlay(model, defaults) for model in config.models}
    for folder in folders:  # those of --model-dir: navi's own flags find them by their names
        model = overlay(ModelConfig(path=folder), defaults)
        configured.setdefault(model.model_name, model)
    if said.get("model_config_file"):
        file, flag = said["model_config_file"], "--model-config-file"
        text = read_text(file, flag)
        listed = read_models(file, flag, text, configured, defaults)
        ignored |= unused_settings(file, flag, text)
    elif said.get("model_base_path"):
        name = said.get("model_name") or _DEFAULT_NAME
        known = configured.get(name, overlay(ModelConfig(path="."), defaults))
        listed = [replace(known, name=name, path=said["model_base_path"])]
    else:
        listed = []
    return tuple({**configured, **{model.model_name: model for model in listed}}.values())


def followed_file(said: Mapping[str, Any], defaults: ModelSettings) -> ModelConfigFile | None:
    """Return the file of models if it is to be read again; raises ConfigError if it cannot be read."""
    file, seconds = said.get("model_config_file"), said.get("model_config_file_poll_wait_seconds", 0)
    if not file or seconds <= 0:
        return None
    text = read_text(file, "--model-config-file")
    models = read_models(file, "--model-config-file", text, {}, defaults)
    names = frozenset(model.model_name for model in models)
    return ModelConfigFile(path=file, text=text, names=names, poll_wait_s=seconds, defaults=defaults)
