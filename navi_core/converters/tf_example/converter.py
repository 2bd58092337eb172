"""The converter ``tf_example``: serialized ``tensorflow.Example`` messages -> the model's own inputs.

Each example is one row. An input is filled from the feature of its name, by TensorFlow's rules for
``FixedLenFeature``: exactly the row's number of values, or none and a default. It needs protobuf, and no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from msgspec import Struct

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.converter import BoundConverter, Converter, Plan
from navi_core.converters.tf_example.binding import BindingError, columns_of
from navi_core.converters.tf_example.columns import Column
from navi_core.converters.tf_example.encoder import TfExampleEncoder
from navi_core.converters.tf_example.options import TfExampleOptions
from navi_core.errors import DecodeError, ModelLoadError
from navi_core.signature import Signature, TensorSpec
from navi_core.tensors import DType, string_array
from navi_core.types import Array, NamedArrays
from navi_core.wire.example_features import features_of

__all__ = ["BoundTfExampleConverter", "TfExampleConverter"]


class TfExampleConverter(Converter):
    """tensorflow.Example -> the model's inputs; used where the configuration names it."""

    name: ClassVar[str] = "tf_example"
    options_type: ClassVar[type[Struct]] = TfExampleOptions

    def bind(self, artifact: Artifact, signature: Signature, options: Any) -> BoundTfExampleConverter:
        """Find a feature for every input; raises ModelLoadError."""
        said = options or TfExampleOptions()
        try:
            columns = columns_of(signature, said.features)
        except BindingError as error:
            msg = f"converter '{self.name}', version {artifact.version} of model '{artifact.name}': {error}"
            raise ModelLoadError(msg, model=artifact.name, version=artifact.version) from error
        features_of(b"")  # protobuf is imported, and the message classes are made, before anybody waits
        return BoundTfExampleConverter(columns, signature, said.input_name)

    def encoder(self, options: Any) -> TfExampleEncoder:
        """Return what writes examples: a column is the feature of its name."""
        said = options or TfExampleOptions()
        features = {each.feature or name: each.dtype for name, each in said.features.items()}
        return TfExampleEncoder(
            said.input_name, {name: dtype for name, dtype in features.items() if dtype is not None}
        )


class BoundTfExampleConverter(BoundConverter):
    """The converter for one loaded version. Thread-safe: nothing changes after construction.

    Parameters
    ----------
    columns
        The inputs that examples fill.
    signature
        The model's own.
    input_name
        What clients call the string input.
    """

    def __init__(self, columns: Sequence[Column], signature: Signature, input_name: str) -> None:
        self._columns = tuple(columns)
        examples = TensorSpec(name=input_name, dtype=DType.STRING, shape=(None,))
        self.signature = replace(signature, inputs={input_name: examples}, source="converter")

    def plan(self, inputs: NamedArrays) -> Plan:
        """Find the features of every example, and count their values."""
        (strings,) = inputs.values()
        examples: list[bytes] = string_array(strings).reshape(-1).tolist()
        cells: list[list[Any]] = [[] for _ in self._columns]
        counts = [column.num_values for column in self._columns]
        for row, example in enumerate(examples):
            try:
                features = features_of(example)
            except DecodeError as error:
                raise DecodeError(error.message, row=row) from None
            for index, column in enumerate(self._columns):
                try:
                    cell, count = column.read(features.get(column.feature))
                    if count != counts[index]:
                        counts[index] = _agreed(counts[index], count)
                except DecodeError as error:
                    msg = f"feature '{column.feature}': {error.message}"
                    raise DecodeError(msg, row=row, tensor=column.name) from None
                cells[index].append(cell)
        num_rows = len(examples)
        sizes = [count or 0 for count in counts]
        return Plan(
            num_rows=num_rows,
            row_ends=np.arange(1, num_rows + 1, dtype=np.int64),
            size_bytes=sum(
                column.size_bytes(own, size)
                for column, own, size in zip(self._columns, cells, sizes, strict=True)
            ),
            rows={column.name: column.row(size) for column, size in zip(self._columns, sizes, strict=True)},
            payload=cells,
        )

    def fill(self, plan: Plan, out: Mapping[str, Array]) -> None:
        """Decode the values of every example into rows."""
        for column, cells in zip(self._columns, plan.payload, strict=True):
            try:
                column.fill(cells, out[column.name])
            except DecodeError as error:
                raise _named(error, column) from None


def _agreed(so_far: int | None, count: int) -> int:
    """Return how many values the rows of one request have: all the same number."""
    if so_far is not None:
        raise DecodeError(f"expected {so_far} values as in the examples before, got {count}")
    return count


def _named(error: DecodeError, column: Column) -> DecodeError:
    named = DecodeError(f"feature '{column.feature}': {error.message}", tensor=column.name)
    named.row = error.row
    return named
