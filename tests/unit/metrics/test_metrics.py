"""What is counted, under which labels, what is forgotten, and in which formats it is shown."""

from __future__ import annotations

import threading
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from navi_core.contracts.versions import ServableState
from navi_core.errors import ErrorCode
from navi_core.metrics.cells import HistogramCell
from navi_core.metrics.families import BUCKETS, FAMILIES, UNKNOWN
from navi_core.metrics.metrics import Metrics
from navi_core.metrics.process import PROCESS_FAMILIES
from navi_core.metrics.recorders import MAX_NOTED

SPECS = Path(__file__).parents[3] / "specs" / "metrics"
CALL = ("tensorflow", "grpc", "Predict")


@pytest.fixture
def metrics():
    return Metrics()


def samples(metrics):
    """Return every sample as (name, labels) -> value."""
    _, body = metrics.render()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(body.decode())
        for sample in family.samples
    }


def value(metrics, name, /, **labels):
    return samples(metrics).get((name, frozenset(labels.items())))


def labels_seen(metrics, label):
    return {dict(labels).get(label) for _, labels in samples(metrics)} - {None}


VERSION = {"model": "m", "version": "7"}
TARGET = {**VERSION, "signature": "s"}
CALLED = {**TARGET, "service": "tensorflow", "transport": "grpc", "method": "Predict"}


# --- the table --------------------------------------------------------------------------------


def test_table__equals_the_specification():
    written = tomllib.loads((SPECS / "metrics.toml").read_text())
    assert {name: list(bounds) for name, bounds in BUCKETS.items()} == written["buckets"]
    assert list(FAMILIES) == [entry["name"] for entry in written["metric"]]
    for entry in written["metric"]:
        spec = FAMILIES[entry["name"]]
        bounds = written["buckets"][entry["buckets"]] if "buckets" in entry else []
        shown = (spec.kind, spec.unit, list(spec.labels), spec.meaning, list(spec.bounds), spec.merged)
        assert shown == (
            entry["kind"],
            entry["unit"],
            entry["labels"],
            entry["meaning"],
            bounds,
            entry.get("merged", "sum"),
        )


def test_table__names_follow_the_rules():
    for spec in FAMILIES.values():
        assert spec.name.startswith(("navi_", "process_"))
        assert (spec.kind == "counter") == spec.name.endswith("_total")
        assert (spec.kind == "histogram") == bool(spec.bounds)
        assert list(spec.bounds) == sorted(set(spec.bounds))
        if spec.unit in {"seconds", "bytes"}:
            assert spec.name.removesuffix("_total").endswith(f"_{spec.unit}")


def test_page__shows_every_family_of_the_table_and_no_other(metrics):
    use_everything(metrics)
    families = list(parse_text(metrics.render()[1].decode()))
    shown = {family.name + ("_total" if family.type == "counter" else ""): family for family in families}
    assert set(FAMILIES) == set(shown)
    for name, spec in FAMILIES.items():
        assert spec.kind == shown[name].type
        assert shown[name].samples, name
        for sample in shown[name].samples:
            assert set(spec.labels) == set(sample.labels) - {"le"}


def use_everything(metrics):
    metrics.set_gauge_source(lambda: [("m", 7, 3, 2, 20, 2000)])
    metrics.set_budget_source(lambda: 4096)
    metrics.set_process_source(lambda: {name: [((), 7.0)] for name in PROCESS_FAMILIES})
    metrics.state_changed("m", 7, None, ServableState.START)
    metrics.state_changed("m", 7, ServableState.START, ServableState.AVAILABLE)
    metrics.load_finished("m", 7, 1.5, ok=True)
    metrics.load_finished("m", 8, 0.5, ok=False)
    recorder = metrics.for_signature("m", 7, "s")
    recorder.request_finished(*CALL, ErrorCode.OK, "", 0.004, 5)
    recorder.request_finished(*CALL, ErrorCode.RESOURCE_EXHAUSTED, "queue_rows", 0.001, 0)
    recorder.batch_finished((0.002,), 3, 5, 3, "rows", 0.003, 0.01, ok=True)
    recorder.batch_finished((), 1, 2, 0, "free_worker", 0.001, 0.02, ok=False)
    recorder.batch_finished((0.1,), 0, 0, 0, "rows", 0.0, 0.0, ok=True)  # nobody was left to run it for
    recorder.encoded(0.001)
    recorder.work_saved("cancelled")
    recorder.work_saved("late", 2)
    recorder.work_saved("stale", 4)
    recorder.retried(3)
    metrics.set_gauges("m", 7, {"customop_version": 54321.0, "threads": 2.0})
    metrics.set_certificate_source(lambda: {"grpc": 2e9})


def test_page__values_are_what_was_recorded(metrics):
    use_everything(metrics)
    got = {
        name: value(metrics, name, **labels)
        for name, labels in {
            "navi_request_rows_total": TARGET,
            "navi_padding_rows_total": TARGET,
            "navi_run_failures_total": TARGET,
            "navi_retried_requests_total": TARGET,
            "navi_requests_in_flight": VERSION,
            "navi_queue_requests": VERSION,
            "navi_queue_rows": VERSION,
            "navi_queue_bytes": VERSION,
            "navi_request_seconds_count": CALLED,
            "navi_request_seconds_sum": CALLED,
            "navi_run_seconds_sum": TARGET,
            "navi_batch_rows_sum": TARGET,
            "navi_batch_requests_sum": TARGET,
            "navi_queue_wait_seconds_count": TARGET,
            "navi_convert_seconds_count": TARGET,
            "navi_encode_seconds_count": TARGET,
            "navi_body_budget_used_bytes": {},
        }.items()
    }
    assert got == {
        "navi_request_rows_total": 5,
        "navi_padding_rows_total": 3,
        "navi_run_failures_total": 1,
        "navi_retried_requests_total": 3,
        "navi_requests_in_flight": 3,
        "navi_queue_requests": 2,
        "navi_queue_rows": 20,
        "navi_queue_bytes": 2000,
        "navi_request_seconds_count": 2,
        "navi_request_seconds_sum": pytest.approx(0.005),
        "navi_run_seconds_sum": pytest.approx(0.03),
        "navi_batch_rows_sum": 7,
        "navi_batch_requests_sum": 4,
        "navi_queue_wait_seconds_count": 2,
        "navi_convert_seconds_count": 2,
        "navi_encode_seconds_count": 1,
        "navi_body_budget_used_bytes": 4096,
    }
    assert value(metrics, "navi_requests_total", **CALLED, code="OK", reason="") == 1
    refused = {"code": "RESOURCE_EXHAUSTED", "reason": "queue_rows"}
    assert value(metrics, "navi_requests_total", **CALLED, **refused) == 1
    assert value(metrics, "navi_batches_total", **TARGET, close_reason="rows") == 1
    assert value(metrics, "navi_work_saved_total", **TARGET, kind="cancelled") == 1
    assert value(metrics, "navi_work_saved_total", **TARGET, kind="late") == 2
    assert value(metrics, "navi_work_saved_total", **TARGET, kind="stale") == 4
    assert value(metrics, "navi_load_seconds_sum", model="m", outcome="ok") == 1.5
    assert value(metrics, "navi_load_seconds_count", model="m", outcome="failed") == 1
    assert value(metrics, "navi_versions", model="m", state="AVAILABLE") == 1
    assert value(metrics, "navi_versions", model="m", state="START") == 0
    assert value(metrics, "navi_model_gauge", model="m", version="7", name="threads") == 2


@given(st.lists(st.floats(0, 1e6), max_size=50))
def test_histogram__buckets_are_cumulative_and_inclusive(values):
    bounds = (0.0, 0.5, 1.0, 100.0)
    cell = HistogramCell(bounds)
    for one in values:
        cell.observe(one)
    expected = [*(sum(one <= bound for one in values) for bound in bounds), len(values)]
    assert expected == list(cell.snapshot().cumulative)
    assert sum(values) == pytest.approx(cell.snapshot().total)


# --- labels come from loaded models only --------------------------------------------------------


def test_unresolved__the_clients_words_are_not_labels(metrics):
    metrics.unresolved_request(*CALL, ErrorCode.NOT_FOUND, "")
    where = {**CALLED, **dict.fromkeys(TARGET, UNKNOWN)}
    assert value(metrics, "navi_requests_total", **where, code="NOT_FOUND", reason="") == 1
    assert labels_seen(metrics, "model") == {UNKNOWN}
    assert value(metrics, "navi_request_seconds_count", **where) == 0


def test_a_request_that_is_refused_before_it_is_decoded_takes_no_time(metrics):
    recorder = metrics.for_signature("m", 7, "s")
    recorder.request_finished(*CALL, ErrorCode.INVALID_ARGUMENT, "", None, 0)
    recorder.request_finished(*CALL, ErrorCode.INVALID_ARGUMENT, "", 0.25, 1)
    assert value(metrics, "navi_requests_total", **CALLED, code="INVALID_ARGUMENT", reason="") == 2
    assert value(metrics, "navi_request_seconds_count", **CALLED) == 1
    assert value(metrics, "navi_request_seconds_sum", **CALLED) == 0.25


@pytest.mark.parametrize("label", ["reason", "method"])
def test_words__a_flood_shares_one_label_value(metrics, label):
    recorder = metrics.for_signature("m", 7, "s")
    for number in range(500):
        method = f"word{number}" if label == "method" else "Predict"
        reason = f"word{number}" if label == "reason" else ""
        recorder.request_finished("tensorflow", "grpc", method, ErrorCode.INTERNAL, reason, 0.001, 1)
    assert len(labels_seen(metrics, label) - {"_other_"}) <= 65
    answered = [count for (name, _), count in samples(metrics).items() if name == "navi_requests_total"]
    assert sum(answered) == 500


def test_for_signature__is_cached(metrics):
    assert metrics.for_signature("m", 7, "s") is metrics.for_signature("m", 7, "s")
    assert metrics.for_signature("m", 7, "s") is not metrics.for_signature("m", 8, "s")


def test_forget__drops_one_versions_label_values(metrics):
    late = metrics.for_signature("m", 7, "s")
    use_everything(metrics)
    metrics.for_signature("m", 8, "s").batch_finished((), 1, 1, 0, "rows", 0.0, 0.1, ok=True)
    metrics.set_gauge_source(list)
    metrics.forget("m", 7)
    assert labels_seen(metrics, "version") - {samples_version(metrics)} == {"8"}
    late.request_finished("other", "http", "predict", ErrorCode.OK, "", 0.1, 1)
    late.batch_finished((0.1,), 1, 1, 0, "new_reason", 0.1, 0.1, ok=False)
    late.work_saved("stale")
    assert labels_seen(metrics, "version") - {samples_version(metrics)} == {"8"}
    assert value(metrics, "navi_load_seconds_count", model="m", outcome="ok") == 1


def samples_version(metrics):
    """Return the version in navi_build_info, which is the host's."""
    return next(dict(labels)["version"] for name, labels in samples(metrics) if name == "navi_build_info")


def test_gauges__go_with_their_version_and_do_not_outlive_another_load(metrics):
    metrics.set_gauges("m", 7, {"a": 1.0, "b": 2.0})
    metrics.set_gauges("m", 8, {"a": 3.0})
    metrics.set_gauges("m", 7, {"a": 4.0})
    assert value(metrics, "navi_model_gauge", model="m", version="7", name="a") == 4
    assert value(metrics, "navi_model_gauge", model="m", version="7", name="b") is None
    metrics.forget("m", 7)
    assert value(metrics, "navi_model_gauge", model="m", version="7", name="a") is None
    assert value(metrics, "navi_model_gauge", model="m", version="8", name="a") == 3


def test_forget__a_new_life_counts_from_zero(metrics):
    metrics.for_signature("m", 7, "s").retried(5)
    metrics.forget("m", 7)
    metrics.for_signature("m", 7, "s").retried(1)
    assert value(metrics, "navi_retried_requests_total", **TARGET) == 1


def test_forget__does_not_touch_names_that_begin_alike(metrics):
    metrics.for_signature("m", 77, "s").retried(1)
    metrics.for_signature("mm", 7, "s").retried(1)
    metrics.for_signature("m", 7, "s").retried(1)
    metrics.forget("m", 7)
    assert labels_seen(metrics, "model") == {"m", "mm"}
    assert value(metrics, "navi_retried_requests_total", **{**TARGET, "version": "77"}) == 1


def test_forget_model__drops_everything_of_it(metrics):
    use_everything(metrics)
    metrics.set_gauge_source(list)
    metrics.forget_model("m")
    assert "m" not in labels_seen(metrics, "model")


def test_versions__are_counted_by_state(metrics):
    metrics.state_changed("m", 1, None, ServableState.AVAILABLE)
    metrics.state_changed("m", 2, None, ServableState.LOADING)
    metrics.state_changed("m", 3, None, ServableState.LOADING)
    metrics.state_changed("m", 3, ServableState.LOADING, ServableState.END)
    states = {state: value(metrics, "navi_versions", model="m", state=state) for state in ServableState}
    assert states == {"START": 0, "LOADING": 1, "AVAILABLE": 1, "UNLOADING": 0, "END": 1}


# --- formats ----------------------------------------------------------------------------------


def test_render__text_by_default_with_no_created_families(metrics):
    use_everything(metrics)
    kind, body = metrics.render()
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert b"_created" not in body
    assert body.startswith(b"# HELP navi_requests_total ")


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("application/openmetrics-text;version=garbage", True),
        ("text/plain;q=0.5, Application/OpenMetrics-Text;q=0.8", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text; q = 0.000, text/plain", False),
        (";,;,=", False),
    ],
)
@pytest.mark.parametrize("compat", [(), ("navi", "tensorflow")])
def test_render__openmetrics_when_asked_for(accept, openmetrics, compat):
    metrics = Metrics(compat)
    use_everything(metrics)
    kind, body = metrics.render(accept)
    assert kind.startswith("application/openmetrics-text; version=1.0.0" if openmetrics else "text/plain")
    assert body.endswith(b"\n# EOF\n") == openmetrics
    parse = parse_openmetrics if openmetrics else parse_text
    assert len(list(parse(body.decode()))) >= len(FAMILIES)


def test_render__label_values_are_escaped(metrics):
    name = 'we"ird\\na\nme'
    metrics.for_signature(name, 7, "s").retried(2)
    assert value(metrics, "navi_retried_requests_total", **{**TARGET, "model": name}) == 2
    families = parse_openmetrics(metrics.render("application/openmetrics-text")[1].decode())
    assert any(sample.labels.get("model") == name for family in families for sample in family.samples)


def test_registry__is_the_hosts_own():
    first, second = Metrics(), Metrics()
    first.for_signature("m", 7, "s").retried(1)
    assert first.registry is not second.registry
    assert value(second, "navi_retried_requests_total", **TARGET) is None


def test_recording__loses_nothing_between_threads(metrics):
    recorder = metrics.for_signature("m", 7, "s")

    def work():
        for _ in range(2000):
            recorder.request_finished(*CALL, ErrorCode.OK, "", 0.001, 1)
            recorder.batch_finished((0.0,), 1, 2, 0, "rows", 0.0, 0.0, ok=True)
            recorder.ran_at_once(3, "alone", 0.001)
            recorder.encoded(0.001)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(metrics, "navi_requests_total", **CALLED, code="OK", reason="") == 8000
    assert value(metrics, "navi_request_rows_total", **TARGET) == 8000
    assert value(metrics, "navi_batch_rows_sum", **TARGET) == 16000 + 24000
    assert value(metrics, "navi_runs_total", **TARGET, where="loop") == 8000
    assert value(metrics, "navi_encode_seconds_count", **TARGET) == 8000


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40), st.sampled_from(["alone", "free_worker"]), st.floats(0, 20, allow_nan=False)
        ),
        max_size=20,
    ),
    st.sampled_from([1, MAX_NOTED // 3, MAX_NOTED]),
    st.booleans(),
)
def test_recording__a_run_at_once_counts_as_a_batch_of_its_own(runs, times, looked_at):
    noted, counted = Metrics(), Metrics()
    ours, theirs = (metrics.for_signature("m", 7, "s") for metrics in (noted, counted))
    for num_rows, reason, seconds in runs * times:
        ours.ran_at_once(num_rows, reason, seconds)
        theirs.batch_finished((0.0,), 1, num_rows, 0, reason, 0.0, seconds, ok=True, where="loop")
        if looked_at and times == 1:
            noted.render()
    found, expected = samples(noted), samples(counted)
    assert found.keys() == expected.keys()
    assert [key for key in expected if found[key] != pytest.approx(expected[key])] == []


def test_recording__what_is_noted_when_a_version_goes_does_not_come_back(metrics):
    recorder = metrics.for_signature("m", 7, "s")
    recorder.request_finished(*CALL, ErrorCode.OK, "", 0.001, 1)
    recorder.ran_at_once(1, "alone", 0.001)
    metrics.forget("m", 7)
    for _ in range(2 * MAX_NOTED):
        recorder.ran_at_once(1, "alone", 0.001)
        recorder.encoded(0.001)
        recorder.request_finished(*CALL, ErrorCode.OK, "", 0.001, 1)
    assert "m" not in labels_seen(metrics, "model")
