"""Medians, ratios, ceilings, aims and tables of a run of ``benchmarks/serving``, without servers."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest

Module = Callable[[str], ModuleType]

CASES = ["1 in flight", "64 in flight"]
GRPCIO, ECHO, HAND = "navi, grpcio, ModelInfer", "bare grpc.aio echo", "grpc.aio + onnxruntime by hand"
NAVI = "navi, grpcio and aiohttp"
CEILING = "h2load's own ceiling, gRPC"


def turn(row: str, rate: float, p50_us: float, start_s: float = 1.0) -> dict[str, Any]:
    figures = {
        "requests_per_s": rate,
        "p50_us": p50_us,
        "p99_us": 2 * p50_us,
        "generator_busy": 0.25,
        "server_us_per_request": 50.0,
    }
    rows = {row: dict.fromkeys(CASES, figures)}
    return {"rows": rows, "failures": {}, "start_s": start_s, "resident_mb": 100.0}


@pytest.fixture
def run() -> dict[str, Any]:
    return {
        "measured": "2026-01-02 03:04",
        "machine": "2 cores",
        "rounds": 3,
        "seconds": 2.0,
        "cases": CASES,
        "run_us": {"mlp": 100.0},
        "opening_s": [0.5, 0.4, 0.6],
        "rows": {
            NAVI: [GRPCIO],
            "grpc.aio echo": [ECHO],
            "h2load's own ceiling": [CEILING],
            HAND: [HAND],
            "Triton, C++ ONNX backend": [],
        },
        "forms": {GRPCIO: "infer", ECHO: "infer", CEILING: "infer", HAND: "infer"},
        "turns": {
            NAVI: [turn(GRPCIO, rate, 500.0) for rate in (600.0, 900.0, 700.0)],
            "grpc.aio echo": [turn(ECHO, 1000.0, 300.0)],
            "h2load's own ceiling": [turn(CEILING, rate, 50.0) for rate in (900.0, 1100.0, 1060.0)],
            HAND: [turn(HAND, 850.0, 400.0)],
            "Triton, C++ ONNX backend": [],
        },
        "left_out": {"Triton, C++ ONNX backend": "none is installed here"},
        "versions": {NAVI: {"navi-core": "1.0"}},
    }


def test_medians_spreads_and_ratios(module: Module, run: Mapping[str, Any]) -> None:
    figures = module("figures").Figures(run)
    own = figures.of(GRPCIO, "1 in flight")
    assert (own.requests_per_s, own.least, own.largest) == (700.0, 600.0, 900.0)
    assert figures.times(ECHO, "1 in flight", "requests_per_s") == pytest.approx(1000 / 700)
    assert figures.times(GRPCIO, "1 in flight", "p50_us") == 1.0
    assert figures.rows("grpc") == [GRPCIO, ECHO, CEILING, HAND]
    assert figures.rows("http") == []


def test_marks_what_is_within_a_fifth_of_the_ceiling(module: Module, run: Mapping[str, Any]) -> None:
    figures = module("figures").Figures(run)
    assert figures.ceiling("grpc", "1 in flight") == 1060.0
    assert figures.ceiling("http", "1 in flight") is None
    assert not figures.is_near_ceiling(GRPCIO, "1 in flight")
    assert figures.is_near_ceiling(HAND, "1 in flight")
    assert figures.is_near_ceiling(ECHO, "1 in flight")
    assert not figures.is_near_ceiling(CEILING, "1 in flight")


def test_a_run_without_the_ceiling_has_none_in_its_tables(module: Module, run: Mapping[str, Any]) -> None:
    del run["turns"]["h2load's own ceiling"], run["rows"]["h2load's own ceiling"]
    table = module("report").tables(run)["gRPC, 1 in flight"]
    assert [row[7] for row in table] == ["of the ceiling", "-", "-", "-"]


def test_the_earlier_run_may_know_fewer_rows(module: Module, run: Mapping[str, Any]) -> None:
    earlier = {
        **run,
        "turns": {NAVI: run["turns"][NAVI]},
        "rows": {NAVI: [GRPCIO]},
        "forms": {GRPCIO: "infer"},
    }
    rows = {row[0]: row for row in module("report").tables(run, earlier)["gRPC, 1 in flight"]}
    assert rows[GRPCIO][2] == "1.00 (1.00)"
    assert rows[CEILING][2] == "1.51"


def test_aims_say_met_missed_or_not_measured(module: Module, run: Mapping[str, Any]) -> None:
    found = {(aim.what, aim.beside): aim for aim in module("aims").aims(module("figures").Figures(run))}
    met = found[f"{GRPCIO}, 1 in flight", ECHO]
    assert (met.ratio, met.verdict) == (pytest.approx(0.7), "met")
    assert found[f"{GRPCIO}, 16 in flight", ECHO].verdict == "not measured"
    lone = found[f"{GRPCIO}, lone request, p50", f"{ECHO} plus the framework's run"]
    assert (lone.ratio, lone.verdict) == (500 / 400, "met")
    start = found["start to first answer", "importing onnxruntime and opening the model"]
    assert (start.ratio, start.verdict) == (0.5, "met")
    run["turns"][NAVI][:] = [turn(GRPCIO, 690.0, 530.0)]
    missed = [
        aim.what for aim in module("aims").aims(module("figures").Figures(run)) if aim.verdict == "missed"
    ]
    assert missed == [
        f"{GRPCIO}, 1 in flight",
        f"{GRPCIO}, 64 in flight",
        f"{GRPCIO}, lone request, p50",
    ]


def test_tables_show_both_runs_and_what_was_left_out(module: Module, run: Mapping[str, Any]) -> None:
    report = module("report")
    earlier = {**run, "turns": {**run["turns"], HAND: [turn(HAND, 350.0, 400.0)]}}
    found = report.tables(run, earlier)
    assert list(found) == [f"gRPC, {case}" for case in CASES] + ["Memory and start-up", "Aims", "Left out"]
    rows = {row[0]: row for row in found["gRPC, 1 in flight"]}
    assert rows[HAND][1:3] == ["850 (850 to 850)", "1.21 (0.50)"]
    assert rows[HAND][7] == "80% !"
    assert rows[ECHO][7] == "94% !"
    assert rows[CEILING][7] == "100%"
    assert rows[GRPCIO][7] == "66%"
    assert found["Left out"][1:] == [["Triton, C++ ONNX backend", "none is installed here"]]
    text = report.markdown(run, earlier)
    assert all(len(row) == len(table[0]) for table in found.values() for row in table)
    assert f"| {HAND} | 850 (850 to 850) | 1.21 (0.50) |" in text
    assert "700 (600 to 900)" in report.terminal(run)


def test_a_row_without_a_figure_for_a_case_is_left_out_of_that_table(
    module: Module, run: Mapping[str, Any]
) -> None:
    del run["turns"][HAND][0]["rows"][HAND]["64 in flight"]
    run["turns"][HAND][0]["failures"][f"{HAND}, 64 in flight"] = "0 requests done"
    found = module("report").tables(run)
    assert HAND not in [row[0] for row in found["gRPC, 64 in flight"]]
    assert [f"{HAND}, 64 in flight", "0 requests done"] in found["Left out"]


def test_the_plot_is_well_formed_and_the_quickest_comes_first(module: Module, run: Mapping[str, Any]) -> None:
    root = ET.fromstring(module("plot").draw(module("figures").Figures(run)))
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert texts.index(ECHO) < texts.index(HAND) < texts.index(GRPCIO)
    assert CEILING not in texts
    assert "1,000" in texts
