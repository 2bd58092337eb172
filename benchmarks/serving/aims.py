"""What navi is meant to reach beside others, and what a run found."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from figures import Figures

GRPCIO, AIOHTTP = "navi, grpcio, ModelInfer", "navi, aiohttp, v1"
ENVOY_GRPC, ENVOY_HTTP = "navi, Envoy, ModelInfer", "navi, Envoy, v1"
HAND = "grpc.aio + onnxruntime by hand"
ECHOES = {
    GRPCIO: "bare grpc.aio echo",
    ENVOY_GRPC: "bare pyvoy echo, gRPC",
    AIOHTTP: "bare aiohttp echo",
    ENVOY_HTTP: "bare pyvoy echo, HTTP",
}
TRITON = "Triton (C++ ONNX backend), ModelInfer"
SMALL = ("1 in flight", "16 in flight", "64 in flight")


@dataclass(frozen=True)
class Aim:
    """One aim: a ratio, and the bound it is to keep; no ratio where one of the two was not measured."""

    what: str
    beside: str
    bound: float
    at_least: bool
    ratio: float | None
    unit: str = ""

    @property
    def verdict(self) -> str:
        if self.ratio is None:
            return "not measured"
        met = self.ratio >= self.bound if self.at_least else self.ratio <= self.bound
        return "met" if met else "missed"

    @property
    def words(self) -> str:
        bound = f"{self.bound:g}{self.unit}"
        return f"at least {bound}" if self.at_least else f"at most {bound}"


def aims(figures: Figures) -> list[Aim]:
    """Return every aim with what the run found."""
    found = [
        Aim(f"{row}, {case}", other, bound, True, _rates(figures, row, other, case))
        for row, other, bound in (
            (ENVOY_GRPC, TRITON, 1.0),
            (GRPCIO, ECHOES[GRPCIO], 0.7),
            (ENVOY_HTTP, ECHOES[AIOHTTP], 1.0),
        )
        for case in SMALL
    ]
    run_us = figures.run["run_us"]["mlp"]
    for row, echo in ECHOES.items():
        own, bare = figures.of(row, SMALL[0]), figures.of(echo, SMALL[0])
        ratio = own.p50_us / (bare.p50_us + run_us) if own and bare else None
        found.append(Aim(f"{row}, lone request, p50", f"{echo} plus the framework's run", 1.3, False, ratio))
    started = figures.server("navi, grpcio and aiohttp", "start_s")
    opening = statistics.median(figures.run["opening_s"])
    more = None if started is None else started - opening
    found.append(
        Aim(
            "start to first answer",
            "importing onnxruntime and opening the model",
            1.0,
            False,
            more,
            " s more",
        )
    )
    memory = figures.server("navi, grpcio and aiohttp", "resident_mb")
    by_hand = figures.server(HAND, "resident_mb")
    ratio = memory / by_hand if memory and by_hand else None
    found.append(Aim("resident memory after load", HAND, 1.5, False, ratio))
    return found


def _rates(figures: Figures, row: str, other: str, case: str) -> float | None:
    one, two = figures.of(row, case), figures.of(other, case)
    return one.requests_per_s / two.requests_per_s if one and two else None
