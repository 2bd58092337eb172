"""The part of the converter suite about good payloads: what is planned, and what is filled."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from navi_core.contracts.converter import BoundConverter
from navi_core.signature import check_inputs
from navi_core.tensors import DType, itemsize_bytes, numpy_dtype
from navi_core.testing.converter_buffers import PATTERNS, Buffers, fill_alone, same
from navi_core.testing.converter_cases import ConverterCases
from navi_core.testing.imports import assert_import_light
from navi_core.types import NamedArrays

__all__ = ["PlanCases"]


class PlanCases(ConverterCases):
    """What holds for every good request."""

    # --- what a plan says -------------------------------------------------------------------------

    def test_plugin_module_imports_no_heavy_module(self) -> None:
        """Discovery stays quick: what a converter needs is imported when it is bound."""
        if not self.plugin_module:
            pytest.skip("plugin_module is not set")
        assert_import_light(self.plugin_module, self.heavy_modules)

    def test_signature_says_what_clients_send(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """Good requests pass the check against the converter's signature."""
        assert bound.signature.source == "converter"
        assert len(good_inputs) >= 2, "give at least two good requests"
        for inputs in good_inputs:
            check_inputs(bound.signature, inputs)

    def test_plan_counts_rows_and_bytes(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays], expected: Sequence[NamedArrays]
    ) -> None:
        """A plan's rows, row ends, sizes and tensors are those that are filled."""
        for inputs, tensors in zip(good_inputs, expected, strict=True):
            plan = bound.plan(inputs)
            assert plan.row_ends.dtype == np.int64
            assert plan.row_ends.ndim == 1
            assert (np.diff(plan.row_ends, prepend=0) >= 0).all(), "row_ends must not decrease"
            assert (int(plan.row_ends[-1]) if plan.row_ends.size else 0) == plan.num_rows
            assert set(plan.rows) == set(tensors)
            size_bytes = 0
            for name, row in plan.rows.items():
                assert tensors[name].shape == (plan.num_rows, *row.shape), name
                assert tensors[name].dtype == numpy_dtype(row.dtype), name
                size_bytes += tensors[name].size * (itemsize_bytes(row.dtype) or 0)
            if any(row.dtype is DType.STRING for row in plan.rows.values()):
                assert plan.size_bytes >= size_bytes
            else:
                assert plan.size_bytes == size_bytes

    def test_plan_and_fill_leave_the_inputs_alone(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """Inputs are read-only views of a body: they are read and never written."""
        for inputs in good_inputs:
            frozen = {name: array.copy() for name, array in inputs.items()}
            before = {name: array.copy() for name, array in inputs.items()}
            for array in frozen.values():
                array.flags.writeable = False
            fill_alone(bound, frozen)
            assert same(frozen, before)

    # --- what filling writes ----------------------------------------------------------------------

    def test_fill_gives_the_expected_tensors(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays], expected: Sequence[NamedArrays]
    ) -> None:
        """Good requests give the right tensors, NaN where NaN is right."""
        for inputs, tensors in zip(good_inputs, expected, strict=True):
            got = fill_alone(bound, inputs)
            for name, want in tensors.items():
                assert got[name].dtype == want.dtype, name
                np.testing.assert_array_equal(got[name], want, err_msg=name)

    def test_fill_writes_every_element_of_its_rows_and_nothing_else(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """What the buffers held before cannot be seen afterwards, and neighbours' rows stay."""
        for inputs in good_inputs:
            first, second = (fill_alone(bound, inputs, pattern) for pattern in PATTERNS)
            assert same(first, second), "fill left elements of its rows unwritten"

    def test_a_plan_can_be_filled_again(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """A batch that failed is run again request by request from the same plans."""
        for inputs in good_inputs:
            plan = bound.plan(inputs)
            filled = []
            for pattern in PATTERNS:
                buffers = Buffers.allocate(plan, pattern)
                bound.fill(plan, buffers.inner)
                filled.append(buffers.inner)
            assert same(*filled)

    def test_a_batch_is_its_requests_one_after_the_other(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """Filling several plans into their rows of one buffer equals filling each alone."""
        plans = [bound.plan(inputs) for inputs in good_inputs]
        groups: dict[tuple[tuple[str, object], ...], list[int]] = {}
        for index, plan in enumerate(plans):
            groups.setdefault(tuple(sorted(plan.rows.items())), []).append(index)
        for members in groups.values():
            total = sum(plans[index].num_rows for index in members)
            buffers = Buffers.allocate(plans[members[0]], PATTERNS[1], num_rows=total)
            ends = np.cumsum([plans[index].num_rows for index in members])
            parts = {}
            for index, end in zip(
                reversed(members), reversed(ends), strict=True
            ):  # the order must not matter
                start = int(end) - plans[index].num_rows
                parts[index] = {name: array[start:end] for name, array in buffers.inner.items()}
                bound.fill(plans[index], parts[index])
            buffers.check_guards(PATTERNS[1])
            for index in members:
                assert same(parts[index], fill_alone(bound, good_inputs[index]))

    def test_one_request_with_the_payloads_of_two_gives_the_rows_of_both(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """Several payloads in a request are converted in order, and row_ends tells them apart."""
        if not self.payloads_concatenate:
            pytest.skip("this format's payloads do not concatenate")
        for left, right in itertools.pairwise(good_inputs):
            if left.keys() != right.keys():
                continue
            joined = {name: np.concatenate([left[name], right[name]]) for name in left}
            plans = [bound.plan(inputs) for inputs in (left, right, joined)]
            if plans[0].rows != plans[1].rows:
                continue
            shifted = plans[1].row_ends + plans[0].num_rows
            np.testing.assert_array_equal(plans[2].row_ends, np.concatenate([plans[0].row_ends, shifted]))
            ours, theirs, both = (fill_alone(bound, inputs) for inputs in (left, right, joined))
            assert same(both, {name: np.concatenate([ours[name], theirs[name]]) for name in ours})

    def test_many_payloads(self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]) -> None:
        """A request of hundreds of payloads gives the rows of each, in order."""
        if not self.payloads_concatenate:
            pytest.skip("this format's payloads do not concatenate")
        inputs = next(inputs for inputs in good_inputs if bound.plan(inputs).num_rows)
        alone, times = fill_alone(bound, inputs), 300
        many = {name: np.concatenate([array] * times) for name, array in inputs.items()}
        assert bound.plan(many).num_rows == times * bound.plan(inputs).num_rows
        assert same(
            fill_alone(bound, many), {name: np.concatenate([array] * times) for name, array in alone.items()}
        ), f"{times} payloads in one request do not give {times} times the rows of one"

    def test_zero_rows(self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]) -> None:
        """A request without payloads has a plan of zero rows, and filling it writes nothing."""
        empty = {name: array[:0] for name, array in good_inputs[0].items()}
        plan = bound.plan(empty)
        assert plan.num_rows == 0
        assert not plan.row_ends.any()
        assert plan.size_bytes == 0
        fill_alone(bound, empty)

    def test_plans_and_fills_run_side_by_side(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """A bound converter is used from several threads at once, and so is one plan."""
        alone = [fill_alone(bound, inputs) for inputs in good_inputs]
        shared = [bound.plan(inputs) for inputs in good_inputs]
        num_threads, rounds = 4, 8
        barrier = threading.Barrier(num_threads)

        def work(thread: int) -> bool:
            barrier.wait(timeout=30)
            right = True
            for step in range(rounds * len(good_inputs)):
                index = (thread + step) % len(good_inputs)
                right &= same(fill_alone(bound, good_inputs[index]), alone[index])
                buffers = Buffers.allocate(shared[index], PATTERNS[step % 2])
                bound.fill(shared[index], buffers.inner)
                right &= same(buffers.inner, alone[index])
            return right

        with ThreadPoolExecutor(num_threads) as pool:
            assert all(pool.map(work, range(num_threads)))
