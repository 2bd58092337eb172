"""A bound converter in an in-process host, in front of a model that remembers what it is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, TypeAlias

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.converter import BoundConverter, Converter, RowSpec
from navi_core.contracts.runtime import LoadOptions, RunContext, Runtime, Servable
from navi_core.signature import DEFAULT_SIGNATURE, Signature, TensorSpec, zero_rows
from navi_core.testing.hosted import Hosted, hosted
from navi_core.types import Array, NamedArrays

__all__ = ["Digest", "Recorder", "converter_in_host", "digest"]

Digest: TypeAlias = tuple[Any, ...]


def digest(tensors: Mapping[str, Array]) -> Digest:
    """Return named tensors as a value that can be counted: equal bits are equal."""
    return tuple(
        (name, str(array.dtype), array.shape, tuple(array.flat) if array.dtype == object else array.tobytes())
        for name, array in sorted(tensors.items())
    )


class Recorder(Servable):
    """A model that answers with zeros.

    Attributes
    ----------
    seen
        What each request of each run was filled with, and how often.
    """

    def __init__(self, rows: Mapping[str, RowSpec], outputs: Mapping[str, TensorSpec]) -> None:
        inputs = {
            name: TensorSpec(name=name, dtype=row.dtype, shape=(None,) * (1 + len(row.shape)))
            for name, row in rows.items()
        }
        self.signatures = {DEFAULT_SIGNATURE: Signature(inputs=inputs, outputs=dict(outputs), batchable=True)}
        self.seen: Counter[Digest] = Counter()

    def run(
        self, signature: str, inputs: NamedArrays, outputs: Sequence[str], ctx: RunContext
    ) -> NamedArrays:
        """Remember, and answer."""
        start = 0
        for end in ctx.row_ends.tolist():
            self.seen[digest({name: array[start:end] for name, array in inputs.items()})] += 1
            start = end
        specs = self.signatures[signature].outputs
        num_rows = int(ctx.row_ends[-1]) if len(ctx.row_ends) else 0
        return {name: zero_rows(specs[name], num_rows) for name in outputs}


@asynccontextmanager
async def converter_in_host(
    bound: BoundConverter, rows: Mapping[str, RowSpec]
) -> AsyncIterator[tuple[Hosted, Recorder]]:
    """Serve a model behind a bound converter, one run at a time.

    Parameters
    ----------
    bound
        The converter.
    rows
        What it fills: the model's inputs.
    """
    recorder = Recorder(rows, bound.signature.outputs)

    class RecorderRuntime(Runtime):
        name: ClassVar[str] = "recorder"

        def recognise(self, artifact: Artifact) -> str | None:
            del artifact
            return "recorder"

        def load(self, artifact: Artifact, options: LoadOptions) -> Servable:
            del artifact, options
            return recorder

    class Given(Converter):
        name: ClassVar[str] = "given"

        def recognise(self, artifact: Artifact) -> bool:
            del artifact
            return True

        def bind(self, artifact: Artifact, signature: Signature, options: Any) -> BoundConverter:
            del artifact, signature, options
            return bound

    artifact = Artifact(name="recorder", version=1, files={})
    serving = hosted(RecorderRuntime(), LoadOptions(), artifact, converters=[Given], max_concurrent_runs=1)
    async with serving as served:
        recorder.seen.clear()  # the warm-up's
        yield served, recorder
