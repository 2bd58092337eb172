"""navi-dr-transform: Twitter's thrift BatchPredictionRequest as dense tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from navi_dr_transform.loading import RequestConverter

__all__ = ["load_converter"]


def load_converter(
    version_dir: str | Path,
    layout: str | Mapping[str, Any] | None = None,
    *,
    request: str | None = None,
    embedding_length: str | None = None,
    widths: Mapping[str, int] | None = None,
    segdense_file: str | None = None,
    all_config_file: str | None = None,
) -> RequestConverter:
    """Make a converter from the files of a model's version, without a host.

    Compiles or loads the kernels, so that converting is quick from the first call on. Every option that is
    None is what ``converter_options`` of the ``navi.toml`` in the version's directory, or in the model's
    directory around it, says; where that says nothing, it is as for a served model.

    Parameters
    ----------
    version_dir
        The directory that holds the version's files.
    layout
        Which tensors a request becomes: ``home``, ``segdense``, or the layout section as a dictionary.
    request
        What a payload is: ``batch`` (BatchPredictionRequest), ``prediction`` (PredictionRequest) or ``record``
        (DataRecord). Records may be CompactDataRecords in any case.
    embedding_length
        ``truncate`` takes the first values of an embedding that is longer than its tensor is wide, as Navi
        does; ``strict`` refuses it. A shorter one is refused in any case.
    widths
        Tensor name -> columns, instead of the layout's.
    segdense_file, all_config_file
        Other names of the mapping files.

    Returns
    -------
    converter
        ``converter.convert([payload, ...])`` answers ``(dict of name -> array, row_ends)``.

    Raises
    ------
    ConfigError
        A ``navi.toml`` cannot be read.
    ModelLoadError
        A mapping file is missing or wrong, or an option is.
    """
    from navi_dr_transform.loading import open_converter  # noqa: PLC0415 - imports numba: only when used

    said = {
        "layout": layout,
        "request": request,
        "embedding_length": embedding_length,
        "widths": widths,
        "segdense_file": segdense_file,
        "all_config_file": all_config_file,
    }
    return open_converter(version_dir, {name: value for name, value in said.items() if value is not None})
