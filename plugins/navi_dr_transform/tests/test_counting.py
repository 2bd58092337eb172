"""What a bound converter counts, and the forms of requests that it takes."""

from __future__ import annotations

import threading

import msgspec
import numpy as np
import pytest
from navi_dr_transform import load_converter
from navi_dr_transform._generated.prediction_service.ttypes import PredictionRequest
from navi_dr_transform.converter import BprConverter
from navi_dr_transform.feature_id import feature_id
from navi_dr_transform.layout import HOME
from navi_dr_transform.options import BprOptions
from navi_dr_transform.reports import BOUNDS
from navi_dr_transform.thrift_records import data_record, encode_request, float_tensor
from thrift.TSerialization import serialize

from navi_core import Artifact, DecodeError, ModelLoadError, Signature, TensorSpec

SIGNATURE = Signature(
    inputs={
        tensor.name: TensorSpec(name=tensor.name, dtype=tensor.dtype, shape=("rows", 3))
        for tensor in HOME.tensors
        if tensor.name in ("continuous", "binary", "user_embedding")
    },
    outputs={},
)
RECORD = data_record(
    continuous={7: 1.5, 99: 2.0}, binary=[5, 98], tensors={-2: float_tensor([1, 2, 3]), -9: float_tensor([])}
)
COMMON = data_record(continuous={8: 15.0}, discrete={20: 30, 21: 1})
PAYLOAD = encode_request([RECORD, data_record(continuous={7: 100.0})], COMMON)


@pytest.fixture(scope="module")
def artifact(mapping, tmp_path_factory):
    return Artifact(name="m", version=3, path=mapping.write(tmp_path_factory.mktemp("m") / "3"))


def bind(artifact, **options):
    return BprConverter().bind(artifact, SIGNATURE, msgspec.convert(options, BprOptions))


def fill(bound, *payloads):
    strings = np.empty(len(payloads), dtype=object)
    strings[:] = payloads
    plan = bound.plan({"examples": strings})
    out = {name: np.empty((plan.num_rows, *row.shape), row.dtype.value) for name, row in plan.rows.items()}
    bound.fill(plan, out)
    return out


def numbers(bound):
    return {(metric.name, *labels): value for metric in bound.metrics() for labels, value in metric.samples}


def test_records_and_features_are_counted(artifact):
    bound = bind(artifact)
    assert numbers(bound)["records_total",] == 0
    fill(bound, PAYLOAD, PAYLOAD)  # of the first sixteen requests the first one's features are counted
    found = numbers(bound)
    assert found["records_total",] == 4
    # of the common features 8 has a column; the discrete tensor is not wanted
    assert found["features_total", "scalar", "matched"] == 2 * (2 + 1 + 1)
    assert found["features_total", "scalar", "unknown"] == 2 * (2 + 2)
    assert found["features_total", "tensor", "matched"] == 2
    assert found["features_total", "tensor", "unknown"] == 2
    seconds = found["record_seconds",]
    assert sum(seconds.counts) == 4
    assert seconds.total > 0


@pytest.mark.parametrize(("every", "counted"), [(0, 0), (1, 20), (16, 2), (7, 3)])
def test_features_of_some_requests_are_counted(artifact, every, counted):
    bound = bind(artifact, count_features_every=every)
    for _ in range(20):
        fill(bound, PAYLOAD)
    found = numbers(bound)
    assert found["records_total",] == 40
    assert found.get(("features_total", "scalar", "matched"), 0) == 4 * counted


def test_values_of_reported_features_are_counted(artifact):
    bound = bind(
        artifact, report_continuous_features=["feature 7", 8, "unknown"], report_discrete_features=[20]
    )
    fill(bound, PAYLOAD)
    found = numbers(bound)
    seven = found["continuous_feature_value", "7"]
    assert (sum(seven.counts), seven.total) == (2, 101.5)
    assert found["continuous_feature_value", "8"].counts[BOUNDS.index(20.0)] == 1
    assert found["continuous_feature_value", str(feature_id("unknown"))].total == 0
    assert found["discrete_feature_value", "20"].total == 30.0


def test_nothing_is_lost_between_threads(artifact):
    bound = bind(artifact, report_continuous_features=[7])
    threads = [threading.Thread(target=lambda: [fill(bound, PAYLOAD) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = numbers(bound)
    assert found["records_total",] == 400
    assert sum(found["continuous_feature_value", "7"].counts) == 400


def test_navis_flags_set_the_reported_features():
    flags = {flag.name: flag for flag in BprConverter.serve_flags}
    flag = flags["--onnx-report-continuous-feature-ids"]
    assert (flag.option, flag.scope) == ("report_continuous_features", "model")
    assert flag.parse("1,-2, 3,") == (1, -2, 3)
    assert flag.parse("") == ()
    assert msgspec.convert({flag.option: flag.parse("7")}, BprOptions).report_continuous_features == (7,)
    for wrong in ("a", "1,b", str(2**63)):
        with pytest.raises(ValueError, match="expected feature ids"):
            flag.parse(wrong)


@pytest.mark.parametrize("features", [[2**63], [""], list(range(257)), [1.5]])
def test_reported_features_that_are_none_are_refused(features):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"report_discrete_features": features}, BprOptions)


# --- forms of requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "payload"),
    [
        ("batch", encode_request([RECORD])),
        ("prediction", serialize(PredictionRequest(RECORD))),
        ("record", serialize(RECORD)),
    ],
)
def test_a_request_may_be_of_any_form(artifact, form, payload):
    bound = bind(artifact, request=form)
    converter = load_converter(artifact.path, request=form, widths={"user_embedding": 3})
    for tensors in (fill(bound, payload), converter.convert([payload])[0]):
        np.testing.assert_array_equal(tensors["continuous"][:, :3], [[1.5, np.nan, np.nan]])
        np.testing.assert_array_equal(tensors["user_embedding"][:, :3], [[1, 2, 3]])
    with pytest.raises(DecodeError):
        fill(bound, payload[:-1])


def test_a_request_of_another_form_is_an_option_that_is_refused(artifact):
    with pytest.raises(
        ModelLoadError, match=r'converter_options\.request: expected one of "batch", .*, got "compact"'
    ):
        load_converter(artifact.path, request="compact")
