"""The converter's options: the table ``[converters.bpr]``, and ``converter_options`` of a model."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta, Struct

from navi_core import ConfigError
from navi_dr_transform.layout import MAX_WIDTH
from navi_dr_transform.layout_section import FeatureId, LayoutSection, Name

__all__ = ["BprOptions", "read_options"]

Reported: TypeAlias = Annotated[tuple[Name | FeatureId, ...], Meta(max_length=256)]
"""Each is a series of metrics for every bucket."""

_SETTINGS_FILE: Final = "navi.toml"
_TABLE: Final = "converter_options"


class BprOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[converters.bpr]``, and ``converter_options`` of a model.

    Attributes
    ----------
    layout
        Which tensors a request becomes: the name of a preset, or a table.
    embedding_length
        What to do with an embedding of more values than its tensor has columns: take the first ones, as
        Navi, or refuse it (``strict``). One of fewer values is refused in any case.
    request
        What one string holds: a BatchPredictionRequest, a PredictionRequest or a single DataRecord. Records
        may be CompactDataRecords in any case.
    input_name
        What clients call the string input.
    segdense_file, all_config_file
        Names of the mapping files in the version's directory; empty: the layout's.
    widths
        Tensor name -> columns, for inputs whose width the model leaves open.
    max_records
        The most records of one string. An empty one is a byte on the wire and a row of every tensor.
    count_features_every
        Of so many requests one's features are looked up once more, to count which the layout knows; 0: of none.
    report_continuous_features, report_discrete_features
        Features whose values are observed in histograms, by full name or id.
    response
        What clients get: the model's outputs as ``tensors``, or as ``thrift``: one string for each string of the
        request, a BatchPredictionResponse (PredictionResponse, DataRecord, as the request is).
    response_name
        What clients call that output.
    response_features
        Output -> the features that its columns become in predictions, by name or id. An output that is not
        named is one feature of its own name.
    encode_compact
        Payloads that are made from columns (``navi-host predict --encode``) hold CompactDataRecords.
    encode_version_dir
        For payloads that are made from columns: the directory of a version, whose ``navi.toml`` and mapping files say
        what kind of feature each column is.
    """

    layout: Literal["home", "segdense"] | LayoutSection = "home"
    embedding_length: Literal["truncate", "strict"] = "truncate"
    request: Literal["batch", "prediction", "record"] = "batch"
    input_name: Annotated[str, Meta(min_length=1)] = "examples"
    segdense_file: str = ""
    all_config_file: str = ""
    widths: dict[str, Annotated[int, Meta(ge=1, le=MAX_WIDTH)]] = {}
    max_records: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 65_536
    count_features_every: Annotated[int, Meta(ge=0, le=2**31)] = 16
    report_continuous_features: Reported = ()
    report_discrete_features: Reported = ()
    response: Literal["tensors", "thrift"] = "tensors"
    response_name: Annotated[str, Meta(min_length=1)] = "predictions"
    response_features: dict[str, Annotated[tuple[Name | FeatureId, ...], Meta(min_length=1)]] = {}
    encode_compact: bool = False
    encode_version_dir: str = ""


def read_options(version_dir: Path) -> dict[str, Any]:
    """Return ``converter_options`` of ``navi.toml`` in a model's directory, overlaid by those in its version's.

    Raises
    ------
    ConfigError
        A file cannot be read, or is no TOML.
    """
    options: dict[str, Any] = {}
    for folder in (version_dir.resolve().parent, version_dir):
        file = folder / _SETTINGS_FILE
        if not file.is_file():
            continue
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8")).get(_TABLE, {})
        except OSError as error:
            raise ConfigError(f"'{file}' cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"'{file}' is no TOML: {error}") from error
        if not isinstance(table, dict):
            raise ConfigError(f"'{file}': {_TABLE}: expected a table, got {type(table).__name__}")
        options.update(table)
    return options
