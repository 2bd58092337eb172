"""Names for models that are single files, which need a look at the disk."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from navi_core.config.records import HostConfig, ModelConfig

__all__ = ["name_single_files"]


def name_single_files(config: HostConfig) -> HostConfig:
    """Name models that are single files, and have no name yet, after the file: ``x`` of ``models/x.onnx``.

    Done once, so that a file that comes or goes later renames no model.
    """
    return replace(config, models=tuple(map(_named, config.models)))


def _named(model: ModelConfig) -> ModelConfig:
    if model.name is not None or "://" in model.path or not Path(model.path).expanduser().is_file():
        return model
    return replace(model, name=Path(model.path).stem)
