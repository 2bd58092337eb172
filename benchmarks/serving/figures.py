"""A run's turns as figures: medians and spreads, ratios, ceilings."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROTOCOLS = {"infer": "grpc", "predict": "grpc", "v1": "http", "v2": "http"}
REFERENCES = {"grpc": "navi, grpcio, ModelInfer", "http": "navi, aiohttp, v1"}
REFERENCE_SERVER = "navi, grpcio and aiohttp"
CEILINGS = {"grpc": "h2load's own ceiling, gRPC", "http": "h2load's own ceiling, REST"}
NEAR = 0.8  # of the ceiling: what a row shows from here on is the generator as much as the server


@dataclass(frozen=True)
class Figure:
    """The medians of one row's turns under one load, and the least and largest rate."""

    requests_per_s: float
    least: float
    largest: float
    p50_us: float
    p99_us: float
    generator_busy: float
    server_us: float


class Figures:
    """A run, as `__main__` writes it to JSON."""

    def __init__(self, run: Mapping[str, Any]) -> None:
        self.run = run
        self.cases: Sequence[str] = run["cases"]
        self._found = {
            (row, case): _median(found)
            for server, turns in run["turns"].items()
            for row in run["rows"][server]
            for case in self.cases
            if (found := [turn["rows"][row][case] for turn in turns if case in turn["rows"][row]])
        }

    def rows(self, protocol: str) -> list[str]:
        """Return the rows of a protocol that were measured."""
        return [
            row
            for rows in self.run["rows"].values()
            for row in rows
            if PROTOCOLS[self.run["forms"][row]] == protocol
            and any((row, case) in self._found for case in self.cases)
        ]

    def of(self, row: str, case: str) -> Figure | None:
        return self._found.get((row, case))

    def times(self, row: str, case: str, name: str) -> float | None:
        """Return one figure of a row as a multiple of navi's."""
        if (own := self.of(row, case)) is None:  # an earlier run may not know the row
            return None
        reference = self.of(REFERENCES[PROTOCOLS[self.run["forms"][row]]], case)
        return getattr(own, name) / getattr(reference, name) if reference else None

    def ceiling(self, protocol: str, case: str) -> float | None:
        """Return what the generator reached against a server that does next to nothing."""
        own = self.of(CEILINGS[protocol], case)
        return own.requests_per_s if own else None

    def is_near_ceiling(self, row: str, case: str) -> bool:
        if row in CEILINGS.values():
            return False
        ceiling = self.ceiling(PROTOCOLS[self.run["forms"][row]], case)
        own = self.of(row, case)
        return ceiling is not None and own is not None and own.requests_per_s >= NEAR * ceiling

    def server(self, name: str, what: str) -> float | None:
        """Return the median of ``start_s`` or ``resident_mb``."""
        turns = self.run["turns"].get(name)
        return statistics.median(turn[what] for turn in turns) if turns else None


def _median(turns: Sequence[Mapping[str, float]]) -> Figure:
    def middle(name: str) -> float:
        return statistics.median(turn[name] for turn in turns)

    rates = [turn["requests_per_s"] for turn in turns]
    return Figure(
        requests_per_s=middle("requests_per_s"),
        least=min(rates),
        largest=max(rates),
        p50_us=middle("p50_us"),
        p99_us=middle("p99_us"),
        generator_busy=middle("generator_busy"),
        server_us=middle("server_us_per_request"),
    )
