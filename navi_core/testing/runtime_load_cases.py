"""The half of the runtime suite about finding and loading models."""
# ruff: noqa: S101 - a conformance suite is made of assertions

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from navi_core.contracts.artifact import Artifact
from navi_core.contracts.runtime import LoadOptions
from navi_core.errors import ModelLoadError
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.tensors import DType, dtype_of
from navi_core.testing.error_text import check_text
from navi_core.testing.imports import assert_import_light, assert_recognise_is_light
from navi_core.testing.runtime_cases import RuntimeCases
from navi_core.testing.samples import sample

__all__ = ["LoadCases"]


class LoadCases(RuntimeCases):
    """What holds until a model has loaded."""

    # --- discovery --------------------------------------------------------------------------------

    def test_plugin_module_imports_no_framework(self) -> None:
        """Listing plugins stays quick: the framework is imported when a model is loaded."""
        assert self.plugin_module, "set plugin_module"
        assert_import_light(self.plugin_module, self.heavy_modules)

    def test_class_says_what_the_host_needs(self) -> None:
        """The name is a word, options are strict, and every flag sets an option that exists."""
        assert self.dtypes, "set dtypes to the element types that the runtime carries"
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
            check_text(caught.value)

    def test_a_failed_load_does_not_spoil_the_next(self, tmp_path: Path) -> None:
        """The runtime goes on after a load that failed."""
        runtime = self.make_runtime()
        with pytest.raises(ModelLoadError):
            runtime.load(self.corrupt_model(tmp_path / "corrupt"), self.load_options())
        servable = runtime.load(self.pair_model(tmp_path / "pair"), self.load_options())
        try:
            self._check_pair(servable, self._pair(2))
        finally:
            servable.close()

    def test_signature_of_a_batchable_model(self, tmp_path: Path) -> None:
        """Names, dtypes and shapes are the model's; it batches."""
        with self._loaded(self.pair_model(tmp_path)) as servable:
            signature = servable.signatures[DEFAULT_SIGNATURE]
            assert set(signature.inputs) == set(self.pair_inputs)
            assert set(signature.outputs) == set(self.pair_outputs)
            answer = self._pair_answer(self._pair(2))
            for name, spec in signature.inputs.items():
                assert spec.name == name
                assert spec.dtype is DType.FLOAT32
            for name, spec in signature.outputs.items():
                assert spec.name == name
                assert spec.dtype is dtype_of(answer[name])
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
        for outputs in (self.pair_outputs[-1:], self.pair_outputs[::-1], self.pair_outputs):
            restricted = _replace(options, outputs=outputs)
            with self._loaded(artifact, restricted) as servable:
                assert tuple(servable.signatures[DEFAULT_SIGNATURE].outputs) == outputs
                self._check_pair(servable, self._pair(2))
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
            self._check_pair(servable, self._pair(3))


def _replace(options: LoadOptions, **changes: tuple[str, ...]) -> LoadOptions:
    fields = {name: getattr(options, name) for name in LoadOptions.__dataclass_fields__}
    return LoadOptions(**{**fields, **changes})
