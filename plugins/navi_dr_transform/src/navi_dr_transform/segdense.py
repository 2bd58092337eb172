"""Readers of the two mapping files: ``segdense_transform_spec_*.json`` and ``all_config.json``.

Strict as Navi's: a missing key or another type is an error that names the file and the path; keys that
are not listed are ignored. The same rules stand as JSON schemas in ``specs/segdense``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from navi_core import ModelLoadError

__all__ = [
    "AllConfig",
    "ComplexFeature",
    "DensificationTransformSpec",
    "InputFeature",
    "RenamedFeatures",
    "SegDense",
    "read_all_config",
    "read_renamed_features",
    "read_segdense",
]

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_T = TypeVar("_T")


class InputFeature(msgspec.Struct, frozen=True):
    """One feature's place: its tensor (by type) and its column (``index``)."""

    feature_id: Int64
    full_feature_name: str
    feature_type: Int64
    index: Int64
    maybe_exclude: bool
    tag: str
    added_at: Int64


class DefaultValue(msgspec.Struct, frozen=True):
    """A default as text; the home layout has its own (NaN and 0), as Navi."""

    type: str
    value: str


class DenseSpec(msgspec.Struct, frozen=True):
    """One dense tensor's description; the home layout has its own, as Navi."""

    tag: str
    generic_feature_type: Int64
    feature_identifier: str
    fixed_length: Int64
    default_value: DefaultValue
    input_features: list[InputFeature]


class BlobSpec(msgspec.Struct, frozen=True):
    """Like :class:`DenseSpec`, with items of any form."""

    tag: str
    generic_feature_type: Int64
    feature_identifier: str
    fixed_length: Int64
    default_value: DefaultValue
    input_features: list[Any]


class DensificationTransformSpec(msgspec.Struct, frozen=True):
    """The dense tensors' descriptions; ``string`` may be anything."""

    discrete: DenseSpec
    cont: DenseSpec
    binary: DenseSpec
    string: Any
    blob: BlobSpec


class IdentityFeature(msgspec.Struct, frozen=True):
    """A feature that is passed through; the home layout has none."""

    feature_id: Int64
    full_feature_name: str
    feature_type: Int64


class ComplexFeature(msgspec.Struct, frozen=True):
    """A feature that is a tensor of its own: the embeddings are found here by name."""

    feature_id: Int64
    full_feature_name: str
    feature_type: Int64
    index: Int64
    maybe_exclude: bool
    tag: str
    added_at: Int64
    tensor_data_type: Int64 | None = None
    tensor_shape: list[Int64] = []


class SegDense(msgspec.Struct, frozen=True):
    """The segdense file. ``input_features_map`` alone maps ids to columns."""

    common_prefix: str
    densification_transform_spec: DensificationTransformSpec
    identity_transform_spec: list[IdentityFeature]
    complex_feature_type_transform_spec: list[ComplexFeature]
    input_features_map: dict[str, InputFeature]


class _SegDenseFile(msgspec.Struct, frozen=True):
    """The file as it lies: the map's values are read one by one, so that errors name their keys."""

    common_prefix: str
    densification_transform_spec: DensificationTransformSpec
    identity_transform_spec: list[IdentityFeature]
    complex_feature_type_transform_spec: list[ComplexFeature]
    input_features_map: dict[str, msgspec.Raw]


class RenamedFeatures(msgspec.Struct, frozen=True):
    """The full names behind the model's inputs; only the three embeddings are used."""

    continuous: str
    binary: str
    discrete: str
    author_embedding: str
    user_embedding: str
    user_eng_embedding: str
    meta__author_id: str
    meta__user_id: str
    meta__tweet_id: str


class SegDenseSchema(msgspec.Struct, frozen=True):
    """``train_data.seg_dense_schema``."""

    renamed_features: RenamedFeatures


class TrainData(msgspec.Struct, frozen=True):
    """``train_data``."""

    seg_dense_schema: SegDenseSchema


class AllConfig(msgspec.Struct, frozen=True):
    """The training configuration; only ``train_data.seg_dense_schema.renamed_features`` is read."""

    train_data: TrainData


class _AnySchema(msgspec.Struct, frozen=True):
    renamed_features: dict[str, str] = {}


class _AnyTrainData(msgspec.Struct, frozen=True):
    seg_dense_schema: _AnySchema = _AnySchema()


class _AnyConfig(msgspec.Struct, frozen=True):
    """An ``all_config.json`` of any model: whatever names it has, or none."""

    train_data: _AnyTrainData = _AnyTrainData()


def read_segdense(content: bytes, where: str) -> SegDense:
    """Read a segdense file.

    Parameters
    ----------
    content
        The file's bytes, JSON.
    where
        The file's place, for error texts.

    Raises
    ------
    ModelLoadError
        It is no JSON, or not of the expected form; names file and path.
    """
    file = _decode(content, _SegDenseFile, where, "$")
    decoder = msgspec.json.Decoder(Annotated[list[InputFeature], msgspec.Meta(min_length=1, max_length=1)])
    features = {}
    for key, raw in file.input_features_map.items():
        try:
            features[key] = decoder.decode(raw)[0]
        except msgspec.ValidationError as error:
            raise _refusal(error, where, f"$.input_features_map[{key!r}]") from None
    return SegDense(
        common_prefix=file.common_prefix,
        densification_transform_spec=file.densification_transform_spec,
        identity_transform_spec=file.identity_transform_spec,
        complex_feature_type_transform_spec=file.complex_feature_type_transform_spec,
        input_features_map=features,
    )


def read_all_config(content: bytes, where: str) -> AllConfig:
    """Read an ``all_config.json``.

    Parameters
    ----------
    content
        The file's bytes, JSON.
    where
        The file's place, for error texts.

    Raises
    ------
    ModelLoadError
        It is no JSON, or not of the expected form; names file and path.
    """
    return _decode(content, AllConfig, where, "$")


def read_renamed_features(content: bytes, where: str) -> Mapping[str, str]:
    """Read the renamed features of any model's ``all_config.json``: new name -> name in the segdense file.

    Parameters
    ----------
    content
        The file's bytes, JSON.
    where
        The file's place, for error texts.

    Raises
    ------
    ModelLoadError
        It is no JSON, or not of the expected form; names file and path.
    """
    return _decode(content, _AnyConfig, where, "$").train_data.seg_dense_schema.renamed_features


def _decode(content: bytes, kind: type[_T], where: str, path: str) -> _T:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise _refusal(error, where, path) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelLoadError(f"{where}: expected JSON, got something else: {error}") from None


def _refusal(error: msgspec.ValidationError, where: str, path: str) -> ModelLoadError:
    """Word a validation error: file, then path, then what was expected and what came."""
    text, _, inner = str(error).partition(" - at `")
    if inner:
        path += inner.removesuffix("`").removeprefix("$")
    return ModelLoadError(f"{where}: {path}: {text[:1].lower()}{text[1:].replace('`', '')}")
