"""The half of the runtime suite about what a loaded model answers."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from navi_core.errors import ErrorCode, NaviError, RequestError
from navi_core.tensors import DType
from navi_core.testing.error_text import check_text
from navi_core.testing.run_context import SimpleRunContext
from navi_core.testing.runtime_cases import RuntimeCases, only_input
from navi_core.testing.samples import awkward_layouts, same_bits, sample

__all__ = ["RunCases"]


class RunCases(RuntimeCases):
    """What holds for every run."""

    # --- running: values --------------------------------------------------------------------------

    def test_identity_gives_equal_bits(self, dtype: DType, rank: int, tmp_path: Path) -> None:
        """What goes in comes out: dtype, shape and every bit, of every dtype and rank."""
        shape = (2, 3, 4, 2, 1)[:rank]
        with self._loaded(self.identity_model(dtype, rank, tmp_path)) as servable:
            for seed in (0, 1):
                self._check_identity(servable, sample(dtype, shape, seed=seed))

    def test_identity_of_zero_rows(self, dtype: DType, row_rank: int, tmp_path: Path) -> None:
        """No rows are fine, before and after some rows."""
        with self._loaded(self.identity_model(dtype, row_rank, tmp_path)) as servable:
            for rows in (0, 2, 0):
                self._check_identity(servable, sample(dtype, (rows, 3, 4, 2, 1)[:row_rank]))

    def test_strings_that_are_no_text_are_returned_or_refused(self, tmp_path: Path) -> None:
        """Bytes that are not UTF-8 come back unchanged, or are the caller's fault: never altered."""
        if DType.STRING not in self.dtypes:
            pytest.skip("this runtime has no strings")
        with self._loaded(self.identity_model(DType.STRING, 1, tmp_path)) as servable:
            for item in (b"\xff\xfe", b"\xed\xa0\x80", b"caf\xe9", b"\x00"):
                array = np.array([b"before", item], dtype=object)
                try:
                    (got,) = self._run(servable, only_input(servable, array)).values()
                except RequestError as error:
                    check_text(error)
                else:
                    assert same_bits(got, array), item
            self._check_identity(servable, sample(DType.STRING, (4,)))

    def test_layouts(self, tmp_path: Path) -> None:
        """Unaligned, read-only, strided, reversed, byte-swapped and broadcast inputs count by value."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            first, inputs = self.pair_inputs[0], self._pair(5)
            for layout, awkward in awkward_layouts(inputs[first]):
                plain = np.array(awkward, dtype=np.float32, order="C")
                got = self._run(servable, {**inputs, first: awkward})
                self._compare_pair(got, {**inputs, first: plain}, f" ({first} is {layout})")

    def test_strings_of_any_layout(self, tmp_path: Path) -> None:
        """Strided and read-only string tensors count by value."""
        if DType.STRING not in self.dtypes:
            pytest.skip("this runtime has no strings")
        with self._loaded(self.identity_model(DType.STRING, 1, tmp_path)) as servable:
            array = sample(DType.STRING, (8,))[::-2]
            array.flags.writeable = False
            (got,) = self._run(servable, only_input(servable, array)).values()
            assert same_bits(got, array.copy())

    def test_zero_one_and_many_rows(self, tmp_path: Path) -> None:
        """A batchable model takes any number of rows, in any order, from none to thousands."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            for rows in (1, self.many_rows, 0, 1):
                self._check_pair(servable, self._pair(rows, seed=rows + 1))

    def test_a_batch_is_its_requests_one_after_the_other(self, tmp_path: Path) -> None:
        """Where the signature batches, rows do not depend on their neighbours."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            counts = (1, 3, 0, 2, 500)
            pairs = [self._pair(rows, seed=rows) for rows in counts]
            batch = self._run(
                servable, {name: np.concatenate([each[name] for each in pairs]) for name in self.pair_inputs}
            )
            start = 0
            for rows, each in zip(counts, pairs, strict=True):
                alone = self._run(servable, each)
                end = start + rows
                for name, array in alone.items():
                    np.testing.assert_allclose(
                        batch[name][start:end],
                        array,
                        rtol=self.rtol,
                        atol=self.atol,
                        err_msg=f"rows {start} to {end} of '{name}' differ from the same rows run alone",
                    )
                start = end

    # --- running: the contract --------------------------------------------------------------------

    def test_only_the_outputs_asked_for(self, tmp_path: Path) -> None:
        """Any subset, in any order, and nothing else."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            alone = [(name,) for name in self.pair_outputs]
            for names in (self.pair_outputs, self.pair_outputs[::-1], *alone):
                self._check_pair(servable, self._pair(2), names)

    def test_run_keeps_no_input_and_answers_with_no_view(self, dtype: DType, tmp_path: Path) -> None:
        """Inputs may be reused after the run, and answers belong to the caller."""
        rank = self._row_rank()
        many, some = ((rows, 3, 4, 2, 1)[:rank] for rows in (64, 32))
        with self._loaded(self.identity_model(dtype, rank, tmp_path)) as servable:
            array = sample(dtype, many, seed=1)
            sent = array.copy()
            (first,) = self._run(servable, only_input(servable, sent)).values()
            assert not np.shares_memory(first, sent)
            sent[...] = sample(dtype, many, seed=2)
            assert same_bits(first, array), "the answer changed with the input"
            other = sample(dtype, some, seed=2)
            (second,) = self._run(servable, only_input(servable, other)).values()
            assert same_bits(first, array), "the answer changed with the next run"
            assert same_bits(second, other)
            assert first.flags.writeable, "the answer belongs to the caller"
            first[...] = sample(dtype, many, seed=3)
            (third,) = self._run(servable, only_input(servable, array)).values()
            assert same_bits(third, array), "writing to an answer changed the model"

    def test_runs_side_by_side(self, tmp_path: Path) -> None:
        """As many threads as the servable allows run at once and each gets its own answer."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            num_threads = 4 if servable.max_concurrent_runs is None else servable.max_concurrent_runs
            barrier = threading.Barrier(num_threads)

            def work(thread: int) -> None:
                barrier.wait(timeout=60)
                for step in range(self.rounds):
                    self._check_pair(servable, self._pair(1 + (thread + step) % 5, seed=thread * 1000 + step))

            with ThreadPoolExecutor(num_threads) as pool:
                list(pool.map(work, range(num_threads)))

    def test_runs_that_fail_leave_the_servable_right(self, tmp_path: Path) -> None:
        """A failing run then a right one, in one thread and in several at once: errors poison nothing."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            wrong = dict.fromkeys(self.pair_inputs, np.zeros((2, 4), np.float32))

            def fail_or_answer(thread: int) -> None:
                for step in range(10):
                    if (thread + step) % 2:
                        with pytest.raises(NaviError):
                            self._run(servable, wrong, check=False)
                    else:
                        self._check_pair(servable, self._pair(1 + step, seed=thread * 1000 + step))

            fail_or_answer(0)
            num_threads = 4 if servable.max_concurrent_runs is None else servable.max_concurrent_runs
            with ThreadPoolExecutor(num_threads) as pool:
                list(pool.map(fail_or_answer, range(num_threads)))
            self._check_pair(servable, self._pair(3))

    def test_a_run_whose_callers_have_gone_ends_and_spoils_nothing(self, tmp_path: Path) -> None:
        """Cancelled, or late: the run answers rightly or says so with its code; the next one is right."""
        past = time.monotonic() - 1
        contexts = (
            SimpleRunContext(cancelled=True),
            SimpleRunContext(deadline=past),
            SimpleRunContext(cancelled=True, deadline=past),
        )
        with self._loaded(self.pair_model(tmp_path)) as servable:
            for ctx in contexts:
                refusal: NaviError | None = None
                try:
                    self._check_pair(servable, self._pair(2), ctx=ctx)
                except NaviError as error:
                    refusal = error
                if refusal is not None:
                    assert refusal.code in (ErrorCode.CANCELLED, ErrorCode.DEADLINE_EXCEEDED), refusal
                    check_text(refusal)
                self._check_pair(servable, self._pair(3))

    def test_servables_are_independent(self, tmp_path: Path) -> None:
        """Two versions live side by side; closing one leaves the other."""
        with self._loaded(self.pair_model(tmp_path / "one")) as one:
            with self._loaded(self.pair_model(tmp_path / "two")) as two:
                self._check_pair(one, self._pair(2))
                self._check_pair(two, self._pair(3))
            self._check_pair(one, self._pair(4))

    def test_a_tensor_that_does_not_fit_is_a_typed_error(self, tmp_path: Path) -> None:
        """A width that the model does not have ends in navi's error, and the next run is right."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            wrong = dict.fromkeys(self.pair_inputs, np.zeros((2, 4), np.float32))
            with pytest.raises(NaviError) as caught:
                self._run(servable, wrong, check=False)
            check_text(caught.value)
            assert str(tmp_path) not in str(caught.value), "an error names a path of this machine"
            self._check_pair(servable, self._pair(2))

    def test_close_can_be_called_again_and_ends_running(self, tmp_path: Path) -> None:
        """Close is idempotent; a run after it is a typed error, answers from before it stay."""
        servable = self.make_runtime().load(self.pair_model(tmp_path), self.load_options())
        inputs = self._pair(2)
        before = self._run(servable, inputs)
        servable.close()
        servable.close()
        self._compare_pair(before, inputs)
        with pytest.raises(NaviError):
            self._run(servable, inputs, check=False)
