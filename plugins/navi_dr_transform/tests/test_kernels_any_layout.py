"""Layouts of any tensors: the kernels beside the reference, for every source, element type and struct."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_records import COMPACT_RECORDS, RECORDS, requests
from hypothesis import given, settings
from hypothesis import strategies as st
from navi_dr_transform import wire
from navi_dr_transform.decoder import Decoder
from navi_dr_transform.feature_map import FeatureMap, Place
from navi_dr_transform.layout import DTYPES, Layout, LayoutTensor, Source
from navi_dr_transform.reference import Reference
from thrift.TSerialization import serialize

from navi_core import DecodeError


def layout(*given_tensors):
    """Return a layout of (source, dtype, width, default)."""
    return Layout(
        name="any",
        tensors=tuple(
            LayoutTensor(f"t{index}", dtype, width, source, default)
            for index, (source, dtype, width, default) in enumerate(given_tensors)
        ),
        positions={},
        segdense_file="",
        all_config_file="",
    )


TENSORS = [
    *((source, dtype, 3, 1) for source in Source for dtype in DTYPES[source] if dtype != "string"),
    (Source.STRING, DTYPES[Source.STRING][0], 2, b"none"),
    (Source.BLOB, DTYPES[Source.BLOB][0], 2, b""),
]
ALL = layout(*TENSORS)
WIDTHS = {index: each.width for index, each in enumerate(ALL.tensors)}
TEXTS = (b"a", b"bc", "é".encode(), b"7", b"-7", b"", b"32767")


def places(source, feature_id):
    """Return places in every tensor of a source, a column outside of it among them."""
    found = []
    for index, tensor in enumerate(ALL.tensors):
        if tensor.source is not source:
            continue
        if source in (Source.SPARSE_BINARY, Source.SPARSE_CONTINUOUS):
            found += [
                Place(index, (feature_id + turn) % 4, text)
                for turn, text in enumerate(TEXTS[feature_id % 3 :: 3])
            ]
        else:
            found.append(Place(index, feature_id % 4))
    return tuple(found)


FEATURES = FeatureMap(
    {
        (source, each): places(source, each)
        for source in Source
        if source is not Source.TENSOR
        for each in (1, 2, 3, 4)
    },
    {index: 2 + index % 2 for index, tensor in enumerate(ALL.tensors) if tensor.source is Source.TENSOR},
)
"""Ids 1 to 4 have columns, tensors are those of 2 and 3."""


DECODERS = {exact: Decoder(ALL, FEATURES, WIDTHS, exact_embeddings=exact) for exact in (False, True)}


def check(payload, *, decoder=None, reference=None, exact=False):
    """Decode with the kernels and the reference; both refuse at one byte, or give equal tensors."""
    decoder = decoder or DECODERS[exact]
    reference = reference or Reference(ALL, FEATURES, WIDTHS, exact=exact)
    status, offset, num_records, _, _ = reference.measure(payload)
    if status != wire.OK:
        with pytest.raises(DecodeError) as caught:
            decoder.measure([payload])
        assert caught.value.offset == offset
        assert wire.STATUS_TEXTS[status] in caught.value.message
        return None
    measured = decoder.measure([payload, payload])
    out = decoder.allocate(2 * num_records)
    decoder.fill(measured, out)
    expected = reference.fill(payload)[1]
    for tensor, array in out.items():
        for half in (array[:num_records], array[num_records:]):
            assert half.dtype == expected[tensor].dtype
            np.testing.assert_array_equal(half, expected[tensor], err_msg=str(ALL.tensors[tensor]))
    return out


@settings(max_examples=200, deadline=None)
@given(request=requests(RECORDS), exact=st.booleans())
def test_every_source_and_type_is_what_the_reference_says(request, exact):
    check(serialize(request), exact=exact)


@settings(max_examples=200, deadline=None)
@given(request=requests(COMPACT_RECORDS), exact=st.booleans())
def test_compact_records_too(request, exact):
    check(serialize(request), exact=exact)


@settings(max_examples=200, deadline=None)
@given(
    request=requests(RECORDS | COMPACT_RECORDS),
    damage=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 16) | st.integers(0, 255)), max_size=3),
)
def test_damaged_requests_get_the_same_answer(request, damage):
    payload = bytearray(serialize(request))
    for position, value in damage:
        payload[position % len(payload)] = value
    check(bytes(payload))
