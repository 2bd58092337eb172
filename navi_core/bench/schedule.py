"""When requests are sent, and how work is shared: pure arithmetic."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import numpy as np

from navi_core.errors import ConfigError

__all__ = ["Arrival", "arrivals_s", "parse_steps", "share"]

Arrival: TypeAlias = Literal["constant", "poisson"]

_STEPS: Final = re.compile(r"([0-9.]+)\.\.([0-9.]+?)(?:([+*])([0-9.]+))?")
_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_MAX_STEPS: Final = 100
_BLOCK: Final = 1024


def parse_steps(text: str, option: str, *, largest: float, whole: bool = False) -> list[float]:
    """Return the numbers of a list or a ramp.

    Parameters
    ----------
    text
        ``1,16,64``; a ramp ``1..64`` (doubling), ``10..50+10`` or ``1..81*3``, whose last number is always one of
        them; or both mixed.
    option
        For errors.
    largest
        What a number may be at most; it is above 0 anyway.
    whole
        Take whole numbers alone.

    Raises
    ------
    ConfigError
        It is none of these.
    """
    found: list[float] = []
    for word in text.replace(" ", "").split(","):
        match = _STEPS.fullmatch(word)
        if match is None:
            found.append(_number(word, text, option))
        else:
            begin, end, sign, step = match.groups()
            found += _ramp(
                _number(begin, text, option),
                _number(end, text, option),
                sign or "*",
                _number(step or "2", text, option),
                text,
                option,
            )
    for number in found:
        if not 0 < number <= largest or (whole and number != int(number)):
            kind = "whole numbers" if whole else "numbers"
            raise ConfigError(f"expected {kind} above 0 and at most {largest:g}, got '{text}'", path=option)
    if len(found) > _MAX_STEPS:
        raise ConfigError(f"expected at most {_MAX_STEPS} steps, got {len(found)}", path=option)
    return found


def _number(word: str, text: str, option: str) -> float:
    if _NUMBER.fullmatch(word) is None:
        raise ConfigError(
            f"expected a list such as 1,16,64 or a ramp such as 1..64, got '{text}'", path=option
        )
    return float(word)


def _ramp(begin: float, end: float, sign: str, step: float, text: str, option: str) -> list[float]:
    if begin > end or step <= (1 if sign == "*" else 0) or begin <= 0:
        raise ConfigError(f"expected a ramp that rises from above 0, got '{text}'", path=option)
    found: list[float] = []
    while begin < end and len(found) <= _MAX_STEPS:
        found.append(begin)
        begin = begin * step if sign == "*" else begin + step
    return [*found, end]


def share(total: int, parts: int) -> list[int]:
    """Split a number into parts that differ by at most 1, the larger ones first."""
    each, more = divmod(total, parts)
    return [each + (index < more) for index in range(parts)]


def arrivals_s(
    rate_per_s: float, arrival: Arrival, *, part: int = 0, num_parts: int = 1, seed: int = 0
) -> Iterator[float]:
    """Yield when requests are due, in seconds after the start, without end.

    Parameters
    ----------
    rate_per_s
        Of all parts together.
    arrival
        ``constant``: part ``p`` has every ``num_parts``-th one, evenly spaced, so that all parts together are evenly
        spaced, too. ``poisson``: independent arrivals; a part's have their share of the rate, and together they are
        Poisson again.
    part, num_parts
        Which of so many generators this is for.
    seed
        Of the random arrivals.
    """
    if arrival == "constant":
        index = part
        while True:
            yield index / rate_per_s
            index += num_parts
    random = np.random.default_rng((seed, part))
    mean_s = num_parts / rate_per_s
    at_s = 0.0
    while True:
        for gap_s in random.exponential(mean_s, _BLOCK).tolist():
            at_s += gap_s
            yield at_s
