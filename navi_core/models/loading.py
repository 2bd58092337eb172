"""From an artifact to a version that can answer: settings, runtime, signatures, converter, warm-up.

Everything here blocks and runs on a loader thread. ``navi-host inspect`` uses it too, so what it shows is what
a host would do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from navi_core.batching.queue import BatchPolicy
from navi_core.config.batching import with_defaults
from navi_core.config.load import convert_options, load_model_settings
from navi_core.config.records import BatchingSettings, ModelSettings, overlay
from navi_core.contracts.artifact import Artifact
from navi_core.contracts.converter import BoundConverter, Converter
from navi_core.contracts.runtime import LoadOptions, Runtime, Servable
from navi_core.errors import ConfigError, ErrorCode, ModelLoadError, NaviError
from navi_core.models.batching_file import with_parameters_file
from navi_core.models.overrides import apply_overrides
from navi_core.models.replay import Replay, replay
from navi_core.models.served import LoadedVersion, ServedSignature
from navi_core.models.version_policy import parse_version
from navi_core.models.warmup import DEFAULT_ROWS, warm_up
from navi_core.plugins.registry import Registry
from navi_core.signature import DEFAULT_SIGNATURE, Signature, why_no_default
from navi_core.sources.directory_scan import model_directories

__all__ = ["SETTINGS_FILE", "artifact_at", "load_version", "model_settings", "plugin_options"]

log = structlog.get_logger(__name__)

SETTINGS_FILE: Final = "navi.toml"
NO_CONVERTER: Final = "none"
NOTHING_SAID: Final = BatchingSettings()


def model_settings(
    artifact: Artifact, said: ModelSettings, batching: BatchingSettings = NOTHING_SAID
) -> ModelSettings:
    """Return what applies to one version: ``navi.toml`` of the model, of the version, then the host's.

    ``batching`` is what the host says of all models; it counts where none of these say anything.

    A single file has no directory of its own, so what lies beside it is not looked at.

    Raises
    ------
    ConfigError
        A ``navi.toml`` or a file of batching parameters is wrong; with its path.
    """
    settings = ModelSettings()
    if artifact.path is not None and artifact.path.is_dir():
        for folder in (artifact.path.parent, artifact.path):
            file = folder / SETTINGS_FILE
            if _is_there(file):
                settings = overlay(settings, load_model_settings(file))
    settings = overlay(settings, said)
    if settings.batching.parameters_file is None and batching.parameters_file is not None:
        own = msgspec.structs.replace(settings.batching, parameters_file=batching.parameters_file)
        settings = msgspec.structs.replace(settings, batching=own)
    settings = with_parameters_file(settings, artifact)
    return msgspec.structs.replace(settings, batching=with_defaults(settings.batching, batching))


def load_version(
    registry: Registry,
    artifact: Artifact,
    said: ModelSettings,
    *,
    runtime_tables: Mapping[str, Mapping[str, Any]] | None = None,
    converter_tables: Mapping[str, Mapping[str, Any]] | None = None,
    batching: BatchingSettings = NOTHING_SAID,
    max_model_bytes: int | None = None,
    max_concurrent_batches: int = 4,
    on_replayed: Callable[[Replay], None] | None = None,
) -> LoadedVersion:
    """Load one version, ready to answer.

    Parameters
    ----------
    registry
        Installed runtimes and converters.
    artifact
        The version's files.
    said
        The host's configuration of the model.
    runtime_tables, converter_tables
        Host-wide options by plugin name.
    batching
        What the host says of all models.
    max_model_bytes
        Refuse what is estimated to be larger; None: no limit.
    max_concurrent_batches
        The default for what the settings leave open.
    on_replayed
        Told how the run of the version's recorded requests ended, well or badly; not called where there are none.

    Raises
    ------
    ModelLoadError
        It cannot be served; says why. Other errors of navi's (a wrong ``navi.toml``, no runtime) come as they are.
    """
    try:
        settings = model_settings(artifact, said, batching)
        runtime, kind = _runtime(registry, artifact, settings)
        _check_size(runtime, artifact, max_model_bytes)
        converter = _converter(registry, artifact, settings)
        services = _service_options(registry, settings)
        options = _load_options(runtime, settings, runtime_tables or {}, is_converted=converter is not None)
        servable = runtime.load(artifact, options)
        try:
            signatures, notes = _signatures(servable, settings, artifact)
            bound = _bound(converter, artifact, signatures, settings, converter_tables or {})
            loaded = LoadedVersion(
                artifact=artifact,
                servable=servable,
                runtime=runtime.name,
                kind=kind,
                converter=converter.name if converter is not None and bound else "",
                signatures=_served(signatures, bound),
                policy=BatchPolicy.from_settings(
                    settings.batching, max_concurrent_batches=max_concurrent_batches
                ).with_max_rows(_max_rows(signatures)),
                notes=(*servable.notes, *notes),
                gauges={name: float(value) for name, value in servable.gauges.items()},
                service_options=services,
            )
            note = replay(loaded, settings.warmup, on_replayed)
            return dataclasses.replace(loaded, notes=(*loaded.notes, note)) if note else loaded
        except BaseException:
            servable.close()
            raise
    except NaviError:
        raise
    except Exception as error:
        if not isinstance(error, MemoryError):  # that one is no bug, and its traceback says nothing
            log.exception("load_failed_unexpectedly", model=artifact.name, version=artifact.version)
        code = ErrorCode.RESOURCE_EXHAUSTED if isinstance(error, MemoryError) else None
        msg = f"version {artifact.version} of model '{artifact.name}' could not be loaded: {type(error).__name__}: {error}"
        raise ModelLoadError(msg, model=artifact.name, version=artifact.version, code=code) from error


def _is_there(file: Path) -> bool:
    """Tell whether there is such a file.

    Raises
    ------
    ModelLoadError
        Its directory is closed to this process.
    """
    try:
        return file.is_file()
    except OSError as error:
        msg = f"{file.parent}: {error.strerror or error}"
        raise ModelLoadError(msg) from None


def _runtime(registry: Registry, artifact: Artifact, settings: ModelSettings) -> tuple[Runtime, str]:
    if settings.runtime is None:
        recognised = registry.select_runtime(artifact)
        return recognised.runtime, recognised.kind
    runtime = registry.runtime(settings.runtime)
    kind = runtime.recognise(artifact)
    if kind is None:
        msg = (
            f"runtime '{runtime.name}', which the configuration names, does not recognise "
            f"version {artifact.version} of model '{artifact.name}' in {artifact.where}"
        )
        raise ModelLoadError(msg, model=artifact.name, version=artifact.version)
    return runtime, kind


def _check_size(runtime: Runtime, artifact: Artifact, max_model_bytes: int | None) -> None:
    if max_model_bytes is None:
        return
    size_bytes = runtime.estimate_bytes(artifact)
    if size_bytes > max_model_bytes:
        msg = (
            f"version {artifact.version} of model '{artifact.name}': expected at most {max_model_bytes} bytes "
            f"(max_model_bytes), got an estimate of {size_bytes}"
        )
        raise ModelLoadError(
            msg,
            model=artifact.name,
            version=artifact.version,
            code=ErrorCode.RESOURCE_EXHAUSTED,
            reason="max_model_bytes",
        )


def plugin_options(
    plugin: Runtime | Converter, tables: Mapping[str, Mapping[str, Any]], own: Mapping[str, Any], path: str
) -> Any:
    """Return a plugin's options: the host-wide table under its name or an alias, overlaid by the model's own.

    Raises
    ------
    ConfigError
        The plugin does not take them; the place begins with ``path``.
    """
    aliases = plugin.aliases if isinstance(plugin, Converter) else ()
    table: dict[str, Any] = {}
    for name in (*aliases, plugin.name):
        table.update(tables.get(name, {}))
    return convert_options(plugin.options_type, {**table, **own}, path)


def _service_options(registry: Registry, settings: ModelSettings) -> dict[str, Any]:
    """Return what the model says to services, checked by them; raises ConfigError or PluginNotFoundError."""
    return {
        name: convert_options(registry.service(name).model_options_type, table, f"service_options.{name}")
        for name, table in settings.service_options.items()
    }


def _load_options(
    runtime: Runtime, settings: ModelSettings, tables: Mapping[str, Mapping[str, Any]], *, is_converted: bool
) -> LoadOptions:
    return LoadOptions(
        options=plugin_options(runtime, tables, settings.runtime_options, "runtime_options"),
        intra_op_threads=settings.intra_op_threads,
        inter_op_threads=settings.inter_op_threads,
        signature=settings.signature,
        # Where a converter is used, the configured inputs are what clients send, as in Navi's --input.
        inputs=() if is_converted else settings.inputs or (),
        outputs=settings.outputs or (),
    )


def _signatures(
    servable: Servable, settings: ModelSettings, artifact: Artifact
) -> tuple[dict[str, Signature], list[str]]:
    """Return the signatures after the configuration's say and the warm-up's findings, and notes."""
    signatures = apply_overrides(servable.signatures, settings.signatures)
    for name, signature in signatures.items():
        for spec in signature.inputs.values():
            because = why_no_default(spec)
            if because:
                msg = f"default of model '{artifact.name}', signature '{name}': {because}"
                raise ModelLoadError(msg, model=artifact.name, version=artifact.version)
    enabled = settings.warmup.enabled
    if enabled is False or (enabled is None and servable.is_stateful):
        return signatures, []
    return warm_up(
        servable,
        signatures,
        settings.warmup.rows or DEFAULT_ROWS,
        model=artifact.name,
        batched=[name for name, said in settings.signatures.items() if said.batchable],
    )


def _max_rows(signatures: Mapping[str, Signature]) -> int | None:
    """Return the most rows that a run of any signature takes; they share a queue and its limits."""
    limits = [each.max_rows for each in signatures.values() if each.batchable and each.max_rows is not None]
    return min(limits, default=None)


def _served(
    signatures: Mapping[str, Signature], bound: Mapping[str, BoundConverter]
) -> dict[str, ServedSignature]:
    served = {}
    for name, signature in signatures.items():
        converter = bound.get(name)
        client = signature if converter is None else converter.signature
        served[name] = ServedSignature(name=name, model=signature, client=client, converter=converter)
    return served


# --- converters -------------------------------------------------------------------------------------


def _converter(registry: Registry, artifact: Artifact, settings: ModelSettings) -> Converter | None:
    """Return the converter that the settings name, or that recognises the artifact; None: no conversion."""
    if settings.converter == NO_CONVERTER:
        return None
    if settings.converter is not None:
        return registry.converter(settings.converter)
    return registry.select_converter(artifact)


def _bound(
    converter: Converter | None,
    artifact: Artifact,
    signatures: Mapping[str, Signature],
    settings: ModelSettings,
    tables: Mapping[str, Mapping[str, Any]],
) -> dict[str, BoundConverter]:
    """Bind a converter to every signature that it serves: the default one, and those that ask for it.

    None at all, where nobody asked for the converter and there is no default signature.
    """
    if converter is None:
        for name, said in settings.signatures.items():
            if said.convert:
                raise ConfigError(
                    "expected a model with a converter, got none", path=f"signatures.{name}.convert"
                )
        return {}
    asking = [name for name in signatures if _is_converted(name, settings)]
    if not asking and settings.converter is not None:
        msg = (
            f"converter '{converter.name}' needs a signature '{DEFAULT_SIGNATURE}', or one that says convert = true; "
            f"the model has {', '.join(signatures)}"
        )
        raise ModelLoadError(msg, model=artifact.name, version=artifact.version)
    return {name: _bind(converter, artifact, name, signatures[name], settings, tables) for name in asking}


def _is_converted(signature: str, settings: ModelSettings) -> bool:
    said = settings.signatures.get(signature)
    if said is None or said.convert is None:
        return signature == DEFAULT_SIGNATURE
    return said.convert


def _bind(
    converter: Converter,
    artifact: Artifact,
    name: str,
    signature: Signature,
    settings: ModelSettings,
    tables: Mapping[str, Mapping[str, Any]],
) -> BoundConverter:
    said = settings.signatures.get(name)
    own = settings.converter_options
    path = "converter_options"
    if said is not None and said.converter_options:
        own, path = {**own, **said.converter_options}, f"signatures.{name}.converter_options"
    bound = converter.bind(artifact, signature, plugin_options(converter, tables, own, path))
    if name == DEFAULT_SIGNATURE and settings.inputs and set(settings.inputs) != set(bound.signature.inputs):
        expected, got = ", ".join(bound.signature.inputs), ", ".join(settings.inputs)
        msg = f"inputs of model '{artifact.name}': converter '{converter.name}' takes {expected}, the configuration says {got}"
        raise ModelLoadError(msg, model=artifact.name, version=artifact.version)
    return bound


def artifact_at(path: Path) -> Artifact:
    """Return the artifact that a path means: a version directory, a model directory's newest version, or a file.

    Raises
    ------
    ModelLoadError
        There is nothing to load.
    """
    path = path.resolve()
    if path.is_file():
        return Artifact(name=path.stem, version=1, path=path)
    if not path.is_dir():
        msg = f"expected a model directory, a version directory or a file, got '{path}', which does not exist"
        raise ModelLoadError(msg)
    versions = {
        number: entry for entry in path.iterdir() if (number := parse_version(entry.name)) is not None
    }
    if versions:
        newest = max(versions)
        return Artifact(name=path.name, version=newest, path=versions[newest])
    if models := model_directories(path):
        msg = (
            f"'{path}' holds no version directory, but models with versions of their own: expected one of them "
            f"({', '.join(models)})"
        )
        raise ModelLoadError(msg)
    number = parse_version(path.name)
    name = path.parent.name if number is not None else path.name
    return Artifact(name=name, version=number if number is not None else 1, path=path)
