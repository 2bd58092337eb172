"""What a configuration needs of the installed plugins, checked before anything is opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from navi_core.config.convert import convert_options
from navi_core.config.records import HostConfig, ModelConfig
from navi_core.errors import ConfigError, PluginConflictError, PluginNotFoundError
from navi_core.models.loading import NO_CONVERTER, plugin_options
from navi_core.plugins.registry import Registry

__all__ = ["check_needs"]

T = TypeVar("T")


def check_needs(config: HostConfig, registry: Registry) -> None:
    """See that every plugin that the configuration names is there, and takes the options it is given.

    What only ``navi.toml`` in a model directory names is seen when that model is loaded.

    Raises
    ------
    PluginError
        A plugin is missing, broken, or its name clashes; the text begins with the place in the configuration.
    ConfigError
        Options that the plugin does not take.
    """
    for name, table in config.runtimes.items():
        path = f"runtimes.{name}"
        convert_options(_named(registry.runtime, name, path).options_type, table, path)
    for name, table in config.converters.items():
        path = f"converters.{name}"
        convert_options(_named(registry.converter, name, path).options_type, table, path)
    for name in config.service_options:
        _named(registry.service, name, f"service_options.{name}")
    for index, model in enumerate(config.models):
        _check_model(config, registry, model, f"models[{index}]")


def _check_model(config: HostConfig, registry: Registry, model: ModelConfig, path: str) -> None:
    if model.runtime is not None:
        runtime = _named(registry.runtime, model.runtime, f"{path}.runtime")
        plugin_options(runtime, config.runtimes, model.runtime_options, f"{path}.runtime_options")
    if model.converter is not None and model.converter != NO_CONVERTER:
        converter = _named(registry.converter, model.converter, f"{path}.converter")
        plugin_options(converter, config.converters, model.converter_options, f"{path}.converter_options")
        for name, said in model.signatures.items():
            own = {**model.converter_options, **said.converter_options}
            plugin_options(converter, config.converters, own, f"{path}.signatures.{name}.converter_options")
    elif model.converter == NO_CONVERTER and model.converter_options:
        raise ConfigError("expected none, as the converter is turned off", path=f"{path}.converter_options")


def _named(find: Callable[[str], T], name: str, path: str) -> T:
    try:
        return find(name)
    except PluginNotFoundError as error:
        raise PluginNotFoundError(f"{path}: {error.message}") from error
    except PluginConflictError as error:
        raise PluginConflictError(f"{path}: {error.message}") from error
