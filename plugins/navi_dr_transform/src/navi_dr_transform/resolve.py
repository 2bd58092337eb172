"""From options and a version's files to its layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from navi_core import Artifact, ModelLoadError
from navi_dr_transform.feature_map import home_feature_map
from navi_dr_transform.layout import HOME
from navi_dr_transform.layout_section import LayoutSection
from navi_dr_transform.options import BprOptions
from navi_dr_transform.resolved import ResolvedLayout
from navi_dr_transform.segdense import read_all_config, read_renamed_features, read_segdense
from navi_dr_transform.segdense_layout import feature_names, segdense_layout
from navi_dr_transform.written_layout import NOTHING, written_layout

__all__ = ["resolve_layout"]

_SEGDENSE_PREFIX: Final = "segdense_transform_spec"
_PATH: Final = "converter_options.layout"


def resolve_layout(artifact: Artifact, options: BprOptions, where: str = "") -> ResolvedLayout:
    """Return the layout that a version's options and files ask for.

    Parameters
    ----------
    artifact
        The version.
    options
        The converter's options.
    where
        What the layout section's errors name; empty: the version and its model.

    Raises
    ------
    ModelLoadError
        A mapping file is missing or wrong, or the layout section is; says where.
    """
    section = options.layout
    if not isinstance(section, LayoutSection):
        return _base(artifact, options, section)
    where = where or f"version {artifact.version} of model '{artifact.name}'"
    return written_layout(section, _base(artifact, options, section.base), f"{where}: {_PATH}")


def _base(artifact: Artifact, options: BprOptions, name: str) -> ResolvedLayout:
    if name == "none":
        # names that the file knows have its ids; without a file the names' hashes are their ids
        if not options.segdense_file:
            return NOTHING
        segdense = read_segdense(*_read(artifact, options.segdense_file))
        return ResolvedLayout(NOTHING.layout, NOTHING.features, feature_names(segdense))
    if name == HOME.name:
        segdense = read_segdense(*_read(artifact, options.segdense_file or HOME.segdense_file))
        all_config = read_all_config(*_read(artifact, options.all_config_file or HOME.all_config_file))
        return ResolvedLayout(HOME, home_feature_map(segdense, all_config), feature_names(segdense))
    content, where = _read(artifact, options.segdense_file or _only_segdense_file(artifact))
    return segdense_layout(read_segdense(content, where), _renamed(artifact, options), options.widths, where)


def _renamed(artifact: Artifact, options: BprOptions) -> Mapping[str, str]:
    """Return the new names of ``all_config.json``, which may be missing where no option names it."""
    name = options.all_config_file
    if not name and HOME.all_config_file not in artifact.names():
        return {}
    return read_renamed_features(*_read(artifact, name or HOME.all_config_file))


def _only_segdense_file(artifact: Artifact) -> str:
    names = [
        name for name in artifact.names() if name.startswith(_SEGDENSE_PREFIX) and name.endswith(".json")
    ]
    if len(names) != 1:
        got = ", ".join(sorted(names)) or "none"
        msg = (
            f"converter 'bpr': expected one mapping file '{_SEGDENSE_PREFIX}*.json' in {artifact.where}, "
            f"got {got}; option 'segdense_file' names one"
        )
        raise ModelLoadError(msg, model=artifact.name, version=artifact.version)
    return names[0]


def _read(artifact: Artifact, name: str) -> tuple[bytes, str]:
    """Return a mapping file's bytes and its place."""
    try:
        return artifact.read(name), f"{artifact.where}/{name}"
    except OSError as error:
        reason = error.strerror or "there is no such file"
        msg = f"converter 'bpr': expected the mapping file '{name}' in {artifact.where}, got: {reason}"
        raise ModelLoadError(msg, model=artifact.name, version=artifact.version) from error
