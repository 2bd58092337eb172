"""Any layout, any request: the tensors are those of a plain scatter over what Apache Thrift reads."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_dr_transform._generated.data.ttypes import DataRecord
from navi_dr_transform.decoder import Decoder
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import DTYPES, SPARSE, Layout, LayoutTensor, Source, usual_default
from navi_dr_transform.plain_records import read_records
from navi_dr_transform.thrift_records import encode_request, float_tensor

from navi_core import DType, numpy_dtype

IDS = st.sampled_from([1, 2, 3, -(2**63), 2**63 - 1])
CATEGORIES = st.sampled_from(["", "a", "b", "longer than eight bytes"])
FLOATS = st.floats(width=32, allow_nan=False)
TENSOR_VALUES = [1.5, -2.0, 3.25, 4.0]


@st.composite
def layouts(draw):
    """Draw tensors of any sources and types, and places for some features."""
    tensors, columns, embeddings = [], {}, {}
    for index in range(draw(st.integers(1, 5))):
        source = draw(st.sampled_from(list(Source)))
        dtype = draw(st.sampled_from(DTYPES[source]))
        width = draw(st.integers(1, 4))
        default = (
            usual_default(source)
            if dtype is DType.STRING
            else draw(st.sampled_from([usual_default(source), 1]))
        )
        tensors.append(LayoutTensor(f"t{index}", dtype, width, source, default))
        if source is Source.TENSOR:
            embeddings[index] = draw(IDS)
            continue
        keys = st.tuples(IDS, CATEGORIES.map(str.encode) if source in SPARSE else st.none())
        placed = draw(st.lists(keys, max_size=width, unique=True))
        for column, (feature_id, category) in enumerate(placed):
            columns.setdefault((source, feature_id), []).append(Place(index, column, category))
    layout = Layout("any", tuple(tensors), {}, "", "")
    return layout, FeatureMap({key: tuple(places) for key, places in columns.items()}, embeddings)


def maps(values):
    return st.none() | st.dictionaries(IDS, values, max_size=3)


RECORDS = st.builds(
    DataRecord,
    binaryFeatures=st.none() | st.sets(IDS, max_size=3),
    continuousFeatures=maps(FLOATS),
    discreteFeatures=maps(st.integers(-(2**63), 2**63 - 1)),
    stringFeatures=maps(st.text(max_size=5)),
    sparseBinaryFeatures=maps(st.sets(CATEGORIES, max_size=3)),
    sparseContinuousFeatures=maps(st.dictionaries(CATEGORIES, FLOATS, max_size=3)),
    blobFeatures=maps(st.binary(max_size=5)),
    tensors=maps(st.just(float_tensor(TENSOR_VALUES))),
)


def narrowed(value, dtype):
    """Return a value as the tensor's elements hold it: integers keep their low bits."""
    if isinstance(value, bytes):
        return value
    with np.errstate(all="ignore"):
        return np.asarray(value).astype(numpy_dtype(dtype))


def scatter(layout, features, records, common):
    """Return the tensors, filled feature by feature."""
    out = [
        np.full((len(records), tensor.width), tensor.default, numpy_dtype(tensor.dtype))
        for tensor in layout.tensors
    ]

    def lay(record, rows):
        for feature in record:
            if feature.source is Source.TENSOR:
                for index, feature_id in features.embeddings.items():
                    if feature_id == feature.id:
                        values = np.array(TENSOR_VALUES[: layout.tensors[index].width])
                        out[index][rows] = narrowed(values, layout.tensors[index].dtype)
                continue
            for place in features.columns.get((feature.source, feature.id), ()):
                tensor = layout.tensors[place.tensor]
                if feature.categories is None:
                    value = feature.value
                else:  # a sparse feature replaces the common one whole
                    value = feature.categories.get(place.category, tensor.default)
                out[place.tensor][rows, place.column] = narrowed(value, tensor.dtype)

    lay(common, slice(None))
    for row, record in enumerate(records):
        lay(record, row)
    return out


@settings(max_examples=200, deadline=None)
@given(made=layouts(), records=st.lists(RECORDS, max_size=3), common=st.none() | RECORDS)
def test_tensors_of_any_layout_are_those_of_a_plain_scatter(made, records, common):
    layout, features = made
    payload = encode_request(records, common)
    widths = {index: tensor.width for index, tensor in enumerate(layout.tensors)}
    decoder = Decoder(layout, features, widths, exact_embeddings=False)
    measured = decoder.measure([payload])
    out = decoder.allocate(measured.num_rows)
    decoder.fill(measured, out)
    expected = scatter(layout, features, *read_records(payload, "batch"))
    for index, array in enumerate(expected):
        np.testing.assert_array_equal(out[index], array, err_msg=f"{layout.tensors[index]}")


def test_many_tensors_and_features():
    """A layout of forty tensors and two thousand features, all of which come."""
    tensors = tuple(LayoutTensor(f"t{n}", DType.FLOAT32, 50, Source.CONTINUOUS, math.nan) for n in range(40))
    columns = {(Source.CONTINUOUS, 7919 * n): (Place(n % 40, n // 40),) for n in range(2000)}
    decoder = Decoder(
        Layout("many", tensors, {}, "", ""),
        FeatureMap(columns, {}),
        dict.fromkeys(range(40), 50),
        exact_embeddings=False,
    )
    values = {7919 * n: float(n) for n in range(2000)}
    measured = decoder.measure([encode_request([DataRecord(continuousFeatures=values)])])
    out = decoder.allocate(1)
    decoder.fill(measured, out)
    for n in range(40):
        np.testing.assert_array_equal(out[n][0], np.arange(n, 2000, 40))
