"""Other servers' families: exact names, kinds, buckets and text."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from navi_core.contracts.converter_metrics import ConverterMetric, HistogramValue
from navi_core.errors import ErrorCode
from navi_core.metrics.compat import navi, proton, tensorflow
from navi_core.metrics.compat.navi import version_number
from navi_core.metrics.metrics import Metrics
from navi_core.services.proton import errors as proton_errors
from navi_core.services.proton.service import ProtonService
from navi_core.services.tf_serving.service import TfServingService

SPECS = Path(__file__).parents[3] / "specs" / "metrics"


def page(metrics):
    return metrics.render()[1].decode()


def compat_lines(metrics):
    return [line for line in page(metrics).splitlines() if re.match(r"(# (TYPE|HELP) )?(:|axum_|nv_)", line)]


def specified(server):
    written = tomllib.loads((SPECS / f"compat_{server}.toml").read_text())
    return written, {entry["name"]: entry for entry in written["metric"]}


def bounds_of(written, entry):
    buckets = entry["buckets"]
    if isinstance(buckets, str):
        return [float(bound) for bound in written["buckets"][buckets]]
    return [buckets["scale"] * buckets["growth"] ** power for power in range(buckets["count"])]


def feature_values():
    """Return what a converter says of reported features, in Navi's buckets."""
    bounds = navi.FEATURE_VALUE
    counts = [2, *[0] * (len(bounds) - 1), 1]
    return [
        ConverterMetric(
            name=f"{kind}_feature_value",
            kind="histogram",
            meaning="Values.",
            labels=("feature_id",),
            bounds=bounds,
            samples=[(("17",), HistogramValue(counts, 1e6))],
        )
        for kind in ("continuous", "discrete")
    ]


def use(metrics):
    metrics.set_gauge_source(lambda: [("m", 7, 3, 2, 20, 2000), ("n", 1, 0, 5, 5, 50)])
    metrics.load_finished("m", 7, 1.0, ok=True)
    metrics.load_finished("m", 8, 1.0, ok=False)
    metrics.set_gauges("m", 7, {"customop_version": 54321.0})
    metrics.set_certificate_source(lambda: {"grpc": 2e9, "http": 3e9})
    metrics.set_converter("m", 7, "s", "mine", feature_values)
    metrics.requests_replayed("m", "/models/m/7", ErrorCode.OK, 0.004, 3)
    metrics.requests_replayed("m", "/models/m/8", ErrorCode.DATA_LOSS, 0.002, 1)
    recorder = metrics.for_signature("m", 7, "s")
    recorder.request_finished("tf_serving", "grpc", "Predict", ErrorCode.OK, "", 0.004, 5)
    recorder.request_finished("tf_serving", "http", "predict", ErrorCode.OK, "", 0.002, 1)
    recorder.request_finished("tf_serving", "grpc", "Classify", ErrorCode.OK, "", 0.002, 3)
    recorder.request_finished("tf_serving", "grpc", "Predict", ErrorCode.INTERNAL, "", 0.001, 1)
    recorder.request_finished("tf_serving", "grpc", "Predict", ErrorCode.CANCELLED, "", 0.001, 1)
    recorder.request_finished("oip", "grpc", "ModelInfer", ErrorCode.OK, "", 0.001, 1)
    recorder.request_finished("proton", "grpc", "Predict", ErrorCode.OK, "", 0.001, 1)
    recorder.request_finished("proton", "http", "predict", ErrorCode.OK, "", 0.2, 1)
    recorder.request_finished("proton", "http", "predict", ErrorCode.INVALID_ARGUMENT, "", 0.001, 0)
    recorder.batch_finished((0.002,), 3, 5, 3, "rows", 0.003, 0.012, ok=True)
    recorder.batch_finished((), 1, 8, 0, "rows", 0.0048, 0.012, ok=True)
    recorder.work_saved("stale", 4)
    metrics.unresolved_request("tf_serving", "grpc", "Predict", ErrorCode.NOT_FOUND, "")


def test_a_request_that_is_refused_before_it_is_decoded_is_counted_and_takes_no_time():
    metrics = Metrics(["navi", "proton", "tensorflow", "triton"])
    recorder = metrics.for_signature("m", 7, "s")
    for service, method in (("proton", "predict"), ("tf_serving", "Predict")):
        recorder.request_finished(service, "http", method, ErrorCode.INVALID_ARGUMENT, "", None, 0)
    lines = compat_lines(metrics)
    call = 'method="POST",endpoint="/predict",status="422"'
    for expected in [
        ':navi:num_requests_by_model{model_name="m"} 2',
        f"axum_http_requests_total{{{call}}} 1",
        ':tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 1',
        'nv_inference_request_failure{model="m",version="7"} 2',
    ]:
        assert expected in lines, expected
    for family in (":navi:response_time", "axum_http_requests_duration_seconds"):
        assert not [line for line in lines if line.startswith(f"{family}_count") and not line.endswith(" 0")]


@pytest.mark.parametrize("server", ["navi", "tensorflow", "proton", "triton"])
def test_families__are_those_of_the_specification(server):
    metrics = Metrics([server])
    use(metrics)
    written, entries = specified(server)
    types = dict(re.findall(r"^# TYPE ((?::|axum_|nv_)\S+) (\w+)$", page(metrics), re.MULTILINE))
    shown = {name: entry["kind"] for name, entry in entries.items() if entry["state"] == "shown"}
    assert shown == types
    for name, entry in entries.items():
        assert entry["state"] in {"shown", "left_out"}
        if entry["state"] == "shown" and entry["kind"] == "histogram":
            found = re.findall(rf'^{name}_bucket{{(?:.*,)?le="([^"]+)"}} \d+$', page(metrics), re.MULTILINE)
            expected = [*(f"{bound:.6g}" for bound in bounds_of(written, entry)), "+Inf"]
            assert expected == found[: len(expected)]
        if entry["state"] == "shown":
            labels = ",".join(f'{label}="[^"]*"' for label in entry["labels"])
            suffix = "_count" if entry["kind"] == "histogram" else ""
            braces = rf"\{{{labels}\}}" if labels or server == "tensorflow" else ""
            assert re.search(rf"^{name}{suffix}{braces} \d", page(metrics), re.MULTILINE), name


def test_navi__page_begins_with_name_and_version():
    assert re.match(r"#navi:\d+\.\d+\S*\n# HELP navi_requests_total", page(Metrics(["navi"])))
    assert not page(Metrics(["tensorflow"])).startswith("#navi")
    body = Metrics(["navi"]).render("application/openmetrics-text")[1]
    assert b"#navi" not in body, "OpenMetrics has no comments"


def test_navi__families_without_samples_are_absent():
    names = set(re.findall(r"# TYPE (:navi:\S+)", page(Metrics(["navi"]))))
    assert names == {
        ":navi:num_requests",
        ":navi:num_requests_failed",
        ":navi:num_requests_dropped",
        ":navi:num_batches_dropped",
        ":navi:num_batch_prediction",
        ":navi:batch_size",
        ":navi:navi_version",
        ":navi:mpsc_channel_size",
    }


def test_navi__values():
    metrics = Metrics(["navi"])
    use(metrics)
    lines = compat_lines(metrics)
    for expected in [
        ":navi:num_requests 10",
        ':navi:num_requests_by_model{model_name="m"} 9',
        ':navi:num_requests_by_model{model_name="_unknown_"} 1',
        ":navi:num_requests_failed 1",
        ':navi:inference_failed_requests_by_model{model_name="m"} 1',
        ':navi:num_requests_dropped_by_model{model_name="m"} 1',
        ":navi:num_batches_dropped 1",
        ":navi:num_batch_prediction 2",
        ':navi:num_prediction_by_model{model_name="m"} 8',
        ':navi:num_predictions{model_name="m"} 6',
        ':navi:new_model_snapshot{model_name="m"} 1',
        ":navi:batch_size 4",
        ":navi:mpsc_channel_size 7",
        ":navi:customop_version 54321",
        ":navi:cert_expiry_epoch 2000000000",
        ':navi:response_time_bucket{model_name="m",le="0"} 0',
        ':navi:response_time_bucket{model_name="m",le="10"} 8',
        ':navi:model_inference_time_bucket{model_name="m",le="10"} 0',
        ':navi:model_inference_time_bucket{model_name="m",le="15"} 2',
        ':navi:model_inference_time_sum{model_name="m"} 24',
        ':navi:converter_time_bucket{model_name="m",le="500"} 0',
        ':navi:converter_time_bucket{model_name="m",le="1000"} 2',
        ':navi:feature_id:continuous_bucket{feature_id="17",le="0"} 2',
        ':navi:feature_id:continuous_count{feature_id="17"} 3',
        ':navi:feature_id:discrete_sum{feature_id="17"} 1000000',
    ]:
        assert expected in lines
    assert "# TYPE :navi:num_requests counter" in lines


def test_navi__without_tls_no_certificate_ends():
    metrics = Metrics(["navi"])
    assert "cert_expiry" not in page(metrics)
    metrics.set_certificate_source(lambda: {"grpc": 2e9})
    assert ":navi:cert_expiry_epoch 2000000000" in compat_lines(metrics)
    metrics.set_certificate_source(dict)
    assert "cert_expiry" not in page(metrics)


def test_navi__version_of_custom_ops_is_that_of_the_last_loaded_and_gone_with_it():
    metrics = Metrics(["navi"])
    metrics.set_gauges("m", 1, {"customop_version": 1.0, "other": 9.0})
    metrics.set_gauges("n", 1, {"customop_version": 2.0})
    assert ":navi:customop_version 2" in compat_lines(metrics)
    metrics.forget("n", 1)
    assert ":navi:customop_version 1" in compat_lines(metrics)
    metrics.forget_model("m")
    assert "customop_version" not in page(metrics)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2.0.45", 2000045), ("0.1.0", 1000), ("1.2", 1002000), ("1.2.3rc1", 1002000), ("", 0)],
)
def test_navi__version_is_one_number(text, expected):
    assert expected == version_number(text)


def test_tensorflow__values_and_text():
    metrics = Metrics(["tensorflow"])
    use(metrics)
    lines = compat_lines(metrics)
    assert not any(line.startswith("# HELP") for line in lines)
    for expected in [
        "# TYPE :tensorflow:serving:request_count counter",
        ':tensorflow:serving:request_count{model_name="m",status="OK"} 3',
        ':tensorflow:serving:request_count{model_name="m",status="INTERNAL"} 1',
        ':tensorflow:serving:request_count{model_name="_unknown_",status="NOT_FOUND"} 1',
        ':tensorflow:serving:model_warmup_records_read{model_path="/models/m/7",status="OK"} 3',
        ':tensorflow:serving:model_warmup_latency_sum{model_path="/models/m/8",status="DATA_LOSS"} 2000',
        ':tensorflow:serving:request_latency_count{model_name="m",API="Predict",entrypoint="GRPC"} 1',
        ':tensorflow:serving:request_latency_count{model_name="m",API="predict",entrypoint="REST"} 1',
        ':tensorflow:serving:request_latency_sum{model_name="m",API="Predict",entrypoint="GRPC"} 4000',
        ':tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",entrypoint="GRPC",le="32.4"} 0',
        ':tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",entrypoint="GRPC",le="6426.84"} 1',
        ':tensorflow:serving:request_example_count_total{model="m"} 3',
        ':tensorflow:serving:batching_session:queuing_latency_count{thread_pool_name="batch_threads"} 1',
        ":tensorflow:serving:batching_session:wrapped_run_count{} 2",
        ':tensorflow:serving:batching_session:padding_size_sum{execution_batch_size="8"} 3',
        ':tensorflow:serving:batching_session:padding_size_count{execution_batch_size="8"} 2',
        ":tensorflow:serving:batching_session:processed_batch_size_sum{} 16",
        ":tensorflow:serving:batching_session:input_batch_size_count{} 3",
        ':tensorflow:serving:batching_session:input_batch_size_bucket{le="1"} 1',
    ]:
        assert expected in lines
    assert "ModelInfer" not in "".join(lines)


def test_tensorflow__what_its_rest_paths_show_is_counted_without_a_verb():
    metrics = Metrics(["navi", "tensorflow", "proton", "triton"])
    metrics.read_finished("m", "tf_serving", ErrorCode.OK, 0.002)
    metrics.read_finished("m", "tf_serving", ErrorCode.NOT_FOUND, 0.002)
    metrics.read_finished("m", "oip", ErrorCode.OK, 0.002)
    counted = {line for line in compat_lines(metrics) if 'model_name="m"' in line and "bucket" not in line}
    assert counted == {
        ':tensorflow:serving:request_count{model_name="m",status="OK"} 1',
        ':tensorflow:serving:request_count{model_name="m",status="NOT_FOUND"} 1',
        ':tensorflow:serving:request_latency_count{model_name="m",API="",entrypoint="REST"} 1',
        ':tensorflow:serving:request_latency_sum{model_name="m",API="",entrypoint="REST"} 2000',
    }
    assert "navi_requests_total{" not in page(metrics)


def test_tensorflow__type_lines_are_there_before_the_first_request():
    metrics = Metrics(["tensorflow"])
    assert "# TYPE :tensorflow:serving:request_count counter" in compat_lines(metrics)
    assert ":tensorflow:serving:batching_session:wrapped_run_count{} 0" in compat_lines(metrics)


def test_tensorflow__batch_sizes_do_not_grow_the_page_without_bound():
    metrics = Metrics(["tensorflow"])
    recorder = metrics.for_signature("m", 7, "s")
    for rows in range(1, 1000):
        recorder.batch_finished((), 1, rows, 0, "rows", 0.0, 0.0, ok=True)
    found = set(re.findall(r'padding_size_count{execution_batch_size="(\w+)"}', page(metrics)))
    assert len(found) == 65
    assert "other" in found


@pytest.mark.parametrize("server", ["navi", "tensorflow", "proton", "triton"])
def test_openmetrics__keeps_the_exact_names(server):
    metrics = Metrics([server])
    use(metrics)
    body = metrics.render("application/openmetrics-text")[1].decode()
    _, entries = specified(server)
    for name, entry in entries.items():
        if entry["state"] == "shown":
            suffix = "_count" if entry["kind"] == "histogram" else ""
            assert re.search(rf"^{name}{suffix}(\{{|\s)", body, re.MULTILINE), name


def test_compat__both_and_neither():
    assert not compat_lines(Metrics())
    both = {line.split(":")[1] for line in compat_lines(Metrics(["navi", "tensorflow", "navi"]))}
    assert both == {"navi", "tensorflow"}


def test_compat__an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="expected navi, tensorflow, proton or triton, got 'clipper'"):
        Metrics(["clipper"])


def test_proton__http_is_counted_by_status():
    metrics = Metrics(["proton"])
    use(metrics)
    lines = compat_lines(metrics)
    call = 'method="POST",endpoint="/predict"'
    for expected in [
        "# TYPE axum_http_requests_total counter",
        f'axum_http_requests_total{{{call},status="200"}} 1',
        f'axum_http_requests_total{{{call},status="422"}} 1',
        f'axum_http_requests_duration_seconds_bucket{{{call},status="200",le="0.1"}} 0',
        f'axum_http_requests_duration_seconds_bucket{{{call},status="200",le="0.25"}} 1',
        f'axum_http_requests_duration_seconds_sum{{{call},status="200"}} 0.2',
    ]:
        assert expected in lines
    before = page(metrics)
    metrics.forget_model("m")
    assert [line for line in before.splitlines() if line.startswith("axum")] == [
        line for line in page(metrics).splitlines() if line.startswith("axum")
    ]


def test_triton__versions_are_counted_apart():
    metrics = Metrics(["triton"])
    use(metrics)
    metrics.for_signature("m", 7, "s").encoded(0.0005)
    metrics.for_signature("m", 8, "s").request_finished("oip", "grpc", "ModelInfer", ErrorCode.OK, "", 0.5, 9)
    lines = compat_lines(metrics)
    of_7 = '{model="m",version="7"}'
    for expected in [
        "# TYPE nv_inference_request_success counter",
        f"nv_inference_request_success{of_7} 6",
        f"nv_inference_request_failure{of_7} 3",
        f"nv_inference_count{of_7} 12",
        f"nv_inference_exec_count{of_7} 2",
        f"nv_inference_pending_request_count{of_7} 2",
        'nv_inference_pending_request_count{model="n",version="1"} 5',
        f"nv_inference_request_duration_us{of_7} 210000",
        f"nv_inference_queue_duration_us{of_7} 2000",
        f"nv_inference_compute_input_duration_us{of_7} 7800",
        f"nv_inference_compute_infer_duration_us{of_7} 24000",
        f"nv_inference_compute_output_duration_us{of_7} 500",
        'nv_inference_count{model="m",version="8"} 9',
    ]:
        assert expected in lines, expected
    assert not any("_unknown_" in line for line in lines)
    metrics.forget("m", 7)
    assert not any(of_7 in line for line in compat_lines(metrics) if "pending" not in line)
    assert 'nv_inference_count{model="m",version="8"} 9' in compat_lines(metrics)
    metrics.forget_model("m")
    metrics.for_signature("m", 8, "s").request_finished("oip", "grpc", "ModelInfer", ErrorCode.OK, "", 0.5, 2)
    assert 'nv_inference_count{model="m",version="8"} 2' in compat_lines(metrics)


def test_compat__services_and_statuses_are_those_of_the_services():
    assert (TfServingService.name, ProtonService.name) == (tensorflow.SERVICE, proton.SERVICE)
    statuses = {code: int(proton.STATUSES.get(code, "500")) for code in ErrorCode}
    assert statuses == proton_errors.HTTP_STATUS


@pytest.mark.parametrize("server", ["navi", "tensorflow"])
def test_compat__version_forgotten_model_stays_until_it_is_forgotten(server):
    metrics = Metrics([server])
    use(metrics)
    metrics.forget("m", 7)
    assert any('"m"' in line for line in compat_lines(metrics))
    metrics.forget_model("m")
    assert not any('"m"' in line for line in compat_lines(metrics))
    metrics.for_signature("m", 7, "s").request_finished(
        "tf_serving", "grpc", "Predict", ErrorCode.OK, "", 0.1, 1
    )
    assert any('model_name="m"' in line for line in compat_lines(metrics))


def test_tensorflow__paths_of_warmed_up_versions_do_not_pile_up():
    metrics = Metrics(["tensorflow"])
    for version in (*range(20), 5):
        metrics.requests_replayed("m", f"/m/{version}", ErrorCode.OK, 0.001, 1)
        metrics.requests_replayed("n", "/n/1", ErrorCode.OK, 0.001, 1)

    def shown():
        return re.findall(r'model_warmup_records_read{model_path="([^"]*)"', page(metrics))

    assert set(shown()) == {"/n/1", *(f"/m/{version}" for version in range(4, 20))}
    metrics.forget_model("m")
    assert shown() == ["/n/1"]
