"""The part of the runtime suite that asks through the host's data plane, as every client does."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from navi_core.contracts.artifact import Artifact
from navi_core.errors import (
    DeadlineExceededError,
    ErrorCode,
    InputNamesError,
    ModelNotFoundError,
    NaviError,
    OutputNamesError,
    SignatureNotFoundError,
    TensorMismatchError,
    VersionNotFoundError,
)
from navi_core.messages import ModelRef
from navi_core.signature import DEFAULT_SIGNATURE, Signature
from navi_core.tensors import DType
from navi_core.testing.hosted import Hosted, hosted
from navi_core.testing.runtime_cases import RuntimeCases
from navi_core.testing.samples import same_bits, sample
from navi_core.types import Array, NamedArrays

__all__ = ["HostCases"]


class HostCases(RuntimeCases):
    """What holds for a model in a host."""

    # --- values ---------------------------------------------------------------------------------------

    def test_host_carries_the_dtype_and_refuses_another(self, dtype: DType, tmp_path: Path) -> None:
        """A tensor of the dtype comes back bit by bit, also without elements; one of another is refused."""
        other = DType.INT32 if dtype is not DType.INT32 else DType.INT64
        rank = self._row_rank()
        row = (3, 4, 2, 1)[: rank - 1]

        async def case(served: Hosted) -> None:
            (name,) = self._signature(served).inputs
            for size in (4, 0, 1):
                array = sample(dtype, (size, *row), seed=1)
                (got,) = (await served.ask({name: array})).values()
                assert same_bits(got, array), f"sent {array!r}, got {got!r}"
            await served.refuses(
                f"{other} for {dtype}", {name: sample(other, (4, *row))}, TensorMismatchError
            )
            array = sample(dtype, (3, *row), seed=2)
            (got,) = (await served.ask({name: array})).values()
            assert same_bits(got, array), f"after a refusal: sent {array!r}, got {got!r}"

        self._in_host(self.identity_model(dtype, rank, tmp_path), case)

    def test_host_answers_zero_one_and_many_rows(self, tmp_path: Path) -> None:
        """Any number of rows in one request, from none to thousands."""

        async def case(served: Hosted) -> None:
            for rows in (1, self.many_rows, 0, 1):
                await self._ask_pair(served, rows, seed=rows + 1)

        self._in_host(self.pair_model(tmp_path), case)

    def test_host_batches_answer_like_single_requests(self, tmp_path: Path) -> None:
        """Requests that are run as one batch get the rows that each gets alone."""

        async def case(served: Hosted) -> None:
            served.gate.shut()
            first = asyncio.create_task(self._ask_pair(served, 1, seed=1))
            await served.gate.arrival()  # the others now queue behind the only run
            others = [
                asyncio.create_task(self._ask_pair(served, seed % 5, seed=seed)) for seed in range(2, 32)
            ]
            await asyncio.sleep(0)
            served.gate.open()
            await asyncio.gather(first, *others)
            if self._signature(served).batchable:
                assert max(served.gate.requests) > 1, "requests that waited together were not run together"

        self._in_host(self.pair_model(tmp_path), case, max_concurrent_runs=1)

    def test_host_answers_many_callers_at_once(self, tmp_path: Path) -> None:
        """Callers side by side each get their own answer."""

        async def caller(served: Hosted, number: int) -> None:
            for step in range(10):
                await self._ask_pair(served, 1 + (number + step) % 5, seed=1000 * number + step)

        async def case(served: Hosted) -> None:
            await asyncio.gather(*(caller(served, number) for number in range(16)))

        self._in_host(self.pair_model(tmp_path), case)

    # --- refusals -------------------------------------------------------------------------------------

    def test_host_refuses_what_does_not_fit(self, tmp_path: Path) -> None:
        """Wrong dtypes, shapes and names are the caller's fault, by name; the request after is right."""

        async def case(served: Hosted) -> None:
            for what, inputs, kind in self._misfits():
                await served.refuses(what, inputs, kind)
                await self._ask_pair(served, 2)

        self._in_host(self.pair_model(tmp_path), case)

    def test_host_refuses_what_is_not_there(self, tmp_path: Path) -> None:
        """Unknown outputs, signatures, versions and models have their own errors."""

        async def case(served: Hosted) -> None:
            good, name = self._pair(2), self.pair_outputs[0]
            for outputs in (("no_such_output",), (name, name)):
                await served.refuses(f"outputs {outputs}", good, OutputNamesError, outputs=outputs)
            await served.refuses("a signature", good, SignatureNotFoundError, signature="no_such_signature")
            absent = ErrorCode.NOT_FOUND
            await served.refuses("a version", good, VersionNotFoundError, absent, version=987_654_321)
            stranger = Hosted(served.host, "no_such_model", served.gate)
            await stranger.refuses("a model", good, ModelNotFoundError, absent)
            await self._ask_pair(served, 2)

        self._in_host(self.pair_model(tmp_path), case)

    def _misfits(self) -> Iterator[tuple[str, NamedArrays, type[NaviError]]]:
        good = self._pair(2)
        first, last = self.pair_inputs[0], self.pair_inputs[-1]
        a = good[last]
        texts = np.full((2, 3), b"1", dtype=object)
        wrong: dict[str, Array] = {
            "float64": a.astype(np.float64),
            "int32": a.astype(np.int32),
            "strings": texts,
            "a width of 4": np.zeros((2, 4), np.float32),
            "no columns": np.zeros((2, 0), np.float32),
            "rank 1": np.zeros(3, np.float32),
            "rank 3": np.zeros((2, 3, 1), np.float32),
            "a scalar": np.float32(1) * np.ones((), np.float32),
        }
        if first != last:
            wrong["more rows than its neighbour"] = np.zeros((3, 3), np.float32)
            yield f"'{first}' alone", {first: good[first]}, InputNamesError
        for what, array in wrong.items():
            yield f"{what} for '{last}'", {**good, last: array}, TensorMismatchError
        yield "no inputs", {}, InputNamesError
        yield "one input more", {**good, "no_such_input": a}, InputNamesError
        rest = {name: array for name, array in good.items() if name != last}
        yield "a misspelt input", {**rest, f"{last}_": a}, InputNamesError

    # --- callers that go, and time that runs out ------------------------------------------------------

    def test_host_survives_a_caller_that_goes_while_its_request_runs(self, tmp_path: Path) -> None:
        """A caller that cancels is let go at once, and the next request is right."""

        async def case(served: Hosted) -> None:
            served.gate.shut()
            running = asyncio.create_task(self._ask_pair(served, 2))
            await served.gate.arrival()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            served.gate.open()
            await self._ask_pair(served, 3)

        self._in_host(self.pair_model(tmp_path), case, max_concurrent_runs=1)

    def test_host_survives_a_caller_that_goes_while_its_request_waits(self, tmp_path: Path) -> None:
        """A request that is cancelled in the queue costs no run; those around it are right."""

        async def case(served: Hosted) -> None:
            served.gate.shut()
            running = asyncio.create_task(self._ask_pair(served, 2))
            await served.gate.arrival()
            waiting = [asyncio.create_task(self._ask_pair(served, 1, seed=seed)) for seed in range(2, 5)]
            await asyncio.sleep(0)
            waiting[1].cancel()
            served.gate.open()
            await asyncio.gather(running, waiting[0], waiting[2])
            assert waiting[1].cancelled()
            assert sum(max(1, number) for number in served.gate.requests) == 3, "a cancelled request was run"
            await self._ask_pair(served, 3)

        self._in_host(self.pair_model(tmp_path), case, max_concurrent_runs=1)

    def test_host_answers_at_the_deadline_and_goes_on(self, tmp_path: Path) -> None:
        """A run that outlives its deadline is answered then, and the next request is right."""

        async def case(served: Hosted) -> None:
            served.gate.shut()
            running = asyncio.create_task(self._ask_pair(served, 2, timeout_s=0.3))
            waiting = asyncio.create_task(self._ask_pair(served, 1, timeout_s=0.3))
            for late in (running, waiting):
                with pytest.raises(DeadlineExceededError):
                    await late
            served.gate.open()
            with pytest.raises(DeadlineExceededError):
                await self._ask_pair(served, 1, timeout_s=0.0)
            await self._ask_pair(served, 3, timeout_s=self.patience_s)

        self._in_host(self.pair_model(tmp_path), case, max_concurrent_runs=1)

    def test_host_survives_cancels_and_deadlines_at_any_time(self, tmp_path: Path) -> None:
        """However callers come and go, those who stay are answered rightly, and nothing hangs."""
        dice = random.Random(20221220)  # noqa: S311 - no secret is made of it

        async def caller(served: Hosted, number: int) -> None:
            pause_s = dice.random() * 0.02
            timeout_s = pause_s if number % 3 == 1 else None
            asked = asyncio.create_task(self._ask_pair(served, 1 + number % 5, number, timeout_s=timeout_s))
            if number % 3 == 2:
                await asyncio.sleep(pause_s)
                asked.cancel()
            try:
                await asked
            except asyncio.CancelledError:
                assert number % 3 == 2, "a request was cancelled by nobody"
            except DeadlineExceededError:
                assert number % 3 == 1, "a request without a deadline was called late"

        async def case(served: Hosted) -> None:
            await asyncio.gather(*(caller(served, number) for number in range(90)))
            await self._ask_pair(served, 3)

        self._in_host(self.pair_model(tmp_path), case)

    # --- the suite's own steps ------------------------------------------------------------------------

    def _in_host(
        self,
        artifact: Artifact,
        case: Callable[[Hosted], Coroutine[Any, Any, None]],
        *,
        max_concurrent_runs: int | None = None,
    ) -> None:
        """Serve an artifact and run a case on the host's loop; nothing may hang."""

        async def serve() -> None:
            runtime, options = self.make_runtime(), self.load_options()
            async with hosted(runtime, options, artifact, max_concurrent_runs=max_concurrent_runs) as served:
                try:
                    await asyncio.wait_for(case(served), self.patience_s)
                except TimeoutError:
                    pytest.fail(f"a request, or what follows it, hangs: no end after {self.patience_s:g} s")

        asyncio.run(serve())

    async def _ask_pair(
        self, served: Hosted, rows: int, seed: int = 1, *, timeout_s: float | None = None
    ) -> None:
        inputs = self._pair(rows, seed=seed + 1)
        self._compare_pair(await served.ask(inputs, timeout_s=timeout_s), inputs)

    @staticmethod
    def _signature(served: Hosted) -> Signature:
        with served.host.plane.acquire(ModelRef(served.model)) as handle:
            return handle.signatures[DEFAULT_SIGNATURE]
