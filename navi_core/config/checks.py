"""What types cannot say: checks across the fields of a configuration. Pure.

:func:`check_config` is called on every configuration, wherever it came from, before anything starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from navi_core.config.records import (
    BatchingSettings,
    HostConfig,
    ModelConfig,
    ModelSettings,
    VersionPolicySettings,
)
from navi_core.config.wording import item_path, key_path, show
from navi_core.errors import ConfigError

__all__ = ["check_batching", "check_config", "check_model", "check_models", "check_records", "check_settings"]

_MAX_VERSION: Final = 2**63 - 1
_ANY_HOST: Final = frozenset({"0.0.0.0", "::", ""})


def check_config(config: HostConfig, path: str = "") -> None:
    """Check a whole configuration.

    Raises
    ------
    ConfigError
        The first thing that is wrong; ``path`` says where.
    """
    check_models(config.models, key_path(path, "models"))
    check_batching(config.batching, key_path(path, "batching"))
    taken: dict[int, list[tuple[str, str]]] = {}
    for name, transport in config.transports.items():
        if transport.port:
            where = key_path(key_path(key_path(path, "transports"), name), "port")
            _take_port(taken, transport.port, transport.host or config.host, where)
    if config.prometheus_port:
        _take_port(taken, config.prometheus_port, config.host, key_path(path, "prometheus_port"))


def check_records(models: Sequence[object], path: str = "models") -> None:
    """Check that models are records: a configuration made in Python came by no parser.

    Raises
    ------
    ConfigError
        Something else is among them, as a path is that was meant as a model.
    """
    for index, model in enumerate(models):
        if not isinstance(model, ModelConfig):
            raise ConfigError(f"expected a ModelConfig, got {show(model)}", path=item_path(path, index))


def check_models(models: Sequence[ModelConfig], path: str = "models") -> None:
    """Check each model, and that no two have one name.

    Raises
    ------
    ConfigError
        The first thing that is wrong.
    """
    seen: dict[str, str] = {}
    for index, model in enumerate(models):
        where = item_path(path, index)
        check_model(model, where)
        name = model.model_name
        if name in seen:
            raise ConfigError(
                f"expected a name of its own, got '{name}' as {seen[name]}", path=key_path(where, "name")
            )
        seen[name] = where


def check_model(model: ModelConfig, path: str = "") -> None:
    """Check one model of a configuration.

    Raises
    ------
    ConfigError
        The first thing that is wrong.
    """
    if model.model_name in ("", ".", ".."):
        raise ConfigError(
            f"missing: the path {show(model.path)} does not end in a name", path=key_path(path, "name")
        )
    check_settings(model, path)
    _check_versions(model.versions, key_path(path, "versions"))
    for label, version in model.labels.items():
        where = key_path(key_path(path, "labels"), label)
        if not label or set(label) & set("/:"):
            raise ConfigError("expected a label without '/' and ':'", path=where)
        _check_version(version, where)
        specific = model.versions.specific
        if specific is not None and version not in specific:
            raise ConfigError(
                f"expected one of the specific versions {_listed(specific)}, got {version}", path=where
            )


def check_settings(settings: ModelSettings, path: str = "") -> None:
    """Check what a ``navi.toml`` may say.

    Raises
    ------
    ConfigError
        The first thing that is wrong.
    """
    check_batching(settings.batching, key_path(path, "batching"))
    for role in ("inputs", "outputs"):
        names = getattr(settings, role) or ()
        for index, name in enumerate(names):
            where = item_path(key_path(path, role), index)
            if not name:
                raise ConfigError('expected a tensor name, got ""', path=where)
            if name in names[:index]:
                raise ConfigError(f"expected each name once, got {show(name)} again", path=where)
    for signature, said in settings.signatures.items():
        for role, tensors in (("inputs", said.inputs), ("outputs", said.outputs)):
            for tensor, spec in tensors.items():
                where = key_path(path, "signatures")
                for word in (signature, role, tensor, "shape"):
                    where = key_path(where, word)
                for index, size in enumerate(spec.shape or ()):
                    if isinstance(size, int) and size < -1:
                        raise ConfigError(
                            f"expected int >= -1 or str, got {size}", path=item_path(where, index)
                        )


def check_batching(batching: BatchingSettings, path: str = "batching") -> None:
    """Check how limits of batching, of one model's or of all, fit each other.

    Raises
    ------
    ConfigError
        The first thing that is wrong.
    """
    level, levels = batching.default_priority_level, batching.priority_levels
    if level is not None and levels is not None and level > levels:
        raise ConfigError(
            f"expected one of the priority_levels ({levels}), got {level}",
            path=key_path(path, "default_priority_level"),
        )
    allowed = batching.allowed_batch_rows
    if allowed is None:
        return
    where = key_path(path, "allowed_batch_rows")
    if not allowed:
        raise ConfigError("expected at least one row count, got an empty array", path=where)
    for index in range(1, len(allowed)):
        if allowed[index] <= allowed[index - 1]:
            raise ConfigError(
                f"expected increasing row counts, got {allowed[index]} after {allowed[index - 1]}",
                path=item_path(where, index),
            )
    if batching.max_batch_rows is not None and allowed[-1] < batching.max_batch_rows:
        raise ConfigError(
            f"expected the last row count to be at least max_batch_rows ({batching.max_batch_rows}), "
            f"got {allowed[-1]}",
            path=item_path(where, len(allowed) - 1),
        )


def _check_versions(versions: VersionPolicySettings, path: str) -> None:
    said = [
        name
        for name, value in (
            ("latest", versions.latest is not None),
            ("all", bool(versions.all)),
            ("specific", versions.specific is not None),
        )
        if value
    ]
    if versions.all is False and not said:
        raise ConfigError("expected true, or nothing at all, got false", path=key_path(path, "all"))
    if len(said) > 1:
        raise ConfigError(f"expected one of latest, all and specific, got {' and '.join(said)}", path=path)
    if versions.specific is None:
        return
    where = key_path(path, "specific")
    if not versions.specific:
        raise ConfigError("expected at least one version, got an empty array", path=where)
    for index, version in enumerate(versions.specific):
        _check_version(version, item_path(where, index))
        if version in versions.specific[:index]:
            raise ConfigError(
                f"expected each version once, got {version} again", path=item_path(where, index)
            )


def _check_version(version: int, path: str) -> None:
    if not 0 <= version <= _MAX_VERSION:
        raise ConfigError(f"expected int >= 0 and <= {_MAX_VERSION}, got {version}", path=path)


def _take_port(taken: dict[int, list[tuple[str, str]]], port: int, host: str, path: str) -> None:
    """Note who listens where; two listeners on one port might both succeed, and share the clients."""
    for other_host, other in taken.setdefault(port, []):
        if host == other_host or _ANY_HOST & {host, other_host}:
            raise ConfigError(f"expected a port of its own, got {port} as {other}", path=path)
    taken[port].append((host, path))


def _listed(versions: Sequence[int]) -> str:
    return ", ".join(map(str, versions))
