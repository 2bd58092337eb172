"""The part of the converter suite that asks through the host's data plane, as every client does."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from navi_core.contracts.converter import BoundConverter
from navi_core.errors import DecodeError, InputNamesError, NaviError, TensorMismatchError
from navi_core.tensors import DType
from navi_core.testing.converter_buffers import fill_alone, payloads_of, with_payload
from navi_core.testing.converter_cases import ConverterCases
from navi_core.testing.converter_host import Recorder, converter_in_host, digest
from navi_core.testing.hosted import Hosted
from navi_core.testing.samples import sample
from navi_core.types import NamedArrays

__all__ = ["ConverterHostCases"]


class ConverterHostCases(ConverterCases):
    """What holds for a converter in a host."""

    patience_s: ClassVar[float] = 60.0

    def test_host_gives_the_model_what_is_filled(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """A request through the data plane fills what it fills alone."""

        async def case(served: Hosted, model: Recorder) -> None:
            for inputs in good_inputs:
                await served.ask(inputs)
            assert model.seen == _alone(bound, good_inputs), "the model got other rows than fill writes"

        self._in_host(bound, good_inputs, case)

    def test_host_batches_fill_like_single_requests(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """Requests that are run as one batch, with one among them that is cancelled, get their own rows."""

        async def case(served: Hosted, model: Recorder) -> None:
            served.gate.shut()
            first = asyncio.create_task(served.ask(good_inputs[0]))
            await served.gate.arrival()  # the others now queue behind the only run
            others = [asyncio.create_task(served.ask(inputs)) for inputs in [*good_inputs] * 4]
            gone = asyncio.create_task(served.ask(good_inputs[0]))
            await asyncio.sleep(0)
            gone.cancel()
            served.gate.open()
            await asyncio.gather(first, *others)
            assert gone.cancelled()
            expected = _alone(bound, [good_inputs[0], *[*good_inputs] * 4])
            assert model.seen == expected, "rows of a batch are not those of its requests filled alone"

        self._in_host(bound, good_inputs, case)

    def test_host_refuses_bad_payloads_beside_good_ones(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """A malformed payload is the caller's fault, and costs the requests around it nothing."""
        expected = _alone(bound, [*good_inputs] * 2)  # before anything is refused
        bad = [
            with_payload(inputs, name, index, payload[: len(payload) // 2])
            for inputs in good_inputs
            for name, index, payload in payloads_of(inputs)
            if payload
        ]
        bad = [inputs for inputs in bad if _is_refused(bound, inputs)]
        if not bad:
            pytest.skip("half a payload is refused nowhere")

        async def case(served: Hosted, model: Recorder) -> None:
            await asyncio.gather(
                *(served.ask(inputs) for inputs in good_inputs),
                *(served.refuses("half a payload", inputs, DecodeError) for inputs in bad),
                *(served.ask(inputs) for inputs in good_inputs),
            )
            missing = expected - model.seen
            assert not missing, "beside bad requests, good ones are filled wrongly"

        self._in_host(bound, good_inputs, case)

    def test_host_refuses_what_does_not_fit(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """Wrong dtypes, ranks and names are the caller's fault, by name; the request after is right."""
        good = good_inputs[0]
        [(filled, _)] = _alone(bound, [good]).items()

        async def case(served: Hosted, model: Recorder) -> None:
            for what, inputs, kind in _misfits(bound, good):
                if kind is None:
                    await served.answers_or_refuses(what, inputs)
                else:
                    await served.refuses(what, inputs, kind)
                model.seen.clear()
                await served.ask(good)
                assert model.seen == {filled: 1}, f"after {what}, a good request is filled wrongly"

        self._in_host(bound, good_inputs, case)

    def _in_host(
        self,
        bound: BoundConverter,
        good_inputs: Sequence[NamedArrays],
        case: Callable[[Hosted, Recorder], Coroutine[Any, Any, None]],
    ) -> None:
        """Serve a model behind the converter and run a case on the host's loop; nothing may hang."""

        async def serve() -> None:
            async with converter_in_host(bound, bound.plan(good_inputs[0]).rows) as (served, model):
                try:
                    await asyncio.wait_for(case(served, model), self.patience_s)
                except TimeoutError:
                    pytest.fail(f"a request, or what follows it, hangs: no end after {self.patience_s:g} s")

        asyncio.run(serve())


def _alone(bound: BoundConverter, requests: Sequence[NamedArrays]) -> Counter[Any]:
    return Counter(digest(fill_alone(bound, inputs)) for inputs in requests)


def _is_refused(bound: BoundConverter, inputs: NamedArrays) -> bool:
    try:
        fill_alone(bound, inputs)
    except DecodeError:
        return True
    return False


def _misfits(
    bound: BoundConverter, good: NamedArrays
) -> Iterator[tuple[str, NamedArrays, type[NaviError] | None]]:
    for name, spec in bound.signature.inputs.items():
        if name not in good:
            continue
        for dtype in (DType.FLOAT64, DType.INT32, DType.STRING):
            if dtype is not spec.dtype:
                yield (
                    f"{dtype} for '{name}'",
                    {**good, name: sample(dtype, good[name].shape)},
                    TensorMismatchError,
                )
        deeper = {**good, name: good[name][..., np.newaxis]}
        yield (
            f"a dimension more for '{name}'",
            deeper,
            TensorMismatchError if spec.shape is not None else None,
        )
        without = {other: array for other, array in good.items() if other != name}
        is_needed = not spec.optional and spec.default is None
        yield f"no '{name}'", without, InputNamesError if is_needed else None
        yield f"'{name}' misspelt", {**without, f"{name}_": good[name]}, InputNamesError
    yield "one input more", {**good, "no_such_input": next(iter(good.values()))}, InputNamesError
