"""The warm-up: what it finds out about batching, and that it never does harm."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from navi_core.config.records import ModelSettings, WarmupSettings
from navi_core.contracts.artifact import Artifact
from navi_core.errors import InferenceError
from navi_core.models.loading import load_version
from navi_core.models.warmup import DEFAULT_ROWS, warm_up
from navi_core.signature import DEFAULT_SIGNATURE, TensorSpec
from navi_core.tensors import DType
from navi_core.testing.affine import AffineModel, AffineRuntime, AffineServable, write_affine
from navi_core.testing.registries import registry_of


def warmed(rows=DEFAULT_ROWS, **model):
    servable = AffineServable(AffineModel(**model))
    signatures, notes = warm_up(servable, servable.signatures, rows, model="m")
    return servable, signatures[DEFAULT_SIGNATURE], notes


def test_a_model_whose_outputs_follow_the_rows_batches():
    servable, signature, notes = warmed()

    assert signature.batchable
    assert notes == []
    assert servable.batches == [1, 2]


def test_a_model_whose_outputs_do_not_follow_the_rows_runs_requests_alone():
    _, signature, notes = warmed(follows_rows=False)

    assert not signature.batchable
    assert signature.not_batchable_because == "output 'y' has shape (1, 2) for 2 rows"
    assert notes == [
        "signature 'serving_default' runs requests alone: output 'y' has shape (1, 2) for 2 rows"
    ]


class Picky(AffineServable):
    def run(self, signature, inputs, outputs, ctx):
        msg = "the model expects something else"
        raise InferenceError(msg)


class MinusMean(AffineServable):
    """Each row's answer depends on the rows beside it; on zeros it would not show."""

    def run(self, signature, inputs, outputs, ctx):
        x = inputs["x"]
        return {"y": x - x.mean(0), "rows": np.zeros(len(x), np.int64)}


class Noisy(AffineServable):
    def run(self, signature, inputs, outputs, ctx):
        noise = np.random.default_rng().random(inputs["x"].shape, np.float32)
        return {"y": inputs["x"] + noise, "rows": np.zeros(len(noise), np.int64)}


class Rounding(AffineServable):
    """Adds in another order where there are more rows, as kernels do."""

    def run(self, signature, inputs, outputs, ctx):
        x = inputs["x"]
        return {"y": x * np.float32(1 + 1e-5 * len(x)), "rows": np.zeros(len(x), np.int64)}


def warm(servable, **more):
    signatures, notes = warm_up(servable, servable.signatures, DEFAULT_ROWS, model="m", **more)
    return signatures[DEFAULT_SIGNATURE], notes


def test_a_model_that_refuses_the_warm_up_is_loaded_all_the_same_and_says_why():
    signature, notes = warm(Picky(AffineModel()))

    assert signature.batchable
    assert notes == [
        "signature 'serving_default': the warm-up with 1 row failed: the model expects something else"
    ]


def test_a_model_of_texts_may_refuse_empty_ones_without_a_word():
    servable = Picky(AffineModel())
    signature = servable.signatures[DEFAULT_SIGNATURE]
    texts = {"x": dataclasses.replace(signature.inputs["x"], dtype=DType.STRING)}
    servable.signatures = {DEFAULT_SIGNATURE: dataclasses.replace(signature, inputs=texts)}

    assert warm(servable)[1] == []


def test_a_model_that_mixes_rows_runs_requests_alone():
    signature, notes = warm(MinusMean(AffineModel()))

    assert not signature.batchable
    assert signature.not_batchable_because == "output 'y' of a row depends on the rows beside it"
    assert notes == [f"signature 'serving_default' runs requests alone: {signature.not_batchable_because}"]


def test_a_model_that_mixes_rows_is_batched_where_the_configuration_insists():
    signature, notes = warm(MinusMean(AffineModel()), batched=[DEFAULT_SIGNATURE])

    assert signature.batchable
    assert "the configuration says that it is batched" in notes[0]


def test_a_model_of_chance_cannot_be_told_from_one_that_mixes_and_batches():
    signature, notes = warm(Noisy(AffineModel()))

    assert signature.batchable
    assert notes == ["signature 'serving_default': output 'y' is another one in every run"]


def test_rounding_is_no_mixing():
    signature, notes = warm(Rounding(AffineModel()))

    assert signature.batchable
    assert notes == []


class Summing(AffineServable):
    """Needs ``bias`` row by row, and is not batched."""

    def __init__(self, *shape, default):
        super().__init__(AffineModel())
        signature = self.signatures[DEFAULT_SIGNATURE]
        bias = TensorSpec(
            name="bias", dtype=DType.FLOAT32, shape=shape, default=np.asarray(default, np.float32)
        )
        self.signatures = {
            DEFAULT_SIGNATURE: dataclasses.replace(
                signature, inputs={**signature.inputs, "bias": bias}, batchable=False
            )
        }

    def run(self, signature, inputs, outputs, ctx):
        assert len(inputs["bias"]) == len(inputs["x"])
        return super().run(signature, inputs, outputs, ctx)


def test_defaults_follow_the_rows_of_a_model_that_is_not_batched():
    servable = Summing("batch", 2, default=[[1, 2]])

    _, notes = warm_up(servable, servable.signatures, (3,), model="m")

    assert (servable.batches, notes) == ([3], [])


def test_a_default_of_so_many_rows_that_no_run_fits_is_noted_and_loads():
    servable = Summing("batch", 2, default=[[1, 2]] * 5)

    signatures, notes = warm_up(servable, servable.signatures, DEFAULT_ROWS, model="m")

    assert signatures == servable.signatures
    assert notes == [
        "signature 'serving_default' was not warmed up: default of input 'bias': expected rows 5, got 1"
    ]


def test_one_row_count_proves_nothing_and_says_so():
    _, _, notes = warmed(rows=(4,))

    assert "one row count cannot tell" in notes[0]


@pytest.mark.parametrize(
    ("is_stateful", "enabled", "is_run"),
    [(False, None, True), (True, None, False), (True, True, True), (False, False, False)],
)
def test_a_model_that_remembers_is_warmed_up_only_where_that_is_said(tmp_path, is_stateful, enabled, is_run):
    loaded_servables = []

    class Remembering(AffineRuntime):
        def load(self, artifact, options):
            servable = super().load(artifact, options)
            servable.is_stateful = is_stateful
            loaded_servables.append(servable)
            return servable

    folder = write_affine(tmp_path / "m", 1)
    artifact = Artifact(name="m", version=1, path=folder)
    said = ModelSettings(warmup=WarmupSettings(enabled=enabled))
    load_version(registry_of(runtimes=[Remembering]), artifact, said)
    [servable] = loaded_servables
    assert bool(servable.batches) == is_run
