"""The part of the converter suite about payloads that are none."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from navi_core.contracts.converter import BoundConverter
from navi_core.errors import DecodeError, ErrorCode
from navi_core.testing.converter_buffers import PATTERNS, Buffers, fill_alone, payloads_of, same, with_payload
from navi_core.testing.converter_cases import ConverterCases
from navi_core.testing.error_text import check_text
from navi_core.testing.hostile import hostile_bodies
from navi_core.types import NamedArrays

__all__ = ["DamageCases"]


class DamageCases(ConverterCases):
    """What holds for every bad request."""

    # --- damaged payloads -------------------------------------------------------------------------

    def test_truncated_payloads_are_refused_by_plan(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """A payload cut anywhere is a DecodeError of plan, before any memory is taken."""
        tried = 0
        for request, inputs in enumerate(good_inputs):
            for name, index, payload in payloads_of(inputs):
                cuts: Sequence[int] = range(len(payload))
                if self.max_truncations is not None and len(payload) > self.max_truncations:
                    cuts = np.unique(
                        np.linspace(0, len(payload) - 1, self.max_truncations, dtype=int)
                    ).tolist()
                for cut in cuts:
                    tried += 1
                    damaged = with_payload(inputs, name, index, payload[:cut])
                    where = f"request {request}, '{name}'[{index}] cut to {cut} of {len(payload)} bytes"
                    refused = self._plan_refuses(bound, damaged, where)
                    assert refused or not self.truncation_is_refused, f"plan took a payload: {where}"
        if not tried:
            pytest.skip("the good requests hold no payload bytes")

    def test_damaged_payloads_are_filled_or_refused(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """Random damage gives tensors or a DecodeError: never another error, never a stray write."""
        payloads = [
            (inputs, name, index, payload)
            for inputs in good_inputs
            for name, index, payload in payloads_of(inputs)
            if payload
        ]
        if not payloads:
            pytest.skip("the good requests hold no payload bytes")
        random = np.random.default_rng(self.seed)
        for flip in range(self.num_flips):
            inputs, name, index, payload = payloads[int(random.integers(len(payloads)))]
            damaged = bytearray(payload)
            for _ in range(int(random.integers(1, 4))):
                damaged[int(random.integers(len(damaged)))] = int(random.integers(256))
            where = f"seed {self.seed}, flip {flip}, '{name}'[{index}] = {bytes(damaged[:64]).hex()}..."
            self._plan_refuses(bound, with_payload(inputs, name, index, bytes(damaged)), where)

    def test_random_bytes_are_filled_or_refused(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """Payloads that never were any give tensors or a DecodeError."""
        target = next(((inputs, *found) for inputs in good_inputs for found in payloads_of(inputs)), None)
        if target is None:
            pytest.skip("the good requests hold no payload bytes")
        inputs, name, index, _ = target
        random = np.random.default_rng(self.seed)
        for step in range(200):
            noise = random.bytes(int(random.integers(0, 64)))
            where = f"seed {self.seed}, step {step}, '{name}'[{index}] = {noise.hex()}"
            self._plan_refuses(bound, with_payload(inputs, name, index, noise), where)

    def test_hostile_payloads_are_filled_or_refused(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """Lengths of gigabytes, nesting without end, noise: tensors or a DecodeError, and no memory taken."""
        target = next(((inputs, *found) for inputs in good_inputs for found in payloads_of(inputs)), None)
        if target is None:
            pytest.skip("the good requests hold no payload bytes")
        inputs, name, index, payload = target
        for what, body in hostile_bodies(payload, self.seed):
            where = f"'{name}'[{index}]: {what}"
            self._plan_refuses(bound, with_payload(inputs, name, index, body), where)

    def test_a_refusal_says_which_payload_it_is_about(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """Where a request holds several payloads, the error names the bad one's index and is one for people."""
        tried = 0
        for inputs in good_inputs:
            for name, index, payload in payloads_of(inputs):
                damaged = with_payload(inputs, name, index, payload[: len(payload) // 2])
                refusal = _refusal(bound, damaged) if payload else None
                if refusal is None:
                    continue
                tried += 1
                check_text(refusal)
                assert refusal.code is ErrorCode.INVALID_ARGUMENT, f"it is the caller's fault: {refusal!r}"
                rows = (index,) if inputs[name].size > 1 else (index, None)
                assert refusal.row in rows, f"'{name}'[{index}] is damaged, the error says row {refusal.row}"
        if not tried:
            pytest.skip("half a payload is refused nowhere")

    def test_refusals_leave_the_converter_right(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """A bad request then a good one, in one thread and in several at once: nothing is left over."""
        alone = [fill_alone(bound, inputs) for inputs in good_inputs]
        random = np.random.default_rng(self.seed)
        noise = [random.bytes(20) for _ in range(16)]

        def refuse_and_fill(thread: int) -> bool:
            right = True
            for step in range(4 * len(good_inputs)):
                index = (thread + step) % len(good_inputs)
                for name, position, payload in payloads_of(good_inputs[index]):
                    bad = payload[: len(payload) // 2] if step % 2 else noise[step % len(noise)]
                    where = f"'{name}'[{position}] = {bad.hex()}"
                    self._plan_refuses(bound, with_payload(good_inputs[index], name, position, bad), where)
                right &= same(fill_alone(bound, good_inputs[index]), alone[index])
            return right

        assert refuse_and_fill(0), "after a refused request, a good one is filled wrongly"
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(refuse_and_fill, range(4))), (
                "beside refused requests, a good one is filled wrongly"
            )

    def _plan_refuses(self, bound: BoundConverter, inputs: NamedArrays, where: str) -> bool:
        """Tell whether plan refused; where it did not, fill must fill or refuse, inside its rows."""
        try:
            plan = bound.plan(inputs)
        except DecodeError:
            return True
        except Exception as error:
            pytest.fail(f"plan raised {type(error).__name__} instead of DecodeError: {error} ({where})")
        if plan.size_bytes > self.max_fill_bytes:
            return False
        buffers = Buffers.allocate(plan, PATTERNS[0])
        try:
            bound.fill(plan, buffers.inner)
        except DecodeError:
            pass
        except Exception as error:
            pytest.fail(f"fill raised {type(error).__name__} instead of DecodeError: {error} ({where})")
        buffers.check_guards(PATTERNS[0])
        return False


def _refusal(bound: BoundConverter, inputs: NamedArrays) -> DecodeError | None:
    """Return what plan, or fill, raises for a request; None: nothing."""
    try:
        plan = bound.plan(inputs)
        bound.fill(plan, Buffers.allocate(plan, PATTERNS[0]).inner)
    except DecodeError as error:
        return error
    return None
