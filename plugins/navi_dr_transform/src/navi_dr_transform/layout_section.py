"""The layout section of a model's configuration: tensors and their features, written by hand.

Records only, and what they mean by themselves; ``written_layout`` makes a layout of them.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from navi_dr_transform.layout import MAX_WIDTH

__all__ = ["FeatureEntry", "FeatureId", "LayoutSection", "Name", "TensorSection"]

Name: TypeAlias = Annotated[str, Meta(min_length=1)]
FeatureId: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Column: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_WIDTH - 1)]


class FeatureEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One feature's column.

    Attributes
    ----------
    name, id
        Its full name, or its id: one of the two.
    column
        Its column; where it is left out, the one after the feature before it.
    category
        For sparse features: the key inside the feature that goes to this column.
    """

    name: Name | None = None
    id: FeatureId | None = None
    column: Column | None = None
    category: str | None = None


class TensorSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tensor: a new one, or another version of one that ``base`` has.

    Attributes
    ----------
    name
        What the model's input is called.
    source
        Which part of a record fills it.
    dtype
        Element type; where it is left out, the source's usual one.
    width
        Columns; where it is left out, as many as the features need.
    default
        What stands where nothing came; where it is left out, NaN for continuous features, else 0 or nothing.
    feature
        The one feature that fills it, by full name or id: the tensor's, or that of ``categories``.
    features
        The features by column: full names, ids, or tables that say more.
    categories
        For one sparse ``feature``: its categories by column.
    """

    name: Name
    source: (
        Literal[
            "binary",
            "continuous",
            "discrete",
            "string",
            "sparse_binary",
            "sparse_continuous",
            "blob",
            "tensor",
        ]
        | None
    ) = None
    dtype: Literal["float32", "float64", "int64", "int32", "uint8", "bool", "string"] | None = None
    width: Annotated[int, Meta(ge=1, le=MAX_WIDTH)] | None = None
    default: bool | int | float | str | None = None
    feature: Name | FeatureId | None = None
    features: tuple[Name | FeatureId | FeatureEntry, ...] | None = None
    categories: tuple[str, ...] | None = None


class LayoutSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[converter_options.layout]``.

    Attributes
    ----------
    base
        The layout it starts from: ``home``, ``segdense`` (what the segdense file describes), or ``none``.
    rename
        Name of one of the base's tensors -> its new name.
    tensors
        More tensors; one that has the name of a tensor of the base changes that.
    order
        Tensors' names in the order of the model's inputs, for models that use other names.
    """

    base: Literal["none", "home", "segdense"] = "none"
    rename: dict[str, Name] = {}
    tensors: tuple[TensorSection, ...] = ()
    order: tuple[str, ...] = ()
