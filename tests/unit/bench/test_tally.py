"""What generators count, and that counting apart and adding up is counting together."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from navi_core.bench.tally import Tally

EVENTS = st.lists(
    st.tuples(st.integers(0, 5 * 10**9), st.integers(0, 10**9), st.sampled_from(["", "HTTP 503", "timeout"])),
    max_size=60,
)


def count(tally: Tally, events) -> Tally:
    for ended_ns, latency_ns, code in events:
        if code:
            tally.fail(ended_ns, code, f"{code} at {ended_ns}")
        else:
            tally.succeed(ended_ns, latency_ns)
    return tally


def plain(tally: Tally) -> tuple:
    seconds = {
        index: (each.num_succeeded, each.num_failed, each.latencies.counts)
        for index, each in tally.seconds.items()
    }
    codes = {code: each.count for code, each in tally.failures.items()}
    return tally.latencies.counts, seconds, codes, tally.last_ns


@settings(max_examples=80)
@given(EVENTS, EVENTS)
def test_add__is_counting_together(ones, others):
    tally = count(Tally(), ones)
    tally.add(count(Tally(), others))
    assert plain(tally) == plain(count(Tally(), [*ones, *others]))
    assert tally.num_succeeded + tally.num_failed == len(ones) + len(others)
    assert sum(each.num_succeeded for each in tally.seconds.values()) == tally.num_succeeded
    assert msgspec.json.decode(msgspec.json.encode(tally), type=Tally) == tally


def test_fail__the_first_of_a_code_is_its_example():
    tally = Tally()
    tally.fail(1, "HTTP 503", "first" + "x" * 1000)
    tally.fail(2, "HTTP 503", "second", times=3)
    assert tally.failures["HTTP 503"].count == 4
    assert tally.failures["HTTP 503"].example.startswith("first")
    assert len(tally.failures["HTTP 503"].example) == 300


def test_add__keeps_what_was_not_sent():
    tally, other = Tally(num_unsent=2), Tally(num_unsent=3)
    other.lateness.record(5)
    tally.add(other)
    assert (tally.num_unsent, tally.lateness.num_values) == (5, 1)
