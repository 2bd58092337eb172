"""What the demo's model predicts, and how the predictions become one score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BASE_RATES", "TASKS", "WEIGHTS", "rank", "scores"]

WEIGHTS: Final[Mapping[str, float]] = {
    "recap.engagement.is_favorited": 0.5,
    "recap.engagement.is_good_clicked_convo_desc_favorited_or_replied": 11.0,
    "recap.engagement.is_good_clicked_convo_desc_v2": 10.0,
    "recap.engagement.is_negative_feedback_v2": -74.0,
    "recap.engagement.is_profile_clicked_and_profile_engaged": 12.0,
    "recap.engagement.is_replied": 13.5,
    "recap.engagement.is_replied_reply_engaged_by_author": 75.0,
    "recap.engagement.is_report_tweet_clicked": -369.0,
    "recap.engagement.is_retweeted": 1.0,
    "recap.engagement.is_video_playback_50": 0.005,
}
"""Task -> weight, in the model's order; weights as published in the-algorithm-ml, projects/home/recap."""

TASKS: Final = tuple(WEIGHTS)

BASE_RATES: Final = (0.08, 0.03, 0.04, 0.004, 0.01, 0.02, 0.006, 0.0004, 0.02, 0.15)
"""Invented: how often each engagement happens; the model's output biases."""


def scores(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Return one score a row.

    Parameters
    ----------
    probabilities
        (R, 10), any float. Columns as in ``TASKS``.
    """
    weights = np.array(list(WEIGHTS.values()), dtype=np.float64)
    weighted: NDArray[np.float64] = probabilities.astype(np.float64) @ weights
    return weighted


def rank(probabilities: NDArray[Any]) -> NDArray[np.int64]:
    """Return the rows from the highest score to the lowest; equal scores keep their order."""
    return np.argsort(-scores(probabilities), kind="stable").astype(np.int64)
