from __future__ import annotations

import msgspec
import pytest

from navi_core.config.records import BatchingSettings
from navi_core.errors import InvalidRequestError
from navi_core.wire.batching_parameters import default_batching, parse_batching

SPLIT = "enable_large_batch_splitting { value: true }"
DEFAULTS = {
    "enabled": True,
    "max_batch_rows": 1000,
    "max_batch_requests": 1000,
    "batch_timeout_ms": 0.0,
    "max_queue_rows": 10_000,
    "split_large_requests": False,
}


def test_defaults_are_tensorflow_servings():
    assert default_batching().table == parse_batching("").table == DEFAULTS
    msgspec.convert(DEFAULTS, BatchingSettings)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        (
            "max_batch_size { value: 32 }",
            {"max_batch_rows": 32, "max_batch_requests": 32, "max_queue_rows": 320},
        ),
        ("batch_timeout_micros { value: 1500 }", {"batch_timeout_ms": 1.5}),
        ("max_enqueued_batches: { value: 3 }", {"max_queue_rows": 3000}),
        ("num_batch_threads { value: 4 }", {"max_concurrent_batches": 4}),
        ("allowed_batch_sizes: [10, 1000] # so", {"allowed_batch_rows": [10, 1000]}),
        ("max_execution_batch_size { value: 5 }", {}),  # only where requests are split
        (
            f"{SPLIT} max_execution_batch_size {{ value: 250 }}",
            {"split_large_requests": True, "max_batch_rows": 250, "max_batch_requests": 250},
        ),
        (SPLIT, {"split_large_requests": True}),
    ],
)
def test_parameters(text, changes):
    parsed = parse_batching(text)
    assert (parsed.table, parsed.notes) == ({**DEFAULTS, **changes}, {})


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("max_batch_size: 5", "expected a BatchingParameters as text: 1:"),
        ("max_batch_size { value: -5 }", "max_batch_size: expected at least 1, got -5"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros: expected at least 0, got -1"),
        ("allowed_batch_sizes: [8, 8]", "expected sizes that increase, got 8 after 8"),
        ("allowed_batch_sizes: [0, 1000]", "expected sizes that increase, got 0 after 0"),
        ("allowed_batch_sizes: [8]", r"expected the last to be max_batch_size \(1000\), got 8"),
        (
            f"{SPLIT} max_execution_batch_size {{ value: 64 }} allowed_batch_sizes: [1000]",
            r"expected the last to be max_execution_batch_size \(64\), got 1000",
        ),
        (
            f"{SPLIT} max_execution_batch_size {{ value: 2000 }}",
            r"max_execution_batch_size: expected at most max_batch_size \(1000\), got 2000",
        ),
    ],
)
def test_what_is_refused(text, match):
    with pytest.raises(InvalidRequestError, match=match):
        parse_batching(text)
