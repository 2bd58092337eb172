"""ConverterConformance: what every converter must do, as tests to subclass.

In a plugin's tests::

    class TestMyConverter(ConverterConformance):
        plugin_module = "navi_mine.plugin"

        @pytest.fixture(scope="class")
        def bound(self):
            return MyConverter().bind(artifact, signature, None)

        @pytest.fixture(scope="class")
        def good_inputs(self):
            return [{"examples": np.array([payload], dtype=object)}, ...]

        @pytest.fixture(scope="class")
        def expected(self):
            return [{"x": np.array(...)}, ...]
"""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from navi_core.contracts.converter import BoundConverter, Plan
from navi_core.errors import DecodeError
from navi_core.signature import check_inputs
from navi_core.tensors import DType, itemsize_bytes, numpy_dtype
from navi_core.testing.imports import assert_import_light
from navi_core.types import Array, NamedArrays

__all__ = ["ConverterConformance"]

_GUARD_ROWS = 2
_PATTERNS = (0x55, 0xAA)


@dataclass(frozen=True, slots=True)
class _Buffers:
    """Tensors to fill, each inside a larger array whose other rows nobody may touch."""

    whole: dict[str, Array]
    inner: dict[str, Array]

    @classmethod
    def allocate(cls, plan: Plan, pattern: int, *, num_rows: int | None = None) -> _Buffers:
        rows = plan.num_rows if num_rows is None else num_rows
        whole: dict[str, Array] = {}
        for name, row in plan.rows.items():
            shape = (rows + 2 * _GUARD_ROWS, *row.shape)
            if row.dtype is DType.STRING:
                whole[name] = np.full(shape, bytes([pattern]) * 3, dtype=object)
            else:
                whole[name] = np.empty(shape, dtype=numpy_dtype(row.dtype))
                whole[name].reshape(-1).view(np.uint8)[:] = pattern
        return cls(whole, {name: array[_GUARD_ROWS : _GUARD_ROWS + rows] for name, array in whole.items()})

    def check_guards(self, pattern: int) -> None:
        for name, array in self.whole.items():
            end = array.shape[0] - _GUARD_ROWS
            for where, guard in (("before", array[:_GUARD_ROWS]), ("after", array[end:])):
                untouched = (
                    all(item == bytes([pattern]) * 3 for item in guard.flat)
                    if array.dtype == object
                    else bool((_bytes_of(guard) == pattern).all())
                )
                assert untouched, f"fill wrote to rows {where} its own in '{name}'"


def _bytes_of(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _same(left: Mapping[str, Array], right: Mapping[str, Array]) -> bool:
    """Tell whether both hold the same bits (strings: the same items) under the same names."""
    if left.keys() != right.keys():
        return False
    for name, ours in left.items():
        theirs = right[name]
        if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
            return False
        if ours.dtype == object:
            if ours.tolist() != theirs.tolist():
                return False
        elif not np.array_equal(_bytes_of(ours), _bytes_of(theirs)):
            return False
    return True


def _fill(bound: BoundConverter, inputs: NamedArrays, pattern: int = _PATTERNS[0]) -> dict[str, Array]:
    """Plan and fill one request inside guard rows, check the guards and return the tensors."""
    plan = bound.plan(inputs)
    buffers = _Buffers.allocate(plan, pattern)
    bound.fill(plan, buffers.inner)
    buffers.check_guards(pattern)
    return buffers.inner


def _payloads(inputs: NamedArrays) -> Iterator[tuple[str, int, bytes]]:
    """Yield input name, flat index and bytes of every payload of a request."""
    for name, array in inputs.items():
        if array.dtype == object:
            for index, payload in enumerate(array.flat):
                yield name, index, payload


def _with_payload(inputs: NamedArrays, name: str, index: int, payload: bytes) -> NamedArrays:
    changed = inputs[name].copy()
    changed.reshape(-1)[index] = payload
    return {**inputs, name: changed}


@pytest.mark.conformance
class ConverterConformance:
    """The laws of :class:`navi_core.BoundConverter`. Subclass it and give the three fixtures.

    Attributes
    ----------
    plugin_module
        The module that the plugin's entry point names; importing it must import none of
        ``heavy_modules``. Empty: not checked.
    heavy_modules
        Modules that must stay unimported then.
    truncation_is_refused
        A payload cut short is malformed wherever it is cut. False for formats in which a prefix can
        be a payload of its own (protobuf): then it is filled or refused.
    payloads_concatenate
        One request holding the payloads of two gives the rows of both, in order.
    max_truncations
        At most so many cuts a payload are tried, spread evenly; None: every byte.
    num_flips
        Damaged payloads to try.
    seed
        Of the random damage; shown when a test fails.
    max_fill_bytes
        Damaged requests whose plan is larger are planned only.
    """

    plugin_module: ClassVar[str] = ""
    heavy_modules: ClassVar[Sequence[str]] = ("numba", "torch", "tensorflow", "onnxruntime")
    truncation_is_refused: ClassVar[bool] = True
    payloads_concatenate: ClassVar[bool] = True
    max_truncations: ClassVar[int | None] = None
    num_flips: ClassVar[int] = 1000
    seed: ClassVar[int] = 20221220
    max_fill_bytes: ClassVar[int] = 64 << 20

    # --- to override ------------------------------------------------------------------------------

    @pytest.fixture
    def bound(self) -> BoundConverter:
        """Return the converter under test, bound to a model's signature."""
        msg = f"{type(self).__name__} must override the fixture 'bound'"
        raise NotImplementedError(msg)

    @pytest.fixture
    def good_inputs(self) -> Sequence[NamedArrays]:
        """Return at least two well-formed requests, at least one with rows."""
        msg = f"{type(self).__name__} must override the fixture 'good_inputs'"
        raise NotImplementedError(msg)

    @pytest.fixture
    def expected(self) -> Sequence[NamedArrays]:
        """Return, for each of ``good_inputs``, the tensors that filling it gives."""
        msg = f"{type(self).__name__} must override the fixture 'expected'"
        raise NotImplementedError(msg)

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
            _fill(bound, frozen)
            assert _same(frozen, before)

    # --- what filling writes ----------------------------------------------------------------------

    def test_fill_gives_the_expected_tensors(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays], expected: Sequence[NamedArrays]
    ) -> None:
        """Good requests give the right tensors, NaN where NaN is right."""
        for inputs, tensors in zip(good_inputs, expected, strict=True):
            got = _fill(bound, inputs)
            for name, want in tensors.items():
                assert got[name].dtype == want.dtype, name
                np.testing.assert_array_equal(got[name], want, err_msg=name)

    def test_fill_writes_every_element_of_its_rows_and_nothing_else(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """What the buffers held before cannot be seen afterwards, and neighbours' rows stay."""
        for inputs in good_inputs:
            first, second = (_fill(bound, inputs, pattern) for pattern in _PATTERNS)
            assert _same(first, second), "fill left elements of its rows unwritten"

    def test_a_plan_can_be_filled_again(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """A batch that failed is run again request by request from the same plans."""
        for inputs in good_inputs:
            plan = bound.plan(inputs)
            filled = []
            for pattern in _PATTERNS:
                buffers = _Buffers.allocate(plan, pattern)
                bound.fill(plan, buffers.inner)
                filled.append(buffers.inner)
            assert _same(*filled)

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
            buffers = _Buffers.allocate(plans[members[0]], _PATTERNS[1], num_rows=total)
            ends = np.cumsum([plans[index].num_rows for index in members])
            parts = {}
            for index, end in zip(
                reversed(members), reversed(ends), strict=True
            ):  # the order must not matter
                start = int(end) - plans[index].num_rows
                parts[index] = {name: array[start:end] for name, array in buffers.inner.items()}
                bound.fill(plans[index], parts[index])
            buffers.check_guards(_PATTERNS[1])
            for index in members:
                assert _same(parts[index], _fill(bound, good_inputs[index]))

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
            ours, theirs, both = (_fill(bound, inputs) for inputs in (left, right, joined))
            assert _same(both, {name: np.concatenate([ours[name], theirs[name]]) for name in ours})

    def test_zero_rows(self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]) -> None:
        """A request without payloads has a plan of zero rows, and filling it writes nothing."""
        empty = {name: array[:0] for name, array in good_inputs[0].items()}
        plan = bound.plan(empty)
        assert plan.num_rows == 0
        assert not plan.row_ends.any()
        assert plan.size_bytes == 0
        _fill(bound, empty)

    def test_plans_and_fills_run_side_by_side(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """A bound converter is used from several threads at once, and so is one plan."""
        alone = [_fill(bound, inputs) for inputs in good_inputs]
        shared = [bound.plan(inputs) for inputs in good_inputs]
        num_threads, rounds = 4, 8
        barrier = threading.Barrier(num_threads)

        def work(thread: int) -> bool:
            barrier.wait(timeout=30)
            right = True
            for step in range(rounds * len(good_inputs)):
                index = (thread + step) % len(good_inputs)
                right &= _same(_fill(bound, good_inputs[index]), alone[index])
                buffers = _Buffers.allocate(shared[index], _PATTERNS[step % 2])
                bound.fill(shared[index], buffers.inner)
                right &= _same(buffers.inner, alone[index])
            return right

        with ThreadPoolExecutor(num_threads) as pool:
            assert all(pool.map(work, range(num_threads)))

    # --- damaged payloads -------------------------------------------------------------------------

    def test_truncated_payloads_are_refused_by_plan(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """A payload cut anywhere is a DecodeError of plan, before any memory is taken."""
        tried = 0
        for request, inputs in enumerate(good_inputs):
            for name, index, payload in _payloads(inputs):
                cuts: Sequence[int] = range(len(payload))
                if self.max_truncations is not None and len(payload) > self.max_truncations:
                    cuts = np.unique(
                        np.linspace(0, len(payload) - 1, self.max_truncations, dtype=int)
                    ).tolist()
                for cut in cuts:
                    tried += 1
                    damaged = _with_payload(inputs, name, index, payload[:cut])
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
            for name, index, payload in _payloads(inputs)
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
            self._plan_refuses(bound, _with_payload(inputs, name, index, bytes(damaged)), where)

    def test_random_bytes_are_filled_or_refused(
        self, bound: BoundConverter, good_inputs: Sequence[NamedArrays]
    ) -> None:
        """Payloads that never were any give tensors or a DecodeError."""
        target = next(((inputs, *found) for inputs in good_inputs for found in _payloads(inputs)), None)
        if target is None:
            pytest.skip("the good requests hold no payload bytes")
        inputs, name, index, _ = target
        random = np.random.default_rng(self.seed)
        for step in range(200):
            noise = random.bytes(int(random.integers(0, 64)))
            where = f"seed {self.seed}, step {step}, '{name}'[{index}] = {noise.hex()}"
            self._plan_refuses(bound, _with_payload(inputs, name, index, noise), where)

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
        buffers = _Buffers.allocate(plan, _PATTERNS[0])
        try:
            bound.fill(plan, buffers.inner)
        except DecodeError:
            pass
        except Exception as error:
            pytest.fail(f"fill raised {type(error).__name__} instead of DecodeError: {error} ({where})")
        buffers.check_guards(_PATTERNS[0])
        return False
