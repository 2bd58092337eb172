"""What h2load prints and logs, as version 1.52 does, and what is taken from it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

OUTPUT = """
finished in 2.00s, 4.00 req/s, 1.08MB/s
requests: 8 total, 9 started, 8 done, 8 succeeded, {failed} failed, {failed} errored, 0 timeout
status codes: 8 2xx, 0 3xx, {rejected} 4xx, 0 5xx
traffic: 1.08MB (1134598) total, 1.66MB (1745526) headers (space savings 0.00%), 432B (432) data
"""
LOG = [f"179527138033951{index}\t200\t{taken}\n" for index, taken in enumerate([8, 1, 7, 2, 6, 3, 5, 4])]

Module = Callable[[str], ModuleType]


def test_reads_rates_latencies_and_the_size_of_an_answer(module: Module) -> None:
    found = module("load").parse(OUTPUT.format(failed=0, rejected=0), LOG, seconds=2.0)
    assert (found.requests, found.requests_per_s, found.answer_bytes) == (8, 4.0, 54.0)
    assert (found.p50_us, found.p99_us) == (4.0, 8.0)


@pytest.mark.parametrize(("failed", "rejected"), [(1, 0), (0, 1)])
def test_refuses_a_run_in_which_a_request_failed(module: Module, failed: int, rejected: int) -> None:
    load = module("load")
    with pytest.raises(load.LoadError, match="failed"):
        load.parse(OUTPUT.format(failed=failed, rejected=rejected), LOG, seconds=2.0)


def test_refuses_output_of_another_form_and_an_empty_log(module: Module) -> None:
    load = module("load")
    with pytest.raises(load.LoadError, match="did not print"):
        load.parse("Usage: h2load", LOG, seconds=2.0)
    with pytest.raises(load.LoadError, match="log"):
        load.parse(OUTPUT.format(failed=0, rejected=0), [], seconds=2.0)


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 5), (90, 9), (91, 10), (100, 10)])
def test_percentile_is_a_number_that_was_measured(module: Module, percent: float, expected: float) -> None:
    assert module("load").percentile(range(1, 11), percent) == expected


def test_calls_h2load_with_a_connection_for_each_request_in_flight(module: Module) -> None:
    command = module("load").command(
        protocol="grpc", url="http://127.0.0.1:1/x", body="b", log="l", in_flight=16, seconds=0.5
    )
    line = " ".join(command)
    assert line.startswith("h2load -c 16 -m1 -t1 -D 500ms ")
    assert "te: trailers" in line
    assert line.endswith(" http://127.0.0.1:1/x")
