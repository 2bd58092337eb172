"""Which family each feature belongs to, as a layout says: for columns whose values do not say it.

Import-light: no Numba.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from navi_core import Artifact, ConfigError, ModelLoadError, convert_options
from navi_dr_transform.layout import Source
from navi_dr_transform.layout_section import LayoutSection
from navi_dr_transform.options import BprOptions, read_options
from navi_dr_transform.resolve import resolve_layout
from navi_dr_transform.resolved import ResolvedLayout

__all__ = ["Families", "read_families"]

_OPTION: Final = "encode_version_dir"

_FAMILIES: Final[Mapping[Source, str]] = {
    Source.BINARY: "binary",
    Source.CONTINUOUS: "continuous",
    Source.DISCRETE: "discrete",
    Source.STRING: "strings",
    Source.SPARSE_BINARY: "sparse_binary",
    Source.SPARSE_CONTINUOUS: "sparse_continuous",
    Source.BLOB: "blobs",
    Source.TENSOR: "tensors",
}
"""Part of a DataRecord -> the family that fills it."""


@dataclass(frozen=True, slots=True)
class Families:
    """What a layout says about features.

    Parameters
    ----------
    of_ids
        Feature id -> the families that the layout reads it from, nearly always one; ids that it does not read
        are not there.
    ids
        Full name -> feature id, where a mapping file gives one.
    """

    of_ids: Mapping[int, frozenset[str]] = field(default_factory=dict)
    ids: Mapping[str, int] = field(default_factory=dict)


def read_families(options: BprOptions) -> tuple[BprOptions, Families]:
    """Return the options of a version, and what its layout says.

    Parameters
    ----------
    options
        The encoder's. ``encode_version_dir`` names the version's directory, whose ``navi.toml`` says what they leave
        at its default; without it a layout that needs no mapping files is still read.

    Raises
    ------
    ConfigError
        The directory's files cannot be read, or are wrong.
    """
    folder = options.encode_version_dir
    if not folder:
        section = options.layout
        if not isinstance(section, LayoutSection) or section.base != "none" or options.segdense_file:
            return options, Families()
        artifact = Artifact(name="layout", version=0, files={})
        return options, _families(artifact, options, "layout")
    path = Path(folder)
    if not path.is_dir():
        raise ConfigError(f"expected a version's directory, got '{folder}'", path=_OPTION)
    own: BprOptions = convert_options(BprOptions, read_options(path), f"converter_options of {path}")
    usual = BprOptions()
    said = {
        name: value
        for name in BprOptions.__struct_fields__
        if (value := getattr(options, name)) != getattr(usual, name)
    }
    options = msgspec.structs.replace(own, **said)
    return options, _families(Artifact(name=path.name, version=0, path=path), options, folder)


def _families(artifact: Artifact, options: BprOptions, where: str) -> Families:
    try:
        resolved = resolve_layout(artifact, options, where)
    except ModelLoadError as error:
        raise ConfigError(error.message, path=_OPTION if options.encode_version_dir else "") from error
    return Families(_of_ids(resolved), {name: feature for feature, name in resolved.names.items()})


def _of_ids(resolved: ResolvedLayout) -> dict[int, frozenset[str]]:
    found: dict[int, set[str]] = {}
    for source, feature in resolved.features.columns:
        found.setdefault(feature, set()).add(_FAMILIES[source])
    for feature in resolved.features.embeddings.values():
        found.setdefault(feature, set()).add(_FAMILIES[Source.TENSOR])
    return {feature: frozenset(families) for feature, families in found.items()}
