"""Pages of several processes become one: what adds up, what does not, and what a gone process leaves."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from navi_core.errors import ErrorCode
from navi_core.metrics.cells import FamilySpec, HistogramSnapshot
from navi_core.metrics.metrics import Metrics
from navi_core.metrics.pages import FamilyPage, Page, counts_of, merge, without_unknown

DIALECTS = ("navi", "tensorflow", "proton", "triton")


def counted(*, requests, run_seconds=0.01, model="m", version=7):
    """Return the metrics of a process that answered so many requests."""
    metrics = Metrics(compat=DIALECTS)
    recorder = metrics.for_signature(model, version, "s")
    for _ in range(requests):
        recorder.request_finished("tf_serving", "grpc", "Predict", ErrorCode.OK, "", 0.002, 3)
        recorder.batch_finished((0.001,), 1, 3, 1, "full", 0.0, run_seconds, ok=True)
    return metrics


def lines(metrics, page):
    return metrics.render("", page)[1].decode().splitlines()


def test_one_process_alone__shows_the_same_text_either_way():
    metrics = counted(requests=3)
    for accept in ("", "application/openmetrics-text"):
        assert metrics.render(accept) == metrics.render(accept, merge([metrics.page()]))


def test_counters_and_histograms_of_every_dialect_add_up():
    three, four, seven = counted(requests=3), counted(requests=4), counted(requests=7)
    for each in (three, four, seven):
        each.set_workers(0)
    joined = merge([three.page(), four.page()])
    shown, expected = lines(seven, joined), lines(seven, seven.page())
    names = [line.rpartition(" ")[0] for line in expected]
    assert [line.rpartition(" ")[0] for line in shown] == names
    different = {line.partition("{")[0] for line, other in zip(shown, expected, strict=True) if line != other}
    # sums of floats differ in their last digit by the order in which they are added
    assert {name for name in different if not name.endswith("_sum")} == set()


def test_a_gauge_is_joined_as_it_says():
    def page(value, merged):
        return Page(own=(FamilyPage(FamilySpec("g", "gauge", "", merged=merged), (((), value),)),))

    for merged, expected in (("sum", 7.0), ("max", 5.0), ("min", 2.0)):
        assert merge([page(5.0, merged), page(2.0, merged)]).own[0].values == (((), expected),)


def test_a_page_survives_the_way_between_processes():
    page = counted(requests=2).page()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(page), type=Page) == page


def test_a_process_that_is_gone_leaves_counts_and_no_gauges():
    left = counts_of(counted(requests=2).page())
    kinds = {family.spec.kind for family in (*left.own, *sum(left.compat.values(), ()))}
    assert kinds == {"counter", "histogram"}


def test_what_is_unloaded_is_not_shown_again():
    page = merge([counted(requests=2).page(), counted(requests=1, model="gone").page()])
    known = without_unknown(page, {"m": [7]}, keep=("_unknown_",))
    assert {
        labels[0] for family in known.own if "model" in family.spec.labels for labels, _ in family.values
    } <= {
        "m",
        "_unknown_",
    }
    assert any(labels[:2] == ("m", "7") for family in known.own for labels, _ in family.values)
    other = without_unknown(page, {"m": [8]}, keep=("_unknown_",))
    assert not any(labels[:2] == ("m", "7") for family in other.own for labels, _ in family.values)


_SPECS = st.sampled_from(
    [
        FamilySpec("a_total", "counter", "", ("x",)),
        FamilySpec("b", "gauge", "", ("x",), merged="max"),
        FamilySpec("c", "histogram", "", ("x",), bounds=(1.0,)),
    ]
)


@st.composite
def _families(draw):
    spec = draw(_SPECS)
    numbers = st.integers(0, 1000)
    value = (
        st.tuples(numbers, numbers).map(
            lambda two: HistogramSnapshot((two[0], two[0] + two[1]), float(two[1]))
        )
        if spec.kind == "histogram"
        else numbers.map(float)
    )
    return FamilyPage(spec, tuple(draw(st.dictionaries(st.tuples(st.sampled_from("pqr")), value)).items()))


def _unique(families):
    return {each.spec.name: each for each in families}.values()


_PAGES = st.lists(_families(), max_size=3).map(lambda found: Page(own=tuple(_unique(found))))


@given(st.lists(_PAGES, max_size=4), st.integers(0, 4))
def test_merging_in_any_grouping_gives_the_same(pages, cut):
    def values(page):
        return {(each.spec.name, labels): value for each in page.own for labels, value in each.values}

    in_two = merge([merge(pages[:cut]), merge(pages[cut:])])
    assert values(in_two) == values(merge(pages))
    assert values(merge(reversed(pages))) == values(merge(pages))
