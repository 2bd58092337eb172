"""The warm-up: what it finds out about batching, and that it never does harm."""

from __future__ import annotations

import pytest

from navi_core.config.records import ModelSettings, WarmupSettings
from navi_core.contracts.artifact import Artifact
from navi_core.models.loading import load_version
from navi_core.models.warmup import DEFAULT_ROWS, warm_up
from navi_core.signature import DEFAULT_SIGNATURE
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


def test_a_model_that_refuses_zeros_is_loaded_all_the_same_and_says_why():
    _, signature, notes = warmed(poison=0.0)

    assert signature.batchable
    assert notes == [
        "signature 'serving_default': the warm-up with 1 rows of zeros failed: the model met its poison"
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
