"""Layouts: which dense tensors a request becomes, how wide they are, and what stands where nothing came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from navi_core import DType

__all__ = ["EMBEDDINGS", "HOME", "LAYOUTS", "Kind", "Layout", "LayoutTensor"]


class Kind(IntEnum):
    """The tensors of a layout, numbered as in Navi's feature map."""

    CONTINUOUS = 0
    BINARY = 1
    DISCRETE = 2
    USER_EMBEDDING = 3
    USER_ENG_EMBEDDING = 4
    AUTHOR_EMBEDDING = 5


EMBEDDINGS: Final = (Kind.USER_EMBEDDING, Kind.USER_ENG_EMBEDDING, Kind.AUTHOR_EMBEDDING)


@dataclass(frozen=True, slots=True)
class LayoutTensor:
    """One dense tensor, (rows, width).

    Parameters
    ----------
    name
        What a model's input is called to be bound to it.
    dtype
        Element type.
    width
        Columns, where neither the model nor the options say otherwise.
    """

    name: str
    dtype: DType
    width: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A set of tensors, and the files that map features to their columns.

    Parameters
    ----------
    name
        The word used in configuration.
    tensors
        By kind, every kind.
    positions
        Number of model inputs -> their kinds in order, for models that use other names.
    segdense_file, all_config_file
        Names of the mapping files in a version's directory.
    """

    name: str
    tensors: Mapping[Kind, LayoutTensor]
    positions: Mapping[int, tuple[Kind, ...]]
    segdense_file: str
    all_config_file: str

    def kind(self, name: str) -> Kind | None:
        """Return the kind of the tensor of that name; None when there is none."""
        return next((kind for kind, tensor in self.tensors.items() if tensor.name == name), None)


HOME: Final = Layout(
    name="home",
    tensors={
        Kind.CONTINUOUS: LayoutTensor("continuous", DType.FLOAT32, 5293),
        Kind.BINARY: LayoutTensor("binary", DType.INT64, 149),
        Kind.DISCRETE: LayoutTensor("discrete", DType.INT64, 320),
        Kind.USER_EMBEDDING: LayoutTensor("user_embedding", DType.FLOAT32, 200),
        Kind.USER_ENG_EMBEDDING: LayoutTensor("user_eng_embedding", DType.FLOAT32, 200),
        Kind.AUTHOR_EMBEDDING: LayoutTensor("author_embedding", DType.FLOAT32, 200),
    },
    positions={
        # Navi feeds five; the discrete tensor, which it builds but never sends, is third of six
        5: (Kind.CONTINUOUS, Kind.BINARY, *EMBEDDINGS),
        6: (Kind.CONTINUOUS, Kind.BINARY, Kind.DISCRETE, *EMBEDDINGS),
    },
    segdense_file="segdense_transform_spec_home_recap_2022.json",
    all_config_file="all_config.json",
)
"""The layout of Twitter's home-timeline ranking model; widths are hard-coded in Navi's dr_transform 0.1.0."""

LAYOUTS: Final[Mapping[str, Layout]] = {HOME.name: HOME}
