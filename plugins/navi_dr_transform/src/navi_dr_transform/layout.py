"""Layouts: which dense tensors a request becomes, where they come from, and what stands where nothing came."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from navi_core import DType

__all__ = [
    "DTYPES",
    "HOME",
    "HOME_EMBEDDINGS",
    "MAX_WIDTH",
    "SPARSE",
    "Default",
    "HomeTensor",
    "Layout",
    "LayoutTensor",
    "Source",
    "usual_default",
]

MAX_WIDTH: Final = 2**24
"""The most columns that a tensor may have; beyond it is a mistake, not a model."""

Default: TypeAlias = float | int | bytes
"""What stands in a column where nothing came: a number, or bytes in tensors of strings."""


class Source(IntEnum):
    """Where a feature stands on the wire, numbered as the fields of a DataRecord (``specs/thrift/data.thrift``)."""

    BINARY = 1
    CONTINUOUS = 2
    DISCRETE = 3
    STRING = 4
    SPARSE_BINARY = 5
    SPARSE_CONTINUOUS = 6
    BLOB = 7
    TENSOR = 8
    """``tensors`` and ``sparseTensors`` (field 9) alike: one feature is a whole row."""


_COUNTS: Final = (DType.INT64, DType.INT32, DType.UINT8, DType.BOOL, DType.FLOAT32, DType.FLOAT64)

DTYPES: Final[Mapping[Source, tuple[DType, ...]]] = {
    Source.BINARY: _COUNTS,
    Source.CONTINUOUS: (DType.FLOAT32, DType.FLOAT64),
    Source.DISCRETE: (DType.INT64, DType.INT32, DType.FLOAT32, DType.FLOAT64),
    Source.STRING: (DType.STRING,),
    Source.SPARSE_BINARY: _COUNTS,
    Source.SPARSE_CONTINUOUS: (DType.FLOAT32, DType.FLOAT64),
    Source.BLOB: (DType.STRING,),
    Source.TENSOR: (DType.FLOAT32, DType.FLOAT64, DType.INT64, DType.INT32),
}
"""Source -> element types that its tensors may have, the usual one first."""

SPARSE: Final = frozenset({Source.SPARSE_BINARY, Source.SPARSE_CONTINUOUS})
"""Sources whose features hold many values by category: a column is one category of one feature."""


def usual_default(source: Source) -> Default:
    """Return what stands where nothing came, unless a layout says otherwise: NaN for continuous features, as in Navi."""
    if source is Source.CONTINUOUS:
        return math.nan
    return b"" if DTYPES[source] == (DType.STRING,) else 0


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
        Columns, where neither the model nor the options say otherwise; 0: they have to.
    source
        The part of a DataRecord that fills it.
    default
        What stands where nothing came.
    """

    name: str
    dtype: DType
    width: int
    source: Source
    default: Default = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """A list of tensors, and the files that map features to their columns.

    Parameters
    ----------
    name
        The word used in configuration and errors.
    tensors
        In the order in which they are numbered; several may have one source.
    positions
        Number of model inputs -> indices of their tensors in order, for models that use other names.
    segdense_file, all_config_file
        Names of the mapping files in a version's directory; empty: it needs none.
    """

    name: str
    tensors: tuple[LayoutTensor, ...]
    positions: Mapping[int, tuple[int, ...]]
    segdense_file: str
    all_config_file: str

    def index(self, name: str) -> int | None:
        """Return the index of the tensor of that name; None when there is none."""
        return next((index for index, tensor in enumerate(self.tensors) if tensor.name == name), None)


class HomeTensor(IntEnum):
    """The indices of the home layout's tensors, numbered as in Navi's feature map."""

    CONTINUOUS = 0
    BINARY = 1
    DISCRETE = 2
    USER_EMBEDDING = 3
    USER_ENG_EMBEDDING = 4
    AUTHOR_EMBEDDING = 5


HOME_EMBEDDINGS: Final = (
    HomeTensor.USER_EMBEDDING,
    HomeTensor.USER_ENG_EMBEDDING,
    HomeTensor.AUTHOR_EMBEDDING,
)

HOME: Final = Layout(
    name="home",
    tensors=(
        LayoutTensor("continuous", DType.FLOAT32, 5293, Source.CONTINUOUS, math.nan),
        LayoutTensor("binary", DType.INT64, 149, Source.BINARY),
        LayoutTensor("discrete", DType.INT64, 320, Source.DISCRETE),
        LayoutTensor("user_embedding", DType.FLOAT32, 200, Source.TENSOR),
        LayoutTensor("user_eng_embedding", DType.FLOAT32, 200, Source.TENSOR),
        LayoutTensor("author_embedding", DType.FLOAT32, 200, Source.TENSOR),
    ),
    positions={
        # Navi feeds five; the discrete tensor, which it builds but never sends, is third of six
        5: tuple(index for index in HomeTensor if index is not HomeTensor.DISCRETE),
        6: tuple(HomeTensor),
    },
    segdense_file="segdense_transform_spec_home_recap_2022.json",
    all_config_file="all_config.json",
)
"""The layout of Twitter's home-timeline ranking model; widths are hard-coded in Navi's dr_transform 0.1.0."""
