"""Registers the converter ``csv``: each string of the input ``lines`` holds numbers, one row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from navi_core import (
    Array,
    Artifact,
    BoundConverter,
    Converter,
    DecodeError,
    DType,
    ModelLoadError,
    NamedArrays,
    Plan,
    RowSpec,
    Signature,
    TensorSpec,
    hookimpl,
)


class CsvBound(BoundConverter):
    """Bound to a model with one numeric input of known row shape."""

    def __init__(self, signature: Signature) -> None:
        target = next(iter(signature.inputs.values()), None)
        if target is None or len(signature.inputs) != 1 or target.shape is None or len(target.shape) != 1:
            raise ModelLoadError(
                f"converter 'csv': expected one input of shape (rows,), got {signature.inputs}"
            )
        self._target = target.name
        lines = TensorSpec(name="lines", dtype=DType.STRING, shape=("payloads",))
        self.signature = replace(signature, inputs={"lines": lines}, source="converter")

    def plan(self, inputs: NamedArrays) -> Plan:
        """Count the numbers of each line."""
        lines: list[bytes] = list(inputs["lines"])
        counts = [line.count(b",") + 1 if line else 0 for line in lines]
        num_rows = sum(counts)
        return Plan(
            num_rows=num_rows,
            row_ends=np.cumsum(counts, dtype=np.int64),
            size_bytes=4 * num_rows,
            rows={self._target: RowSpec(DType.FLOAT32, ())},
            payload=lines,
        )

    def fill(self, plan: Plan, out: Mapping[str, Array]) -> None:
        """Parse every number."""
        row = 0
        for index, line in enumerate(plan.payload):
            offset = 0
            for text in line.split(b",") if line else ():
                try:
                    out[self._target][row] = float(text)
                except ValueError:
                    raise DecodeError("expected a number", offset=offset, row=index) from None
                row += 1
                offset += len(text) + 1


class CsvConverter(Converter):
    """Knows lines of comma-separated numbers."""

    name = "csv"
    aliases = ("comma",)

    def bind(self, artifact: Artifact, signature: Signature, options: Any) -> BoundConverter:
        """Bind to a model's signature."""
        del artifact, options
        return CsvBound(signature)


@hookimpl
def navi_register_converters() -> Sequence[type[Converter]]:
    """Register the converter."""
    return [CsvConverter]
