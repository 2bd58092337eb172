"""RuntimeConformance: what every runtime must do, as tests to subclass.

In a plugin's tests::

    class TestMyRuntime(RuntimeConformance):
        plugin_module = "navi_mine.plugin"
        dtypes = (DType.FLOAT32, DType.INT64)

        def make_runtime(self):
            return MyRuntime()

        def identity_model(self, dtype, rank, folder): ...
        def pair_model(self, folder): ...
        def fixed_model(self, folder): ...
        def corrupt_model(self, folder): ...
"""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.runtime import LoadOptions, Runtime, Servable
from navi_core.errors import ModelLoadError, NaviError, RequestError
from navi_core.signature import DEFAULT_SIGNATURE, Signature, check_inputs, check_tensor
from navi_core.tensors import DType
from navi_core.testing.imports import assert_import_light, assert_recognise_is_light
from navi_core.testing.run_context import SimpleRunContext
from navi_core.testing.samples import awkward_layouts, same_bits, sample
from navi_core.types import Array, NamedArrays

__all__ = ["RuntimeConformance"]


@pytest.mark.conformance
class RuntimeConformance:
    """The laws of :class:`navi_core.Runtime` and :class:`navi_core.Servable`.

    Subclass it, say what the runtime can do, and give the models that it is tried with.

    Attributes
    ----------
    plugin_module
        The module that the plugin's entry point names.
    heavy_modules
        What importing it, and ``recognise``, must leave unimported.
    dtypes
        Element types that the runtime carries.
    ranks
        Ranks that identity models are made for.
    pair_inputs, pair_outputs
        Names of the tensors of :meth:`pair_model`: the two summands; the sum and the difference.
    rounds
        Runs of each thread in the concurrency test.
    """

    plugin_module: ClassVar[str] = ""
    heavy_modules: ClassVar[Sequence[str]] = ("onnxruntime", "tensorflow", "torch", "tract", "jax")
    dtypes: ClassVar[Sequence[DType]] = ()
    ranks: ClassVar[Sequence[int]] = (0, 1, 3)
    pair_inputs: ClassVar[tuple[str, str]] = ("a", "b")
    pair_outputs: ClassVar[tuple[str, str]] = ("sum", "difference")
    rounds: ClassVar[int] = 50

    # --- to override ------------------------------------------------------------------------------

    def make_runtime(self) -> Runtime:
        """Return a new runtime."""
        raise NotImplementedError(self._what("make_runtime"))

    def identity_model(self, dtype: DType, rank: int, folder: Path) -> Artifact:
        """Return a model whose only output is its only input; every dimension is dynamic."""
        raise NotImplementedError(self._what("identity_model"))

    def pair_model(self, folder: Path) -> Artifact:
        """Return a batchable model: two float32 inputs (any, 3), their sum and their difference."""
        raise NotImplementedError(self._what("pair_model"))

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

    # --- discovery --------------------------------------------------------------------------------

    def test_plugin_module_imports_no_framework(self) -> None:
        """Listing plugins stays quick: the framework is imported when a model is loaded."""
        assert self.plugin_module, "set plugin_module"
        assert_import_light(self.plugin_module, self.heavy_modules)

    def test_class_says_what_the_host_needs(self) -> None:
        """The name is a word, options are strict, and every flag sets an option that exists."""
        kind = type(self.make_runtime())
        assert kind.name.isidentifier()
        if kind.options_type is None:
            assert not kind.serve_flags
            return
        kind.options_type()
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"no_such_option": 1}, kind.options_type)
        for flag in kind.serve_flags:
            assert flag.name.startswith("--")
            assert flag.name == flag.name.lower().replace("_", "-")
            assert flag.option in kind.options_type.__struct_fields__, flag.name
            assert flag.help

    def test_recognise_takes_its_own_and_no_others(self, tmp_path: Path) -> None:
        """The right artifact has a kind; an empty folder, strange files and strange bytes have none."""
        runtime = self.make_runtime()
        assert runtime.recognise(self.pair_model(tmp_path / "own"))
        assert runtime.recognise(self.corrupt_model(tmp_path / "corrupt"))
        empty, strange = tmp_path / "empty", tmp_path / "strange"
        empty.mkdir()
        strange.mkdir()
        (strange / "notes.txt").write_text("nothing to see")
        for artifact in (
            Artifact(name="empty", version=1, path=empty),
            Artifact(name="strange", version=1, path=strange),
            Artifact(name="single", version=1, path=strange / "notes.txt"),
            Artifact(name="memory", version=1, files={"notes.txt": b"nothing to see"}),
            Artifact(name="nothing", version=1, files={}),
        ):
            assert runtime.recognise(artifact) is None, artifact

    def test_recognise_imports_no_framework(self, tmp_path: Path) -> None:
        """Recognising looks at names and first bytes: a host that serves another runtime pays nothing."""
        path = self.pair_model(tmp_path).path
        assert path is not None, "pair_model must be on disk"
        assert_recognise_is_light(type(self.make_runtime()), path, self.heavy_modules)

    # --- loading ----------------------------------------------------------------------------------

    def test_estimate_is_positive(self, tmp_path: Path) -> None:
        """The estimate can be compared with a limit before anything is loaded."""
        estimate = self.make_runtime().estimate_bytes(self.pair_model(tmp_path))
        assert isinstance(estimate, int)
        assert estimate > 0

    def test_a_load_that_fails_says_why_in_one_line(self, tmp_path: Path) -> None:
        """A corrupt artifact and a vanished one are ModelLoadErrors that people can read."""
        runtime = self.make_runtime()
        vanished = Artifact(name="vanished", version=1, path=tmp_path / "vanished")
        for artifact in (self.corrupt_model(tmp_path / "corrupt"), vanished):
            with pytest.raises(ModelLoadError) as caught:
                runtime.load(artifact, self.load_options())
            _check_text(caught.value)

    def test_a_failed_load_does_not_spoil_the_next(self, tmp_path: Path) -> None:
        """The runtime goes on after a load that failed."""
        runtime = self.make_runtime()
        with pytest.raises(ModelLoadError):
            runtime.load(self.corrupt_model(tmp_path / "corrupt"), self.load_options())
        servable = runtime.load(self.pair_model(tmp_path / "pair"), self.load_options())
        try:
            self._check_pair(servable, *_pair(2))
        finally:
            servable.close()

    def test_signature_of_a_batchable_model(self, tmp_path: Path) -> None:
        """Names, dtypes and shapes are the model's; it batches."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            signature = servable.signatures[DEFAULT_SIGNATURE]
            assert set(signature.inputs) == set(self.pair_inputs)
            assert set(signature.outputs) == set(self.pair_outputs)
            for specs in (signature.inputs, signature.outputs):
                for name, spec in specs.items():
                    assert spec.name == name
                    assert spec.dtype is DType.FLOAT32
            for spec in signature.inputs.values():
                assert spec.accepts_shape((7, 3))
                assert not spec.accepts_shape((7, 4))
                assert not spec.optional
            assert signature.batchable, signature.not_batchable_because
            assert not signature.not_batchable_because
            assert signature.source == "model"

    def test_signature_of_a_fixed_model(self, tmp_path: Path) -> None:
        """A fixed leading dimension does not batch, and the signature says why."""
        with self._loaded(self.fixed_model(tmp_path)) as servable:
            signature = servable.signatures[DEFAULT_SIGNATURE]
            (spec,) = signature.inputs.values()
            assert spec.accepts_shape((2, 3))
            assert not spec.accepts_shape((3, 3))
            assert not signature.batchable
            assert signature.not_batchable_because
            x = sample(DType.FLOAT32, (2, 3), seed=1)
            (y,) = self._run(servable, {spec.name: x}).values()
            np.testing.assert_allclose(y, 2 * x, rtol=1e-6)

    def test_outputs_can_be_restricted_when_loading(self, tmp_path: Path) -> None:
        """The configuration may leave outputs away and order them; a name that is not there is refused."""
        runtime, options = self.make_runtime(), self.load_options()
        artifact = self.pair_model(tmp_path)
        total, difference = self.pair_outputs
        for outputs in ((difference,), (difference, total), (total, difference)):
            restricted = _replace(options, outputs=outputs)
            with self._loaded(artifact, restricted) as servable:
                assert tuple(servable.signatures[DEFAULT_SIGNATURE].outputs) == outputs
                a, b = _pair(2)
                got = self._run(servable, dict(zip(self.pair_inputs, (a, b), strict=True)))
                np.testing.assert_allclose(got[difference], a - b, rtol=1e-6)
        with pytest.raises(ModelLoadError, match="no_such_output"):
            runtime.load(artifact, _replace(options, outputs=("no_such_output",)))
        with pytest.raises(ModelLoadError, match="no_such_input"):
            runtime.load(artifact, _replace(options, inputs=(*self.pair_inputs, "no_such_input")))

    def test_files_in_memory_answer_like_files_on_disk(self, tmp_path: Path) -> None:
        """A model that came over the wire is the same model, where the runtime takes such."""
        runtime = self.make_runtime()
        path = self.pair_model(tmp_path).path
        assert path is not None, "pair_model must be on disk"
        found = [entry for entry in path.rglob("*") if entry.is_file()] if path.is_dir() else [path]
        root = path if path.is_dir() else path.parent
        files = {entry.relative_to(root).as_posix(): entry.read_bytes() for entry in found}
        artifact = Artifact(name="pair", version=1, files=files)
        if runtime.recognise(artifact) is None:
            pytest.skip("this runtime takes no files in memory")
        with self._loaded(artifact) as servable:
            self._check_pair(servable, *_pair(3))

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
                    (got,) = self._run(servable, _only_input(servable, array)).values()
                except RequestError as error:
                    _check_text(error)
                else:
                    assert same_bits(got, array), item
            self._check_identity(servable, sample(DType.STRING, (4,)))

    def test_layouts(self, tmp_path: Path) -> None:
        """Unaligned, read-only, strided, reversed, byte-swapped and broadcast inputs count by value."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            a, b = _pair(5)
            for name, awkward in awkward_layouts(a):
                plain = np.array(awkward, dtype=np.float32, order="C")
                got = self._run(servable, dict(zip(self.pair_inputs, (awkward, b), strict=True)))
                np.testing.assert_allclose(got[self.pair_outputs[0]], plain + b, rtol=1e-6, err_msg=name)

    def test_strings_of_any_layout(self, tmp_path: Path) -> None:
        """Strided and read-only string tensors count by value."""
        if DType.STRING not in self.dtypes:
            pytest.skip("this runtime has no strings")
        with self._loaded(self.identity_model(DType.STRING, 1, tmp_path)) as servable:
            array = sample(DType.STRING, (8,))[::-2]
            array.flags.writeable = False
            (got,) = self._run(servable, _only_input(servable, array)).values()
            assert same_bits(got, array.copy())

    def test_a_batch_is_its_requests_one_after_the_other(self, tmp_path: Path) -> None:
        """Where the signature batches, rows do not depend on their neighbours."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            pairs = [_pair(rows, seed=rows) for rows in (1, 3, 0, 2)]
            joined = [np.concatenate(side) for side in zip(*pairs, strict=True)]
            batch = self._run(servable, dict(zip(self.pair_inputs, joined, strict=True)))
            start = 0
            for pair in pairs:
                alone = self._run(servable, dict(zip(self.pair_inputs, pair, strict=True)))
                end = start + len(pair[0])
                for name, array in alone.items():
                    np.testing.assert_allclose(batch[name][start:end], array, rtol=1e-6)
                start = end

    # --- running: the contract --------------------------------------------------------------------

    def test_only_the_outputs_asked_for(self, tmp_path: Path) -> None:
        """Any subset, in any order, and nothing else."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            a, b = _pair(2)
            want = dict(zip(self.pair_outputs, (a + b, a - b), strict=True))
            for names in (self.pair_outputs, self.pair_outputs[::-1], *((name,) for name in want)):
                inputs = dict(zip(self.pair_inputs, (a, b), strict=True))
                got = self._run(servable, inputs, names)
                for name in names:
                    np.testing.assert_allclose(got[name], want[name], rtol=1e-6)

    def test_run_keeps_no_input_and_answers_with_no_view(self, dtype: DType, tmp_path: Path) -> None:
        """Inputs may be reused after the run, and answers belong to the caller."""
        with self._loaded(self.identity_model(dtype, 1, tmp_path)) as servable:
            array = sample(dtype, (64,), seed=1)
            sent = array.copy()
            (first,) = self._run(servable, _only_input(servable, sent)).values()
            assert not np.shares_memory(first, sent)
            sent[...] = sample(dtype, (64,), seed=2)
            assert same_bits(first, array), "the answer changed with the input"
            other = sample(dtype, (32,), seed=2)
            (second,) = self._run(servable, _only_input(servable, other)).values()
            assert same_bits(first, array), "the answer changed with the next run"
            assert same_bits(second, other)
            assert first.flags.writeable, "the answer belongs to the caller"
            first[...] = sample(dtype, (64,), seed=3)
            (third,) = self._run(servable, _only_input(servable, array)).values()
            assert same_bits(third, array), "writing to an answer changed the model"

    def test_runs_side_by_side(self, tmp_path: Path) -> None:
        """As many threads as the servable allows run at once and each gets its own answer."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            num_threads = 4 if servable.max_concurrent_runs is None else servable.max_concurrent_runs
            barrier = threading.Barrier(num_threads)

            def work(thread: int) -> None:
                barrier.wait(timeout=60)
                for step in range(self.rounds):
                    self._check_pair(servable, *_pair(1 + (thread + step) % 5, seed=thread * 1000 + step))

            with ThreadPoolExecutor(num_threads) as pool:
                list(pool.map(work, range(num_threads)))

    def test_servables_are_independent(self, tmp_path: Path) -> None:
        """Two versions live side by side; closing one leaves the other."""
        with self._loaded(self.pair_model(tmp_path / "one")) as one:
            with self._loaded(self.pair_model(tmp_path / "two")) as two:
                self._check_pair(one, *_pair(2))
                self._check_pair(two, *_pair(3))
            self._check_pair(one, *_pair(4))

    def test_a_tensor_that_does_not_fit_is_a_typed_error(self, tmp_path: Path) -> None:
        """A width that the model does not have ends in navi's error, and the next run is right."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            wrong = dict.fromkeys(self.pair_inputs, np.zeros((2, 4), np.float32))
            with pytest.raises(NaviError) as caught:
                self._run(servable, wrong, check=False)
            _check_text(caught.value)
            assert str(tmp_path) not in str(caught.value), "an error names a path of this machine"
            self._check_pair(servable, *_pair(2))

    def test_close_can_be_called_again_and_ends_running(self, tmp_path: Path) -> None:
        """Close is idempotent; a run after it is a typed error, answers from before it stay."""
        servable = self.make_runtime().load(self.pair_model(tmp_path), self.load_options())
        a, b = _pair(2)
        inputs = dict(zip(self.pair_inputs, (a, b), strict=True))
        before = self._run(servable, inputs)
        servable.close()
        servable.close()
        np.testing.assert_allclose(before[self.pair_outputs[0]], a + b, rtol=1e-6)
        with pytest.raises(NaviError):
            self._run(servable, inputs, check=False)

    # --- the suite's own steps --------------------------------------------------------------------

    @contextmanager
    def _loaded(self, artifact: Artifact, options: LoadOptions | None = None) -> Iterator[Servable]:
        servable = self.make_runtime().load(artifact, options or self.load_options())
        try:
            yield servable
        finally:
            servable.close()

    def _run(
        self, servable: Servable, inputs: NamedArrays, outputs: Sequence[str] = (), *, check: bool = True
    ) -> Mapping[str, Array]:
        """Run as the host does and check the answer against the signature."""
        signature = servable.signatures[DEFAULT_SIGNATURE]
        if check:
            check_inputs(signature, inputs)
        names = tuple(outputs) or tuple(signature.outputs)
        answer = servable.run(DEFAULT_SIGNATURE, inputs, names, SimpleRunContext())
        got: NamedArrays = asyncio.run(_awaited(answer)) if inspect.isawaitable(answer) else answer
        assert set(got) == set(names), f"asked for {names}, got {tuple(got)}"
        for name, array in got.items():
            assert isinstance(array, np.ndarray), name
            check_tensor(signature.outputs[name], array, role="output")
        return got

    def _check_identity(self, servable: Servable, array: Array) -> None:
        (got,) = self._run(servable, _only_input(servable, array)).values()
        assert same_bits(got, array), f"sent {array!r}, got {got!r}"

    def _check_pair(self, servable: Servable, a: Array, b: Array) -> None:
        got = self._run(servable, dict(zip(self.pair_inputs, (a, b), strict=True)))
        for name, want in zip(self.pair_outputs, (a + b, a - b), strict=True):
            np.testing.assert_allclose(got[name], want, rtol=1e-6, atol=1e-6)


async def _awaited(answer: object) -> NamedArrays:
    return await answer  # type: ignore[misc, no-any-return]  # the caller asked inspect.isawaitable


def _pair(num_rows: int, seed: int = 1) -> tuple[Array, Array]:
    return (
        sample(DType.FLOAT32, (num_rows, 3), seed=2 * seed + 1),
        sample(DType.FLOAT32, (num_rows, 3), seed=2 * seed + 2),
    )


def _only_input(servable: Servable, array: Array) -> dict[str, Array]:
    signature: Signature = servable.signatures[DEFAULT_SIGNATURE]
    (name,) = signature.inputs
    return {name: array}


def _replace(options: LoadOptions, **changes: tuple[str, ...]) -> LoadOptions:
    fields = {name: getattr(options, name) for name in LoadOptions.__dataclass_fields__}
    return LoadOptions(**{**fields, **changes})


def _check_text(error: NaviError) -> None:
    text = str(error)
    assert text, "an error without a text"
    assert "\n" not in text, "an error's text is one line"
    assert "Traceback" not in text
    assert len(text) <= 1000, "an error's text is short"
