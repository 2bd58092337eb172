"""The demo's requests: one user, and candidates to rank for that user, as Apache Thrift encodes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from navi_dr_transform.demo.features import EMBEDDING_NAMES, feature_id, feature_ids
from navi_dr_transform.layout import HOME, HomeTensor
from navi_dr_transform.thrift_records import data_record, encode_request, float_tensor

__all__ = ["Candidate", "DemoRequest", "make_requests"]

_COMMON_CONTINUOUS: Final = 400
_OWN_CONTINUOUS: Final = 550
_COMMON_BINARY: Final = 20
_OWN_BINARY: Final = 30
_OWN_DISCRETE: Final = 20

_AUTHORS: Final = ("ada", "grace", "edsger", "barbara", "donald", "frances", "ken", "radia", "tony", "karen")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A post to rank.

    Parameters
    ----------
    post_id
        Its id.
    author
        Who wrote it.
    """

    post_id: int
    author: str


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """One BatchPredictionRequest and the candidates that its records stand for."""

    payload: bytes
    candidates: Sequence[Candidate]


def make_requests(num_requests: int = 3, num_candidates: int = 8, seed: int = 64) -> list[DemoRequest]:
    """Return requests of one user, ``num_candidates`` records each.

    Parameters
    ----------
    num_requests, num_candidates
        How many, and how many records in each.
    seed
        Of everything in them.
    """
    random = np.random.default_rng(seed)
    common = data_record(
        continuous=_continuous(random, _COMMON_CONTINUOUS),
        binary=_pick(random, HomeTensor.BINARY, _COMMON_BINARY),
        tensors={
            feature_id(EMBEDDING_NAMES[kind]): _embedding(random)
            for kind in (HomeTensor.USER_EMBEDDING, HomeTensor.USER_ENG_EMBEDDING)
        },
    )
    requests = []
    for request in range(num_requests):
        records, candidates = [], []
        for index in range(num_candidates):
            records.append(_record(random))
            number = request * num_candidates + index
            candidates.append(Candidate(1_600_000_000_000 + 7 * number, _AUTHORS[number % len(_AUTHORS)]))
        requests.append(DemoRequest(encode_request(records, common), tuple(candidates)))
    return requests


def _record(random: np.random.Generator) -> Any:
    discrete = _pick(random, HomeTensor.DISCRETE, _OWN_DISCRETE)
    return data_record(
        continuous=_continuous(random, _OWN_CONTINUOUS),
        binary=_pick(random, HomeTensor.BINARY, _OWN_BINARY),
        discrete={
            each: int(value)
            for each, value in zip(discrete, random.integers(0, 100, len(discrete)), strict=True)
        },
        tensors={feature_id(EMBEDDING_NAMES[HomeTensor.AUTHOR_EMBEDDING]): _embedding(random)},
    )


def _continuous(random: np.random.Generator, count: int) -> dict[int, float]:
    """Return values of very different sizes, as counters and ratios have."""
    values = random.standard_normal(count) * np.exp(2.0 * random.standard_normal(count))
    return dict(zip(_pick(random, HomeTensor.CONTINUOUS, count), values.tolist(), strict=True))


def _pick(random: np.random.Generator, kind: HomeTensor, count: int) -> list[int]:
    ids = feature_ids(kind)
    return [ids[column] for column in random.choice(len(ids), count, replace=False)]


def _embedding(random: np.random.Generator) -> Any:
    return float_tensor(random.standard_normal(HOME.tensors[HomeTensor.USER_EMBEDDING].width))
