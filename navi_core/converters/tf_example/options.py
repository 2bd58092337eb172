"""What the configuration may say about the converter ``tf_example``."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

__all__ = ["DefaultValue", "FeatureOptions", "TfExampleOptions"]

Scalar: TypeAlias = bool | int | float | str
DefaultValue: TypeAlias = Scalar | tuple[Scalar, ...]

Size: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class FeatureOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said about the feature of one input.

    Attributes
    ----------
    feature
        The feature's name; None: the input's.
    default
        What a row has whose example lacks the feature: one value for all elements, or a value for each, row-major;
        None: the model's own default, or the example is refused.
    dtype
        What the feature holds; None: what the input's dtype asks for. ``int64`` fills an input of floats, too.
    shape
        The shape of a row, where the model leaves more than one size of it open.
    """

    feature: Annotated[str, Meta(min_length=1)] | None = None
    default: DefaultValue | None = None
    dtype: Literal["float32", "int64", "string"] | None = None
    shape: tuple[Size, ...] | None = None


class TfExampleOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[converters.tf_example]``, and ``converter_options`` of a model.

    Attributes
    ----------
    input_name
        What clients call the string input.
    features
        The model's input -> what is said about its feature.
    """

    input_name: Annotated[str, Meta(min_length=1)] = "examples"
    features: dict[str, FeatureOptions] = {}
