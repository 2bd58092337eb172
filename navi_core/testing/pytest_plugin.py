"""Fixtures and options for everyone who tests a plugin; loaded by pytest because navi-core is installed."""

from __future__ import annotations

import pytest

from navi_core.clock import ManualClock

__all__ = ["manual_clock", "memory_cycles"]

_MEMORY_PROPERTY = "navi_memory"  # navi_core.testing.memory's word; importing that would import NumPy

# A failing conformance case shows both sides of its comparison, like a test of the plugin's own.
pytest.register_assert_rewrite(
    "navi_core.testing.converter_buffers",
    "navi_core.testing.converter_cases",
    "navi_core.testing.converter_damage_cases",
    "navi_core.testing.converter_host_cases",
    "navi_core.testing.converter_memory_cases",
    "navi_core.testing.converter_plan_cases",
    "navi_core.testing.error_text",
    "navi_core.testing.hosted",
    "navi_core.testing.memory",
    "navi_core.testing.runtime_cases",
    "navi_core.testing.runtime_host_cases",
    "navi_core.testing.runtime_load_cases",
    "navi_core.testing.runtime_memory_cases",
    "navi_core.testing.runtime_run_cases",
    "navi_core.testing.service_call_cases",
    "navi_core.testing.service_cases",
    "navi_core.testing.service_shape_cases",
    "navi_core.testing.service_stage",
    "navi_core.testing.transport_cases",
    "navi_core.testing.transport_http_cases",
    "navi_core.testing.transport_rpc_cases",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the conformance suites can be told."""
    parser.getgroup("navi").addoption(
        "--navi-memory-cycles",
        type=int,
        default=5,
        metavar="N",
        help="cycles of load, run and unload in the conformance suites' memory cases; from 41 on, the slope "
        "of resident memory is judged (default: %(default)s; the release check is 200)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of the conformance suites, so that strict marker checks accept it."""
    config.addinivalue_line("markers", "conformance: one case of a shared conformance suite")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the memory cases measured, whatever became of them."""
    shown = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == _MEMORY_PROPERTY
    ]
    if shown:
        terminalreporter.section("resident memory")
        for line in shown:
            terminalreporter.line(line)


@pytest.fixture
def manual_clock() -> ManualClock:
    """Return a clock that moves only when the test says so."""
    return ManualClock()


@pytest.fixture(scope="session")
def memory_cycles(pytestconfig: pytest.Config) -> int:
    """Return how often the memory cases load and unload."""
    cycles: int = pytestconfig.getoption("--navi-memory-cycles")
    return cycles
