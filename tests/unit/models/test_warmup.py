"""The warm-up: what it finds out about batching, and that it never does harm."""

from __future__ import annotations

from navi_core.models.warmup import DEFAULT_ROWS, warm_up
from navi_core.signature import DEFAULT_SIGNATURE
from navi_core.testing.affine import AffineModel, AffineServable


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
