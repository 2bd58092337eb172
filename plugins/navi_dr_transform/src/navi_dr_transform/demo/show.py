"""The demo's ranking, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from navi_dr_transform.demo.requests import Candidate
from navi_dr_transform.demo.tasks import TASKS, rank, scores

__all__ = ["ranking_json", "ranking_table", "write_table"]

_SHOWN: Final = {
    "recap.engagement.is_favorited": "like",
    "recap.engagement.is_replied": "reply",
    "recap.engagement.is_retweeted": "repost",
    "recap.engagement.is_replied_reply_engaged_by_author": "author answers",
    "recap.engagement.is_negative_feedback_v2": "dislike",
    "recap.engagement.is_report_tweet_clicked": "report",
}
"""Task -> the heading of its probability."""


def ranking_json(
    candidates: Sequence[Candidate], probabilities: NDArray[np.float32], *, addresses: Sequence[str]
) -> str:
    """Return the ranking as one JSON object.

    Parameters
    ----------
    candidates
        In the order of the rows.
    probabilities
        (R, 10) float32. Columns as in ``demo.tasks.TASKS``.
    addresses
        Where the model is served.
    """
    weighted = scores(probabilities)
    ranking: list[dict[str, Any]] = [
        {
            "rank": place,
            "post_id": candidates[row].post_id,
            "author": candidates[row].author,
            "score": float(weighted[row]),
            "probabilities": dict(zip(TASKS, probabilities[row].tolist(), strict=True)),
        }
        for place, row in enumerate(rank(probabilities), start=1)
    ]
    return json.dumps({"addresses": list(addresses), "ranking": ranking})


def ranking_table(candidates: Sequence[Candidate], probabilities: NDArray[np.float32]) -> Table:
    """Return the ranking as a table; parameters as for :func:`ranking_json`."""
    weighted = scores(probabilities)
    table = Table(title="Candidates, best first", caption="score: weighted sum of ten probabilities")
    table.add_column("#", justify="right")
    table.add_column("post")
    table.add_column("author")
    table.add_column("score", justify="right", style="bold")
    for heading in _SHOWN.values():
        table.add_column(heading, justify="right")
    for place, row in enumerate(rank(probabilities), start=1):
        shown = [f"{probabilities[row, TASKS.index(task)]:.4f}" for task in _SHOWN]
        candidate = candidates[row]
        table.add_row(str(place), str(candidate.post_id), candidate.author, f"{weighted[row]:+.4f}", *shown)
    return table


def write_table(table: Table) -> None:
    """Write a table to standard output; where nobody watches, wide enough for all of it."""
    console = Console()
    Console(width=None if console.is_terminal else max(console.width, 120)).print(table)
