"""What the cases of the runtime suite have in common: what a subclass gives, and the steps of a case."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.runtime import LoadOptions, RunContext, Runtime, Servable
from navi_core.signature import DEFAULT_SIGNATURE, Signature, check_inputs, check_tensor
from navi_core.tensors import DType
from navi_core.testing.run_context import SimpleRunContext
from navi_core.testing.samples import same_bits, sample
from navi_core.types import Array, NamedArrays

__all__ = ["RuntimeCases", "only_input"]


class RuntimeCases:
    """Base of the case classes; its attributes are described where they are inherited."""

    plugin_module: ClassVar[str] = ""
    heavy_modules: ClassVar[Sequence[str]] = ("onnxruntime", "tensorflow", "torch", "tract", "jax")
    dtypes: ClassVar[Sequence[DType]] = ()
    ranks: ClassVar[Sequence[int]] = (0, 1, 3)
    pair_inputs: ClassVar[tuple[str, ...]] = ("a", "b")
    pair_outputs: ClassVar[tuple[str, ...]] = ("sum", "difference")
    rounds: ClassVar[int] = 50
    many_rows: ClassVar[int] = 3000
    rtol: ClassVar[float] = 1e-6
    atol: ClassVar[float] = 1e-6
    patience_s: ClassVar[float] = 60.0

    # --- to override ------------------------------------------------------------------------------

    def make_runtime(self) -> Runtime:
        """Return a new runtime."""
        raise NotImplementedError(self._what("make_runtime"))

    def identity_model(self, dtype: DType, rank: int, folder: Path) -> Artifact:
        """Return a model whose only output is its only input; every dimension is dynamic."""
        raise NotImplementedError(self._what("identity_model"))

    def pair_model(self, folder: Path) -> Artifact:
        """Return a batchable model: two float32 inputs (any, 3), their sum and their difference.

        Where the framework has no such model: any batchable one with float32 inputs (any, 3), and
        ``pair_inputs``, ``pair_outputs`` and :meth:`pair_answer` to match.
        """
        raise NotImplementedError(self._what("pair_model"))

    def pair_answer(self, *inputs: Array) -> Sequence[Array]:
        """Return what :meth:`pair_model` answers; default: the sum and the difference.

        Override it together with the model, and ask the framework itself.

        Parameters
        ----------
        inputs
            A (rows, 3) float32 array for each of ``pair_inputs``.

        Returns
        -------
        outputs
            An array for each of ``pair_outputs``, of the dtype that the signature says.
        """
        a, b = inputs
        return a + b, a - b

    def fixed_model(self, folder: Path) -> Artifact:
        """Return a model of fixed shape: one float32 input (2, 3), one output (2, 3), twice the input."""
        raise NotImplementedError(self._what("fixed_model"))

    def corrupt_model(self, folder: Path) -> Artifact:
        """Return an artifact that is recognised and cannot be loaded."""
        raise NotImplementedError(self._what("corrupt_model"))

    def load_options(self) -> LoadOptions:
        """Return what models are loaded with. Default: the runtime's own defaults."""
        options_type = type(self.make_runtime()).options_type
        return LoadOptions(options=None if options_type is None else options_type())

    def _what(self, method: str) -> str:
        return f"{type(self).__name__} must override {method}()"

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one case for each dtype and rank that the runtime has."""
        if "dtype" in metafunc.fixturenames:
            metafunc.parametrize("dtype", self.dtypes, ids=str)
        if "rank" in metafunc.fixturenames:
            metafunc.parametrize("rank", self.ranks, ids=lambda rank: f"rank{rank}")
        if "row_rank" in metafunc.fixturenames:  # a scalar has no rows
            metafunc.parametrize(
                "row_rank", [rank for rank in self.ranks if rank], ids=lambda rank: f"rank{rank}"
            )

    # --- the suite's own steps --------------------------------------------------------------------

    @contextmanager
    def _loaded(self, artifact: Artifact, options: LoadOptions | None = None) -> Iterator[Servable]:
        servable = self.make_runtime().load(artifact, options or self.load_options())
        try:
            yield servable
        finally:
            servable.close()

    def _run(
        self,
        servable: Servable,
        inputs: NamedArrays,
        outputs: Sequence[str] = (),
        *,
        check: bool = True,
        ctx: RunContext | None = None,
    ) -> Mapping[str, Array]:
        """Run as the host does and check the answer against the signature."""
        signature = servable.signatures[DEFAULT_SIGNATURE]
        if check:
            check_inputs(signature, inputs)
        names = tuple(outputs) or tuple(signature.outputs)
        answer = servable.run(DEFAULT_SIGNATURE, inputs, names, ctx or SimpleRunContext())
        got: NamedArrays = asyncio.run(_awaited(answer)) if inspect.isawaitable(answer) else answer
        assert set(got) == set(names), f"asked for {names}, got {tuple(got)}"
        for name, array in got.items():
            assert isinstance(array, np.ndarray), name
            check_tensor(signature.outputs[name], array, role="output")
        return got

    def _check_identity(self, servable: Servable, array: Array) -> None:
        (got,) = self._run(servable, only_input(servable, array)).values()
        assert same_bits(got, array), f"sent {array!r}, got {got!r}"

    def _pair(self, num_rows: int, seed: int = 1) -> dict[str, Array]:
        """Return a request for the pair model: (num_rows, 3) float32 each."""
        count = len(self.pair_inputs)
        return {
            name: sample(DType.FLOAT32, (num_rows, 3), seed=count * seed + index)
            for index, name in enumerate(self.pair_inputs, start=1)
        }

    def _check_pair(
        self,
        servable: Servable,
        inputs: NamedArrays,
        outputs: Sequence[str] = (),
        *,
        ctx: RunContext | None = None,
    ) -> None:
        self._compare_pair(self._run(servable, inputs, outputs, ctx=ctx), inputs)

    def _compare_pair(self, got: Mapping[str, Array], inputs: NamedArrays, hint: str = "") -> None:
        """Compare the outputs that were asked for with the right ones."""
        want = self._pair_answer(inputs)
        rows = len(inputs[self.pair_inputs[0]])
        for name, array in got.items():
            np.testing.assert_allclose(
                array,
                want[name],
                rtol=self.rtol,
                atol=self.atol,
                err_msg=f"'{name}' of {rows} rows is wrong{hint}",
            )

    def _pair_answer(self, inputs: NamedArrays) -> dict[str, Array]:
        answer = self.pair_answer(*(inputs[name] for name in self.pair_inputs))
        return dict(zip(self.pair_outputs, answer, strict=True))

    def _row_rank(self) -> int:
        """Return the least rank of identity models that has rows."""
        return min(rank for rank in self.ranks if rank)


async def _awaited(answer: object) -> NamedArrays:
    return await answer  # type: ignore[misc, no-any-return]  # the caller asked inspect.isawaitable


def only_input(servable: Servable, array: Array) -> dict[str, Array]:
    """Return an array under the name of a servable's only input."""
    signature: Signature = servable.signatures[DEFAULT_SIGNATURE]
    (name,) = signature.inputs
    return {name: array}
