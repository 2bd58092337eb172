"""Feature reports: the kernel beside a plain count, and Navi's rules."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_dr_transform._generated.data.ttypes import CompactDataRecord
from navi_dr_transform._generated.prediction_service.ttypes import BatchPredictionRequest
from navi_dr_transform.decoder import Decoder
from navi_dr_transform.feature_map import FeatureMap
from navi_dr_transform.layout import HOME, HomeTensor
from navi_dr_transform.plain_records import read_records
from navi_dr_transform.reports import BOUNDS, Reports
from navi_dr_transform.thrift_records import data_record, encode_request
from thrift.TSerialization import serialize

CONTINUOUS, DISCRETE = (1, 2, -(2**63)), (2, 3, 2**63 - 1)
REPORTS = Reports(CONTINUOUS, DISCRETE)
IDS = st.sampled_from([1, 2, 3, 4, -(2**63), 2**63 - 1])
RECORDS = st.builds(
    data_record,
    continuous=st.none() | st.dictionaries(IDS, st.floats() | st.sampled_from(BOUNDS), max_size=4),
    discrete=st.none() | st.dictionaries(IDS, st.integers(-(2**63), 2**63 - 1), max_size=4),
    binary=st.none() | st.sets(IDS, max_size=2),
)


@pytest.fixture(scope="module")
def decoder():
    return Decoder(
        HOME,
        FeatureMap({}, dict.fromkeys((3, 4, 5), -1)),
        {HomeTensor.CONTINUOUS: 1},
        exact_embeddings=False,
    )


def report(decoder, payloads, reports=REPORTS):
    reported = reports.new()
    decoder.report(decoder.measure(payloads), reports, reported)
    return reported


def plain(payloads):
    """Count as Navi does: a continuous value as continuous, else as discrete, and ours of discrete features."""
    reported = REPORTS.new()
    for payload in payloads:
        records, common = read_records(payload, "batch")
        for feature in [*common, *(each for record in records for each in record)]:
            rows = [
                REPORTS.rows[kind].get(feature.id)
                for kind, sources in (
                    ("continuous", ["CONTINUOUS"]),
                    ("discrete", ["CONTINUOUS", "DISCRETE"]),
                )
                if feature.source.name in sources
            ]
            row = next((row for row in rows if row is not None), None)
            if row is None:
                continue
            value = float(feature.value)
            bucket = len(BOUNDS) if math.isnan(value) else bisect_left(BOUNDS, value)
            reported.counts[row, bucket] += 1
            if math.isfinite(value):
                reported.sums[row] += value
    return reported


@settings(max_examples=100)
@given(requests=st.lists(st.tuples(st.lists(RECORDS, max_size=3), st.none() | RECORDS), max_size=3))
def test_values_are_counted_as_plain_python_counts_them(decoder, requests):
    payloads = [encode_request(records, common) for records, common in requests]
    with np.errstate(all="ignore"):
        ours, theirs = report(decoder, payloads), plain(payloads)
    np.testing.assert_array_equal(ours.counts, theirs.counts)
    np.testing.assert_array_equal(ours.sums, theirs.sums)


def test_a_common_feature_counts_once_and_each_records_own_once(decoder):
    payload = encode_request([data_record(continuous={1: 5.0})] * 3, data_record(continuous={1: 250.0}))
    reported = report(decoder, [payload])
    row = REPORTS.rows["continuous"][1]
    assert (
        reported.counts[row, bisect_left(BOUNDS, 5.0)],
        reported.counts[row, bisect_left(BOUNDS, 250.0)],
    ) == (3, 1)
    assert reported.sums[row] == 265.0


def test_a_continuous_value_that_is_asked_for_as_discrete_counts_there(decoder):
    reported = report(decoder, [encode_request([data_record(continuous={3: 1.0}, discrete={3: 2})])])
    assert reported.counts[REPORTS.rows["discrete"][3]].sum() == 2
    assert reported.counts.sum() == 2


def test_an_id_that_is_asked_for_twice_counts_as_continuous(decoder):
    reported = report(decoder, [encode_request([data_record(continuous={2: 1.0}, discrete={2: 1})])])
    rows = [REPORTS.rows[kind][2] for kind in ("continuous", "discrete")]
    assert reported.counts.sum(axis=1)[rows].tolist() == [1, 1]


def test_values_of_compact_records_are_floats(decoder):
    bits = int(np.float32(12.5).view(np.int32))
    payload = serialize(BatchPredictionRequest([CompactDataRecord(continuousFeatures={1: bits})]))
    assert report(decoder, [payload]).sums[REPORTS.rows["continuous"][1]] == 12.5


def test_values_that_are_no_numbers_stay_out_of_the_sum(decoder):
    values = [math.nan, math.inf, -math.inf, 1e300]
    reported = report(decoder, [encode_request([data_record(continuous={1: value}) for value in values])])
    row = REPORTS.rows["continuous"][1]
    assert (reported.counts[row, 0], reported.counts[row, -1], reported.sums[row]) == (1, 3, 1e300)


def test_nothing_is_reported_where_nothing_is_asked_for(decoder):
    reports = Reports()
    assert len(reports) == 0
    assert report(decoder, [encode_request([data_record(continuous={1: 1.0})])], reports).counts.shape == (
        0,
        28,
    )
