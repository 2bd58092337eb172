"""The benchmark's generator: its bytes are Apache Thrift's, and what it makes converts as Apache Thrift reads it."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from navi_dr_transform._accelerate import JIT
from navi_dr_transform._generated.data import ttypes as data
from navi_dr_transform._generated.prediction_service import ttypes as prediction_service
from navi_dr_transform._generated.tensor import ttypes as tensor
from thrift.TSerialization import serialize

MODULES = (
    *("baseline_cpp", "cases", "contenders", "generator", "mapping"),
    *("measuring", "scatter", "verifying", "writer"),
)


@pytest.fixture(scope="module")
def benchmark_modules():
    """Return the benchmark's modules; a plugin that is tested alone does not have them."""
    folder = Path(__file__).resolve().parents[3] / "benchmarks" / "dr_transform"
    if not folder.is_dir():
        pytest.skip("the benchmarks folder is not beside this plugin")
    taken = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    sys.path.insert(0, str(folder))
    try:
        yield SimpleNamespace(**{name: __import__(name) for name in MODULES})
    finally:
        sys.path.remove(str(folder))
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(taken)


def thrift_tensor(values, raw):
    if raw:
        return tensor.GeneralTensor(
            rawTypedTensor=tensor.RawTypedTensor(dataType=0, content=values.astype("<f4").tobytes())
        )
    return tensor.GeneralTensor(floatTensor=tensor.FloatTensor(floats=[float(value) for value in values]))


def thrift_record(record, *, compact, raw):
    ids, values = record.continuous
    if compact:
        values = values.astype(np.float32).view(np.int32)
    cls = data.CompactDataRecord if compact else data.DataRecord
    made = cls(
        binaryFeatures=record.binary.tolist(),  # a list keeps the order, and is written as the set would be
        continuousFeatures=dict(zip(ids.tolist(), values.tolist(), strict=True)),
        discreteFeatures=dict(zip(*(each.tolist() for each in record.discrete), strict=True)),
    )
    made.tensors = {key: thrift_tensor(values, raw) for key, values in record.tensors}
    return made


@pytest.mark.parametrize(
    ("order", "compact", "raw", "common"),
    [
        ("producer", False, False, True),
        ("shuffled", False, True, False),
        ("fixed", True, False, True),
        ("shuffled", True, True, True),
    ],
)
def test_the_writer_writes_what_apache_thrift_writes(benchmark_modules, order, compact, raw, common):
    case = benchmark_modules.cases.Case(3, 20, order, common=common, compact=compact, raw=raw)
    records, shared = benchmark_modules.generator.Generator(case, 1).request()
    request = prediction_service.BatchPredictionRequest(
        individualFeaturesList=[thrift_record(each, compact=compact, raw=raw) for each in records],
        commonFeatures=None if shared is None else thrift_record(shared, compact=compact, raw=raw),
    )
    assert (shared is not None) == common
    payload = benchmark_modules.writer.write_request(records, shared, compact=compact, raw=raw)
    assert payload == serialize(request)


def test_a_seed_says_everything(benchmark_modules):
    case = benchmark_modules.cases.Case(2, 30, "shuffled")
    make = benchmark_modules.generator.Generator
    assert make(case, 5).payload() == make(case, 5).payload() != make(case, 6).payload()


def test_producer_order_is_that_of_javas_hash_map(benchmark_modules):
    # buckets of 16: 17 -> 1, 2**32 + 4 -> 4 ^ 1 = 5, -1 -> 0, 0x50000 -> 5, in order of insertion within one
    given = [17, 2**32 + 4, 3, -1, 0x50000, 1]
    ordered = benchmark_modules.generator.java_order(np.array(given, np.int64)).tolist()
    assert ordered == [-1, 17, 1, 3, 2**32 + 4, 0x50000]


def test_key_orders_are_what_they_are_called(benchmark_modules):
    def keys(order):
        case = benchmark_modules.cases.Case(2, 100, order)
        records, _ = benchmark_modules.generator.Generator(case, 0).request()
        return [each.continuous[0].tolist() for each in records]

    first, second = keys("fixed")
    assert first == second
    first, second = keys("producer")
    shared = set(first) & set(second)
    assert len(shared) >= 50
    assert first != second
    assert [key for key in first if key in shared] == [key for key in second if key in shared]
    first, second = keys("shuffled")
    shared = set(first) & set(second)
    assert [key for key in first if key in shared] != [key for key in second if key in shared]


def test_tensors_equal_apache_thrift_and_numpy(benchmark_modules):
    world = benchmark_modules.contenders.World(cpp=False, python=False)
    assert benchmark_modules.verifying.verify_many(world, 120 if JIT else 5) > 0


def test_a_difference_is_seen(benchmark_modules):
    world = benchmark_modules.contenders.World(cpp=False, python=False)
    convert = world.converter.convert

    class Wrong:
        def convert(self, payloads):
            tensors, row_ends = convert(payloads)
            tensors["discrete"][:, 7] += 1
            return tensors, row_ends

    world.converter = Wrong()
    with pytest.raises(AssertionError, match="discrete differs"):
        benchmark_modules.verifying.verify_many(world, 20)


def test_generated_requests_are_of_many_forms(benchmark_modules):
    some = [case for case, _ in itertools.islice(benchmark_modules.verifying.requests(0), 60)]
    for field in ("records", "features", "order", "common", "unknown", "raw"):
        assert len({dataclasses.asdict(case)[field] for case in some}) > 1


def test_cases_have_names_of_their_own(benchmark_modules):
    cases = benchmark_modules.cases
    names = [case.name for case in cases.ALL]
    assert len(set(names)) == len(names)
    assert set(cases.QUICK) <= set(cases.ALL)
    assert cases.find("64x500-producer-warm") == [cases.Case(64, 500)]
